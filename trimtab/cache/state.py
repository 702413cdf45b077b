"""A group in one process: its settings in force, what the memory has of it, its counts."""

from __future__ import annotations

import random

from trimtab.cache.entry import Entry
from trimtab.cache.groups import CacheGroup, Invalidation
from trimtab.cache.held import NOWHERE_ELSE_WRITTEN, Held
from trimtab.cache.keys import KeySample
from trimtab.cache.leases import MakingTime
from trimtab.cache.stats import GroupStats

TTL_JITTER = 0.1
"""An entry lives between (1 - jitter) and 1 times the TTL: entries of one moment do not expire in one moment."""


class GroupState:
    """Of one group.

    `writes` counts the invalidations in this process: what was being made before one of them is not kept.
    When `audit_at` hits were counted the next one is left to the audit; `audit_due`: peek has left it.
    """

    __slots__ = (
        "audit_at", "audit_due", "group", "held", "is_versioned", "keys", "l1_seconds", "making", "name", "stats",
        "ttl_seconds", "window_seconds", "writes",
    )  # fmt: skip

    def __init__(self, group: CacheGroup, held: dict[str, Held], stats: GroupStats) -> None:
        self.group = group
        self.name = group.name
        self.held = held
        self.stats = stats
        self.keys = KeySample()
        self.making = MakingTime()
        self.is_versioned = group.invalidation is Invalidation.ON_WRITE
        self.l1_seconds = group.l1_seconds if self.is_versioned else NOWHERE_ELSE_WRITTEN
        self.writes = 0
        self.audit_at = 0
        self.audit_due = False
        self.ttl_seconds = 0
        self.window_seconds = 0.0
        self.set_ttl(group.ttl_seconds)

    def set_ttl(self, seconds: int) -> None:
        """Put a TTL in force, and the window that goes with it, for what is held too."""
        self.ttl_seconds = seconds
        self.window_seconds = min(self.group.stale_seconds, seconds)
        for held in self.held.values():
            held.bind(seconds, self.window_seconds, self.l1_seconds)

    def hold(self, entry: Entry, fetched: float) -> Held:
        """An entry as this process may use it."""
        held = Held(entry, fetched)
        held.bind(self.ttl_seconds, self.window_seconds, self.l1_seconds)
        return held

    def new_life_milliseconds(self, *, negative: bool) -> int:
        """How long an answer made now lives. 0: it is not kept."""
        ttl = min(self.ttl_seconds, self.group.negative_seconds) if negative else self.ttl_seconds
        return int(1000 * ttl * random.uniform(1 - TTL_JITTER, 1))  # noqa: S311

    def count_key(self, key: str, now: float, *, written: bool = False) -> None:
        """Count a read or a write of a key in the histogram, if the key is in the sample."""
        hashed = hash(key)
        if not hashed & self.keys.mask:
            (self.keys.write if written else self.keys.read)(hashed, now)
