"""What the laws of the pool, the replicas and the TTLs want, before overruling and guards.

Each function turns the situation into what its law looks at, and holds the knob where that cannot be told.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tuner.crds.status import Bottleneck, ttl_knob
from tuner.decide import pool, replicas, ttl
from tuner.decide.decision import Reason
from tuner.decide.knobs import POOL, REPLICAS
from tuner.decide.memory import Memory
from tuner.decide.proposal import Proposal, stay
from tuner.decide.situation import Budget, Situation
from tuner.model.beliefs import Beliefs
from tuner.observation import Absent, present


def pool_wish(situation: Situation, beliefs: Beliefs, memory: Memory) -> tuple[pool.PoolStep | None, Memory]:
    bounds, size = situation.spec.knobs.pooler_pool_size, situation.in_force.connections
    if bounds is None or size is None:
        return None, memory
    if situation.problem or isinstance(situation.budget, Absent):
        return pool.PoolStep(stay(POOL, size, Reason.MISSING_DATA, situation.problem), memory.pool), memory
    low, high = pool_range(bounds.min, bounds.max, situation.in_force.unit, situation.budget)
    if high < situation.in_force.unit:
        message = f"the connection budget of {situation.budget.fence.allocatable} leaves no connection for each pod"
        return pool.PoolStep(stay(POOL, size, Reason.BUDGET, message), memory.pool), memory
    seconds = [present(pod.query_seconds_per_second) for pod in situation.ready_poolers]
    known = [value for value in seconds if value is not None]
    view = pool.PoolView(
        size=size,
        unit=situation.in_force.unit,
        low=low,
        high=high,
        verdict=situation.verdict,
        slowing=situation.slowing,
        sample=situation.sample,
        executing=sum(known) if len(known) == len(seconds) else Absent("query seconds of a pooler pod"),
        violated=situation.violated,
        mix_changed=beliefs.mix_changed_ticks_ago == 0,
        seconds=math.exp(memory.window[-1].log_seconds) if memory.window else None,
        now=situation.now,
        news=situation.observation.news,
    )
    step = pool.propose(view, beliefs.capacity, memory.pool)
    return step, replace(memory, pool=step.if_not)


def pool_range(low: int, high: int, unit: int, budget: Budget) -> tuple[int, int]:
    """Bounds and budget in whole units (one connection a pod); where no size is in both bounds the upper one holds."""
    highest = min(high // unit, budget.largest) * unit
    return min(-(-low // unit) * unit, highest), highest


def replicas_wish(situation: Situation, beliefs: Beliefs, memory: Memory) -> tuple[Proposal | None, Memory]:
    bounds, current = situation.spec.knobs.replicas, situation.in_force.replicas
    if bounds is None or current is None:
        return None, memory
    if situation.problem:
        return stay(REPLICAS, current, Reason.MISSING_DATA, situation.problem), memory
    if situation.verdict.bottleneck is Bottleneck.UNKNOWN:
        return stay(REPLICAS, current, Reason.NO_EVIDENCE, situation.verdict.evidence), memory
    if current > bounds.max:
        message = f"{current} pods are more than the policy now allows ({bounds.max})"
        return Proposal(REPLICAS, current, bounds.max, Reason.LIMIT_LOWERED, message, safety=True), memory
    if current < bounds.min:
        message = f"{current} pods are fewer than the policy's least ({bounds.min})"
        return Proposal(REPLICAS, current, bounds.min, Reason.BOUND, message, urgent=True), memory
    ready = present(situation.observation.target.seconds_to_ready)
    ahead = (
        situation.spec.behavior.tick_seconds
        + (present(situation.observation.metrics_age_seconds) or 0.0)
        + (replicas.DEFAULT_SECONDS_TO_READY if ready is None else ready)
    )
    cost = replicas.cost_of(situation.ready_apis)
    wish, counted = replicas.propose(current, beliefs.arrivals, cost, ahead, memory)
    # Ticks that agree are counted by what was measured in them.
    return wish, counted if situation.observation.news else memory


def ttl_wishes(situation: Situation, beliefs: Beliefs) -> list[Proposal]:
    proposals = []
    busy = database_busy(situation, beliefs)
    for limits in situation.spec.knobs.cache_ttl:
        current = situation.in_force.ttl.get(limits.group)
        if current is None:
            continue
        knob = ttl_knob(limits.group)
        if situation.problem:
            proposals.append(stay(knob, current, Reason.MISSING_DATA, situation.problem))
        else:
            proposals.append(ttl.propose(current, limits, beliefs.caches.of(limits.group), busy))
    return proposals


def database_busy(situation: Situation, beliefs: Beliefs) -> float | None:
    """Share of the database's capacity in use: all of it while saturated, else X/best X, else executing/size."""
    sample, size = situation.sample, situation.in_force.connections
    if situation.verdict.bottleneck in (Bottleneck.UNKNOWN, Bottleneck.STALLED) or isinstance(sample, Absent):
        return None
    if sample.saturated:
        return 1.0
    best = beliefs.capacity.best()
    if best:
        return min(1.0, sample.rate / best)
    seconds = [present(pod.query_seconds_per_second) for pod in situation.ready_poolers]
    known = [value for value in seconds if value is not None]
    return min(1.0, sum(known) / size) if size and len(known) == len(seconds) else None
