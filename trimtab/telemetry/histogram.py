"""A histogram that costs a request a fraction of a microsecond.

prometheus-client's own walks over the buckets and takes two locks for each value, which is a measurable share of a
small request. Here a value is a bisection and two additions. Written by one thread, that of the event loop, and read by
the thread that answers the scrape: a reader sees each number whole, and buckets and sum at most one value apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Observations:
    """Values counted by bucket. A value equal to a bound belongs below it, as Prometheus wants (`le`)."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value. Not for several threads."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def sum(self) -> float:
        """The sum of all values."""
        return self._sum

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, values at most so large), ending with +Inf: what HistogramMetricFamily takes."""
        return cumulative(self._bounds, list(self._counts))


def cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Counts by bucket as Prometheus tells them: each with all below it."""
    total, buckets = 0, []
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
