"""Arrival forecast: Holt's linear method with jump detection.

Formula: level_t = a y + (1 - a)(level + slope dt); slope_t = b (level_t - level_(t-1))/dt + (1 - b) slope;
         forecast(h) = level + max(0, slope) h; sigma^2 = mean of squared one-step errors (exponential weights).
         A one-step error beyond 3 sigma (and 20% of the level) in two ticks running is a jump: the level restarts
         there, the slope at 0.
Units:   requests/s, seconds.
Regime:  ticks of 5 to 300 s; needs 3 ticks before it says anything.
Source:  C. C. Holt 1957; CONTROL.md, Replicas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ALPHA = 0.4
BETA = 0.1
GAMMA = 0.1
JUMP_SIGMAS = 3.0
JUMP_SHARE = 0.2
WARM_TICKS = 3


@dataclass(frozen=True, slots=True)
class Arrivals:
    level: float = 0.0
    slope: float = 0.0
    variance: float = 0.0
    ticks: int = 0
    outliers: int = 0
    time: float = 0.0

    @property
    def warm(self) -> bool:
        return self.ticks >= WARM_TICKS

    @property
    def sigma(self) -> float:
        return math.sqrt(self.variance)

    def learn(self, per_second: float, now: float) -> Arrivals:
        dt = now - self.time
        if self.ticks == 0 or dt <= 0:
            return Arrivals(level=per_second, ticks=1, time=now)
        expected = self.level + self.slope * dt
        error = per_second - expected
        limit = max(JUMP_SIGMAS * self.sigma, JUMP_SHARE * abs(self.level))
        if self.warm and abs(error) > limit:
            if self.outliers >= 1:
                return Arrivals(level=per_second, variance=self.variance, ticks=self.ticks + 1, time=now)
            return Arrivals(self.level, self.slope, self.variance, self.ticks + 1, 1, now)
        level = expected + ALPHA * error
        slope = self.slope + BETA * ((level - self.level) / dt - self.slope)
        variance = self.variance + GAMMA * (error * error - self.variance)
        return Arrivals(level, slope, variance, self.ticks + 1, 0, now)

    def forecast(self, ahead_seconds: float) -> float:
        """Requests/s in `ahead_seconds`; a falling load is not extrapolated."""
        return max(0.0, self.level + max(0.0, self.slope) * ahead_seconds)
