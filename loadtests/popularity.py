"""Which key is asked for: Zipf popularity, p(rank) proportional to 1 / rank^s.

Drawn by inverting the continuous distribution on [1, n + 1), so that a million keys cost no table:
    s != 1: F(x) = (x^(1-s) - 1) / ((n+1)^(1-s) - 1);    s = 1: F(x) = ln x / ln(n+1)
The rank is floor(x). Ranks are spread over the keys by a fixed stride, so that hot keys are not neighbours on disk.
"""

from __future__ import annotations

import math
from random import Random


class ZipfKeys:
    """Keys 1..n. `exponent` 0 is uniform; web traffic is near 0.9 (Breslau et al. 1999, between 0.64 and 0.83 to 1)."""

    def __init__(self, n: int, exponent: float, random: Random) -> None:
        self._n = n
        self._random = random
        self._power = 1.0 - exponent
        self._stride = _coprime_near(int(n * 0.618), n)

    def rank(self) -> int:
        u = self._random.random()
        if abs(self._power) < 1e-9:
            x = math.exp(u * math.log(self._n + 1))
        else:
            x = (1 + u * ((self._n + 1) ** self._power - 1)) ** (1 / self._power)
        return min(self._n, int(x))

    def draw(self) -> int:
        return self.rank() * self._stride % self._n + 1


def _coprime_near(start: int, n: int) -> int:
    candidate = max(1, start)
    while math.gcd(candidate, n) != 1:
        candidate += 1
    return candidate
