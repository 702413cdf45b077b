"""Counts that the cache keeps and the telemetry exports. Plain numbers, so that a hit costs one addition.

The metrics are read by another thread: everything here hands out copies.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

FILL_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
AUDIT_RESULTS = ("fresh", "stale", "error")


class FillTimes:
    """How long answers took to make, as a histogram with the bounds FILL_BUCKETS_SECONDS."""

    def __init__(self) -> None:
        self.counts = [0] * (len(FILL_BUCKETS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(FILL_BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds


class GroupStats:
    """The counts of one group. `hits` are those of the in-process tier, kept apart because they are the hot path."""

    __slots__ = ("audits", "fills", "hits", "requests", "writes")

    def __init__(self) -> None:
        self.hits = 0
        self.requests: Counter[tuple[str, str]] = Counter()
        self.writes = 0
        self.fills = FillTimes()
        self.audits: Counter[str] = Counter(dict.fromkeys(AUDIT_RESULTS, 0))

    def count(self, tier: str, result: str) -> None:
        """Count one request to a tier (`memory`, `redis`): stale, miss, negative or error, and the hits of `redis`."""
        self.requests[tier, result] += 1


class CacheStats:
    """The counts of all groups."""

    def __init__(self, groups: Iterable[str]) -> None:
        self.of: Mapping[str, GroupStats] = {group: GroupStats() for group in groups}

    @property
    def requests(self) -> Counter[tuple[str, str, str]]:
        """Requests by (group, tier, result), those that occurred."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for group, stats in self.of.items():
            if stats.hits:
                counts[group, "memory", "hit"] = stats.hits
            for (tier, result), count in stats.requests.copy().items():
                counts[group, tier, result] = count
        return counts

    @property
    def writes(self) -> dict[str, int]:
        """Invalidations by group."""
        return {group: stats.writes for group, stats in self.of.items()}

    @property
    def fills(self) -> dict[str, FillTimes]:
        """Times of making by group."""
        return {group: stats.fills for group, stats in self.of.items()}

    @property
    def audits(self) -> dict[tuple[str, str], int]:
        """Audited answers by (group, result): fresh, stale, error."""
        return {
            (group, result): count for group, stats in self.of.items() for result, count in stats.audits.copy().items()
        }
