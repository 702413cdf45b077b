"""Groups of cached answers: what they share is a TTL, a way of invalidation and the tables they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trimtab.knobs.document import MAX_TTL_SECONDS


class Invalidation(StrEnum):
    """How a group learns of writes.

    ON_WRITE: the service calls `invalidate` after each commit; the TTL bounds only the in-process tier and outside
    writers. NONE: nobody tells; the TTL decides how stale an answer may be.
    """

    ON_WRITE = "OnWrite"
    NONE = "None"


@dataclass(frozen=True)
class CacheGroup:
    """A group and its settings while no knobs document says otherwise.

    `l1_seconds` bounds how long another pod's write may go unnoticed in this process (groups ON_WRITE only; elsewhere
    the TTL does). `negative_seconds` bounds the life of "there is no such thing", 0 to not store it. `stale_seconds`:
    for so long beyond the TTL, and no longer than the TTL itself, an answer is still served while it is made anew; 0
    for never. `tables` are for the tuner, which compares their write rates with `trimtab_cache_writes_total`.
    """

    name: str
    ttl_seconds: int
    invalidation: Invalidation = Invalidation.NONE
    tables: tuple[str, ...] = ()
    l1_seconds: float = 1.0
    negative_seconds: float = 1.0
    stale_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.ttl_seconds <= MAX_TTL_SECONDS:
            raise ValueError(
                f"the TTL of the cache group {self.name} is {self.ttl_seconds} s, must be 1 to {MAX_TTL_SECONDS}"
            )
        for setting in ("l1_seconds", "negative_seconds", "stale_seconds"):
            seconds = getattr(self, setting)
            if not 0 <= seconds <= MAX_TTL_SECONDS:
                raise ValueError(
                    f"{setting} of the cache group {self.name} is {seconds} s, must be 0 to {MAX_TTL_SECONDS}"
                )
