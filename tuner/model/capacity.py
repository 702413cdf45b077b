"""Capacity by pool size: X(C), transactions/s that the database gives when C server connections are kept busy.

Formula: X(C) = sum over pods of (saturated transactions / saturated seconds), C = connections over all pooler pods.
Units:   transactions/s, connections.
Regime:  only seconds with clients waiting (>= 0.25 x size) count: a pool without a queue shows demand, not capacity.
         Keyed by the size that was set: n = X x query seconds/transactions carries the noise of S, and with 10% noise
         a perfectly scaling database then shows an elasticity of 0.17. A tick counts when the saturated pods hold at
         least half of the connections and were saturated at least half of the time.
Source:  CONTROL.md, Pool size (simulated and measured).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tuner.observation import Absent, Maybe, PoolerPod

MAX_SIZES = 24
MAX_SAMPLES = 12
SATURATED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One tick at one size; `saturated` tells capacity from demand."""

    size: int
    rate: float
    saturated: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """The newest samples of one size, oldest first, and when the last was taken."""

    rates: tuple[float, ...]
    time: float

    @property
    def rate(self) -> float:
        return sum(self.rates) / len(self.rates)

    @property
    def relative_error(self) -> float:
        """Standard error of the mean as a share of it; infinite for one sample."""
        return relative_error(self.rates)


def relative_error(rates: tuple[float, ...]) -> float:
    """Standard error of the mean of `rates` as a share of that mean; infinite for fewer than two or a mean of 0."""
    count = len(rates)
    mean = sum(rates) / count if count else 0.0
    if count < 2 or mean <= 0:
        return math.inf
    variance = sum((rate - mean) ** 2 for rate in rates) / (count - 1)
    return math.sqrt(variance / count) / mean


@dataclass(frozen=True, slots=True)
class Capacity:
    """What each size gave. `pods`: ready pooler pods when it was measured; another number starts anew."""

    sizes: tuple[tuple[int, Evidence], ...] = ()
    pods: int = 0

    def at(self, size: int) -> Evidence | None:
        return dict(self.sizes).get(size)

    def best(self) -> float | None:
        """The highest mean rate of any size, transactions/s."""
        return max((evidence.rate for _, evidence in self.sizes), default=None)

    def knee(self, tolerance: float = 0.97) -> int | None:
        """C*: the least size with X >= tolerance x the best X measured."""
        best = self.best()
        if best is None:
            return None
        return min(size for size, evidence in self.sizes if evidence.rate >= tolerance * best)

    def learn(self, sample: Sample, pods: int, now: float) -> Capacity:
        """With one more saturated sample; samples without a queue teach nothing."""
        known = self if pods == self.pods else Capacity(pods=pods)
        if not sample.saturated:
            return known
        sizes = dict(known.sizes)
        old = sizes.get(sample.size)
        rates = (*old.rates, sample.rate) if old else (sample.rate,)
        sizes[sample.size] = Evidence(rates[-MAX_SAMPLES:], now)
        if len(sizes) > MAX_SIZES:
            del sizes[min(sizes, key=lambda size: sizes[size].time)]
        return replace(known, sizes=tuple(sorted(sizes.items())))


def sample_of(pods: tuple[PoolerPod, ...], size: int, interval_seconds: float) -> Maybe[Sample]:
    """This tick's sample at the set size `size` (a pod), of the ready `pods`.

    Absent where a ready pod shows no data or another size than the one that was set.
    """
    if not pods:
        return Absent("no pooler pod is ready")
    rate = 0.0
    saturated = 0
    for pod in pods:
        if isinstance(pod.pool_size, Absent):
            return Absent(f"pool size of {pod.name}: {pod.pool_size.reason}")
        if isinstance(pod.transactions_per_second, Absent):
            return Absent(f"transactions of {pod.name}: {pod.transactions_per_second.reason}")
        if isinstance(pod.saturated, Absent):
            return Absent(f"saturated seconds of {pod.name}: {pod.saturated.reason}")
        if pod.pool_size != size:
            return Absent(f"{pod.name} has pool size {pod.pool_size}, {size} was set")
        seconds = sum(entry.seconds for entry in pod.saturated if entry.size == size)
        done = sum(entry.transactions for entry in pod.saturated if entry.size == size)
        if seconds > 0 and seconds >= SATURATED_SHARE * interval_seconds:
            saturated += 1
            rate += done / seconds
        else:
            rate += pod.transactions_per_second
    return Sample(size=size, rate=rate, saturated=saturated >= max(1.0, SATURATED_SHARE * len(pods)))
