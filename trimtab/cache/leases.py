"""How long a pod may keep the others from making an answer, and how patiently they wait.

Formula: lease = 2 (s + 4 v), within bounds;  s and v are the exponential means of the making time and of its
         deviation:  v += (|x - s| - v)/4,  s += (x - s)/8.
Units:   seconds.
Regime:  twice what a making takes but for rare ones. A pod that dies keeps the others waiting no longer than that; a
         making that takes longer is begun a second time by somebody else, which costs one read and no answer.
Source:  RFC 6298 (the retransmission timer of TCP), for the mean and the deviation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

MIN_LEASE_SECONDS = 1.0
"""Shorter would let a hiccup of the database double the reads just when it is slow."""

MAX_LEASE_SECONDS = 10.0
FIRST_LEASE_SECONDS = 3.0
"""While no making was measured."""

FIRST_PAUSE_SECONDS = (0.002, 0.05)
MAX_PAUSE_SECONDS = 0.1
"""A waiting pod asks Redis at most so often: with growing pauses some 12 times a second and key."""

PAUSE_GROWTH = 1.6


class MakingTime:
    """How long the answers of a group take to make."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0

    def add(self, seconds: float) -> None:
        """One was made."""
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._mean) - self._deviation) / 4
        self._mean += (seconds - self._mean) / 8

    @property
    def lease_seconds(self) -> float:
        """How long a lease lives."""
        if self._mean is None:
            return FIRST_LEASE_SECONDS
        return min(max(2 * (self._mean + 4 * self._deviation), MIN_LEASE_SECONDS), MAX_LEASE_SECONDS)

    def pauses(self) -> Iterator[float]:
        """Pauses between two looks for the answer that another pod makes; the first is half a making."""
        low, high = FIRST_PAUSE_SECONDS
        pause = min(max((self._mean or 0.0) / 2, low), high)
        while True:
            yield pause * random.uniform(0.75, 1.25)  # noqa: S311
            pause = min(pause * PAUSE_GROWTH, MAX_PAUSE_SECONDS)
