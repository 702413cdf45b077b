"""The law in one look: count what was seen, then judge the trial that is under way or see whether one should begin."""

from __future__ import annotations

from dataclasses import replace

from tuner.decide.memory import PoolMemory
from tuner.decide.pool.judge import during
from tuner.decide.pool.start import between
from tuner.decide.pool.view import BUSY_ENOUGH, PoolStep, PoolView
from tuner.model.capacity import Capacity
from tuner.observation import Absent


def propose(view: PoolView, capacity: Capacity, memory: PoolMemory) -> PoolStep:
    """The next move of the pool, or why it stays."""
    if view.mix_changed and view.news:
        memory = replace(memory, up_blocked_until=0.0, down_blocked_until=0.0, up_failures=0, down_failures=0)
    memory = _count(view, memory)
    if memory.probe is not None:
        return during(view, capacity, memory, memory.probe)
    return between(view, capacity, memory)


def _count(view: PoolView, memory: PoolMemory) -> PoolMemory:
    if isinstance(view.sample, Absent) or not view.news:
        return memory
    crowded = not isinstance(view.executing, Absent) and view.executing >= BUSY_ENOUGH
    troubled = view.violated and crowded and not view.sample.saturated
    return replace(
        memory,
        saturated_ticks=min(99, memory.saturated_ticks + 1) if view.sample.saturated else 0,
        troubled_ticks=min(99, memory.troubled_ticks + 1) if troubled else 0,
    )
