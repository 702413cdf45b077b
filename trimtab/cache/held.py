"""A cached answer in the memory of this process, with the times between which it may be used."""

from __future__ import annotations

import math

from trimtab.cache.entry import Entry
from trimtab.cache.refresh import earliest


class Held:
    """What this process has for a key. `payload` None: it is known that there is nothing.

    Times are seconds since the epoch. They are computed once, and again when the TTL changes, so that a hit costs one
    comparison: below `due` there is nothing to consider.

    `written`      when the making of the answer began; its age counts from here
    `due`          from here on the slow path decides: early refresh, window, other pods' writes
    `fresh_until`  end of the life under the TTL in force
    `stale_until`  end of the window after it
    `here_until`   until when this process need not ask whether another pod wrote (groups ON_WRITE; else never)
    `is_made`      whether this process made it, rather than found it in Redis
    `retry_at`     before it nobody begins to make it anew: somebody is at it, or failed a moment ago
    `used`         whether it was read since the memory last considered to evict it
    """

    __slots__ = (
        "due", "fetched", "fresh_until", "here_until", "is_made", "life_seconds", "making_seconds", "payload",
        "retry_at", "stale_until", "used", "written",
    )  # fmt: skip

    def __init__(self, entry: Entry, fetched: float) -> None:
        self.payload = entry.payload
        self.fetched = fetched
        # A pod whose clock is ahead must not make an answer live longer here.
        self.written = min(entry.written_milliseconds / 1000, fetched)
        self.life_seconds = entry.life_milliseconds / 1000
        self.making_seconds = entry.making_milliseconds / 1000
        self.retry_at = 0.0
        self.used = False
        self.is_made = False
        self.due = self.fresh_until = self.stale_until = self.here_until = 0.0

    def bind(self, ttl_seconds: float, window_seconds: float, l1_seconds: float) -> None:
        """Compute the times under the settings in force. A negative entry has no window and no early refresh."""
        life = min(self.life_seconds, ttl_seconds)
        self.fresh_until = self.written + life
        self.here_until = self.fetched + l1_seconds
        if self.payload is None:
            self.stale_until = self.fresh_until
            self.due = min(self.fresh_until, self.here_until)
        else:
            self.stale_until = self.fresh_until + window_seconds
            self.due = min(earliest(self.fresh_until, life, self.making_seconds), self.here_until)


NOWHERE_ELSE_WRITTEN = math.inf
"""`l1_seconds` of a group whose TTL alone decides."""
