"""Slowdown: is the same work taking longer than it did, at the same pool size and throughput?

Formula: g = ln(S_norm / S_before), S = query seconds/queries of the pooler, S_norm = S/m with the mix factor m
         (mix.py), S_before = the mean of earlier ticks at the same pool size and the next throughput >= the
         present one.
Units:   dimensionless; g = 0.22 is 25% slower.
Regime:  S rises with the throughput X until the pool saturates (more busy servers share the machine), so a reference
         from a higher X is an upper bound of what is normal. Above every X seen before there is no evidence: a load
         step is no slowdown. A verdict needs g > 0.22; one tick blocks growth, two make it Degraded, and it ends when
         the mean of the last ticks is below the threshold or g was stable (spread < 0.1) for 4 ticks: the new normal.
Source:  CONTROL.md, Verdict (simulated); the key by throughput is reasoned: keyed by busy servers a slowdown hides,
         because it raises their number too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

THRESHOLD = 0.22
STABLE_SPREAD = 0.1
STABLE_TICKS = 4
WEIGHT = 0.2
BUCKET = math.log(1.25)
MAX_REFERENCES = 160


@dataclass(frozen=True, slots=True)
class Reference:
    """Mean ln S at one pool size (connections) in one bucket of ln X."""

    size: int
    bucket: int
    log_service: float
    ticks: int


@dataclass(frozen=True, slots=True)
class Slowdown:
    """References, and the last values of g since the service began to be slow (empty while it is not)."""

    references: tuple[Reference, ...] = ()
    recent: tuple[float, ...] = ()

    @property
    def suspected(self) -> bool:
        """One tick above the threshold: growth waits."""
        return bool(self.recent)

    @property
    def degraded(self) -> bool:
        """Two ticks above the threshold."""
        return len(self.recent) >= 2

    @property
    def g(self) -> float | None:
        """The median of the slow ticks, None while nothing is slow."""
        ordered = sorted(self.recent)
        return ordered[len(ordered) // 2] if ordered else None

    def learn(self, size: int, rate: float, service_seconds: float) -> Slowdown:
        """After one tick with `rate` transactions/s and S = `service_seconds` at pool size `size`."""
        if rate <= 0 or service_seconds <= 0:
            return self
        bucket = math.floor(math.log(rate) / BUCKET)
        log_service = math.log(service_seconds)
        before = self.before(size, bucket)
        g = None if before is None else log_service - before
        if g is not None and g > THRESHOLD:
            recent = (*self.recent, g)[-2 * STABLE_TICKS :]
            tail = recent[-STABLE_TICKS:]
            if len(recent) > STABLE_TICKS and max(tail) - min(tail) < STABLE_SPREAD:
                return Slowdown()._with(size, bucket, log_service)
            return replace(self, recent=recent)
        return replace(self, recent=())._with(size, bucket, log_service)

    def before(self, size: int, bucket: int) -> float | None:
        """Mean ln S at `size` in the next bucket at or above `bucket`; needs two ticks of evidence."""
        above = [r for r in self.references if r.size == size and r.bucket >= bucket and r.ticks >= 2]
        return min(above, key=lambda r: r.bucket).log_service if above else None

    def forgotten(self) -> Slowdown:
        """After a change of the mix: what was normal before says nothing now."""
        return Slowdown()

    def _with(self, size: int, bucket: int, log_service: float) -> Slowdown:
        rest = [r for r in self.references if (r.size, r.bucket) != (size, bucket)]
        old = next((r for r in self.references if (r.size, r.bucket) == (size, bucket)), None)
        if old is None:
            new = Reference(size, bucket, log_service, 1)
        else:
            weight = max(WEIGHT, 1 / (old.ticks + 1))
            mean = old.log_service + weight * (log_service - old.log_service)
            new = Reference(size, bucket, mean, old.ticks + 1)
        return replace(self, references=tuple([*rest, new][-MAX_REFERENCES:]))
