"""Pool size by probing: try the next size while the queue binds, keep what pays, go back from what does not.

Formula: up:   probe ceil(1.5 C), or 2 C while the last gain was >= 60% of proportional; keep if X rose by
               >= max(3%, 2 se), or the queue is gone and W + H is 10% shorter, else back. After a failed 2 C the
               smaller step is tried too; after a failed 1.5 C up is blocked 30 min, doubled at each failed probe up
               to 8 h.
         down: once up is blocked, probe C/1.5; keep if X >= 0.99 X before and >= 0.97 of the best measured.
         C* = the least size with X >= 0.97 of the best measured; a size above it moves there.
Units:   C in connections over all pooler pods, in steps of one connection a pod; X in transactions/s.
Regime:  up only after 2 saturated ticks; the first tick after a move is dropped (model/beliefs.py). A pool far too
         large never saturates: with >= 4 busy servers and the objective violated for 2 ticks it probes downward once,
         judged by the throughput itself. No shrinking for lack of demand. Where the samples scatter by more than 7%
         a probe takes up to 6 ticks instead of 2. A gain >= 60% of proportional is kept after one tick.
Source:  CONTROL.md, Pool size: of 28 starts probing reached 97% of the best in 25, a fitted curve in 13.
"""

from tuner.decide.pool.law import propose
from tuner.decide.pool.view import (
    BLOCK_SECONDS,
    MAX_BLOCK_SECONDS,
    PoolStep,
    PoolView,
    blocked_above,
    failed,
    step_up,
)

__all__ = [
    "BLOCK_SECONDS",
    "MAX_BLOCK_SECONDS",
    "PoolStep",
    "PoolView",
    "blocked_above",
    "failed",
    "propose",
    "step_up",
]
