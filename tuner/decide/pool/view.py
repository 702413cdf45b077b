"""What the probing law looks at and answers with, its constants, and which sizes come next or are blocked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tuner.crds.status import KnobName
from tuner.decide.bottleneck import MIN_GAIN
from tuner.decide.decision import Verdict
from tuner.decide.memory import PoolMemory, Probe
from tuner.decide.proposal import Proposal
from tuner.model.capacity import Capacity, Sample
from tuner.observation import Maybe

KNOB = KnobName.POOLER_POOL_SIZE.value
BLOCK_SECONDS = 1800.0
MAX_BLOCK_SECONDS = 8 * 3600.0
GOOD_GAIN = 0.6
SMALL_FACTOR = 1.5
LARGE_FACTOR = 2.0
KNEE = 0.97
KEEP_BELOW = 0.99
SHORTER = 0.9
NOISY = 0.07
PROBE_TICKS = 2
MAX_PROBE_TICKS = 6
BASE_SAMPLES = 6
BUSY_ENOUGH = 4


@dataclass(frozen=True, slots=True)
class PoolView:
    """What the law looks at in one tick. Sizes in connections over all pods; `unit` is one connection a pod.

    `low` and `high`: bounds and budget, in whole units. `sample` is absent while a move is under way and in the tick
    after it. `executing`: mean number of servers executing queries. `seconds`: mean W + H. `violated`: the objective
    is not met. `news`: whether any of it was measured since the last look; it is not counted or judged twice.
    """

    size: int
    unit: int
    low: int
    high: int
    verdict: Verdict
    slowing: bool
    sample: Maybe[Sample]
    executing: Maybe[float]
    violated: bool
    mix_changed: bool
    seconds: float | None
    now: float
    news: bool = True


@dataclass(frozen=True, slots=True)
class PoolStep:
    """Where the law wants the pool. `if_not` is its memory when nothing is written; `if_done(after)` when it was."""

    proposal: Proposal
    if_not: PoolMemory
    ends_probe: PoolMemory | None = None
    begins: Probe | None = None

    def if_done(self, after: int) -> PoolMemory:
        if self.begins is not None:
            return replace(self.if_not, probe=replace(self.begins, size=after))
        return self.ends_probe or self.if_not


def step_up(size: int, unit: int, factor: float) -> int:
    """The next size upward: factor x `size`, rounded up to whole units, at least one unit more."""
    return max(math.ceil(factor * size / unit), size // unit + 1) * unit


def blocked_above(size: int, unit: int, capacity: Capacity, memory: PoolMemory, now: float) -> bool:
    """Whether the next larger size was tried lately and gave less than MIN_GAIN more.

    A size beyond the next one does not count: a curve that falls again may peak in between.
    """
    if memory.up_blocked_until > now:
        return True
    here = capacity.at(size)
    if here is None:
        return False
    most = step_up(size, unit, SMALL_FACTOR)
    above = [
        e
        for s, e in capacity.sizes
        if size < s <= most and now - e.time < BLOCK_SECONDS and len(e.rates) >= PROBE_TICKS
    ]
    return bool(above) and max(e.rate for e in above) < (1 + MIN_GAIN) * here.rate


def failed(memory: PoolMemory, upward: bool, now: float) -> PoolMemory:
    """After a probe that did not pay: its direction is blocked, longer each time."""
    failures = memory.up_failures if upward else memory.down_failures
    until = now + min(MAX_BLOCK_SECONDS, BLOCK_SECONDS * 2.0 ** min(failures, 8))
    if upward:
        return replace(memory, up_blocked_until=until, up_failures=failures + 1, last_gain=None)
    return replace(memory, down_blocked_until=until, down_failures=failures + 1)
