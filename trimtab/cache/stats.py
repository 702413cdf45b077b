"""Counts that the cache keeps and the telemetry exports. Plain numbers, so that a hit costs one dictionary step."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

FILL_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class FillTimes:
    """How long answers took to make, as a histogram with the bounds FILL_BUCKETS_SECONDS."""

    def __init__(self) -> None:
        self.counts = [0] * (len(FILL_BUCKETS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(FILL_BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds


class CacheStats:
    """Requests by (group, tier, result), writes by group, fill times by group."""

    def __init__(self, groups: list[str]) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.writes: Counter[str] = Counter(dict.fromkeys(groups, 0))
        self.fills = {group: FillTimes() for group in groups}

    def count(self, group: str, tier: str, result: str) -> None:
        """Count one request to a tier (`memory`, `redis`): hit, miss, negative or error."""
        self.requests[group, tier, result] += 1
