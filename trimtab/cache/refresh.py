"""When to make an answer anew before it expires, so that nobody waits for it.

Formula: a reader at time t makes anew if  t - beta delta ln(u) >= end,  u uniform in (0, 1];
         so with probability  exp(-(end - t)/(beta delta)).
Units:   seconds; delta is how long the last making took, end is when the answer expires.
Regime:  each read draws for itself: the more readers a key has the earlier the first of them draws, but all of them
         together begin about delta (ln(reads per delta)) before the end. Never in the first half of the life, so that
         an answer that takes longer to make than it lives is not made all the time.
Source:  Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015 (XFetch).
"""

from __future__ import annotations

import math

BETA = 1.0

HORIZON = 16.0
"""Earlier than this many times beta delta before the end nobody draws: the probability is below 2e-7."""


def earliest(end: float, life_seconds: float, making_seconds: float) -> float:
    """From when on reads draw."""
    return end - min(HORIZON * BETA * making_seconds, life_seconds / 2)


def is_drawn(now: float, end: float, making_seconds: float, uniform: float) -> bool:
    """Whether the reader who drew `uniform`, in (0, 1], makes the answer anew."""
    return now - BETA * making_seconds * math.log(uniform) >= end
