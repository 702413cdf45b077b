"""The moves of one tick: every law proposes, every guard has its say, one group is chosen.

Order: undo, fallback, lowered limits (safety); then the knob of the binding queue; then the others. A pool or replica
move takes the re-split of the API's pools along, in the same document.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tuner.crds.policy import TuningPolicySpec
from tuner.crds.status import Bottleneck, KnobName, ttl_knob
from tuner.decide import apppool, guards, pool, replicas, ttl
from tuner.decide.decision import Reason
from tuner.decide.memory import Memory
from tuner.decide.proposal import Guard, Proposal, guarded, stay
from tuner.decide.settle import reason_to_wait
from tuner.decide.situation import Budget, Situation
from tuner.model.beliefs import Beliefs
from tuner.observation import Absent, present

POOL = KnobName.POOLER_POOL_SIZE.value
API_POOL = KnobName.API_POOL_SIZE.value
CONCURRENCY = KnobName.API_CONCURRENCY.value
REPLICAS = KnobName.REPLICAS.value

_FIRST: dict[Bottleneck, tuple[str, ...]] = {
    Bottleneck.APP_POOL: (API_POOL, CONCURRENCY),
    Bottleneck.REPLICAS: (REPLICAS,),
}


@dataclass(frozen=True, slots=True)
class Moves:
    """`proposals`: one a listed knob, guarded. `chosen`: those that move now. `pool_step`: its law's memory."""

    proposals: tuple[Proposal, ...]
    chosen: tuple[Proposal, ...]
    pool_step: pool.PoolStep | None
    memory: Memory


def propose(situation: Situation, beliefs: Beliefs, memory: Memory) -> Moves:
    """Every listed knob's move, and which of them happen now."""
    step, memory = _pool(situation, beliefs, memory)
    wishes: list[Proposal] = [step.proposal] if step else []
    replica_wish, memory = _replicas(situation, beliefs, memory)
    wishes += [replica_wish] if replica_wish else []
    wishes += _ttls(situation, beliefs)
    wishes = _overruled(situation, memory, wishes)
    done = [_guard(situation, memory, wish) for wish in wishes]
    done += _app(situation, memory, done, resplit=False)
    chosen = _choose(situation, done)
    if any(p.knob in (POOL, REPLICAS) for p in chosen):
        follow = [p for p in _app(situation, memory, list(chosen), resplit=True) if p.moves]
        chosen = (*(p for p in chosen if p.knob not in (API_POOL, CONCURRENCY)), *follow)
    taken = {p.knob: p for p in chosen}
    waits = f"waits for {', '.join(taken)}" if taken else ""
    final = tuple(taken.get(p.knob) or (p.held(Reason.SETTLING, waits) if p.moves else p) for p in done)
    return Moves(final, chosen, step, memory)


def _pool(situation: Situation, beliefs: Beliefs, memory: Memory) -> tuple[pool.PoolStep | None, Memory]:
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
    )
    step = pool.propose(view, beliefs.capacity, memory.pool)
    return step, replace(memory, pool=step.if_not)


def pool_range(low: int, high: int, unit: int, budget: Budget) -> tuple[int, int]:
    """Bounds and budget in whole units (one connection a pod); where no size is in both bounds the upper one holds."""
    highest = min(high // unit, budget.largest) * unit
    return min(-(-low // unit) * unit, highest), highest


def _replicas(situation: Situation, beliefs: Beliefs, memory: Memory) -> tuple[Proposal | None, Memory]:
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
    return replicas.propose(current, beliefs.arrivals, cost, ahead, memory)


def _ttls(situation: Situation, beliefs: Beliefs) -> list[Proposal]:
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


def _app(situation: Situation, memory: Memory, others: list[Proposal], resplit: bool) -> list[Proposal]:
    """The API's own pools and admission, after the moves in `others`."""
    spec, now = situation.spec, situation.in_force
    after = {p.knob: p.wanted for p in others}
    proposals: list[Proposal] = []
    size = now.api_pool
    if spec.knobs.api_pool_size is not None and size is not None:
        if situation.problem or situation.verdict.bottleneck is Bottleneck.UNKNOWN:
            wish = stay(API_POOL, size, Reason.MISSING_DATA, situation.verdict.evidence)
        elif size > (most := _most_api_pool(situation)):
            message = f"{size} connections a pod are more than bounds and budget now allow ({most})"
            wish = Proposal(API_POOL, size, most, Reason.LIMIT_LOWERED, message, safety=True)
        else:
            pods = max(after.get(REPLICAS, now.replicas or 1), len(situation.ready_apis), 1)
            total = after.get(POOL, now.connections) if resplit else now.connections
            wish = apppool.propose_pool(size, total if spec.pooler else None, pods, situation.verdict, resplit)
        done = _guard(situation, memory, wish, follows=resplit)
        proposals.append(done)
        size = done.wanted
    if spec.knobs.api_concurrency is not None and now.concurrency is not None and size is not None:
        if situation.problem or situation.verdict.bottleneck is Bottleneck.UNKNOWN:
            wish = stay(CONCURRENCY, now.concurrency, Reason.MISSING_DATA, situation.verdict.evidence)
        else:
            wish = apppool.propose_concurrency(now.concurrency, size)
        proposals.append(_guard(situation, memory, wish, follows=resplit))
    return proposals


def _most_api_pool(situation: Situation) -> int:
    """The policy's upper bound; without a pooler also what the budget leaves a pod, at least one connection."""
    high = bounds_of(situation.spec, API_POOL)[1]
    budget = present(situation.budget)
    return max(1, min(high, budget.largest)) if budget is not None and budget.by_api_pods else high


def _overruled(situation: Situation, memory: Memory, wishes: list[Proposal]) -> list[Proposal]:
    """Undo and fallback take the place of what the laws want."""
    overruling = _fallback(situation, memory) if situation.problem else _undo(memory, situation)
    if not overruling:
        return wishes
    return [overruling.get(w.knob, w) for w in wishes] + [
        p for knob, p in overruling.items() if knob not in {w.knob for w in wishes}
    ]


def _undo(memory: Memory, situation: Situation) -> dict[str, Proposal]:
    pending = memory.pending
    if pending is None or not pending.undo or pending.judged:
        return {}
    present_values = current_values(situation)
    undone = {}
    for decision in pending.decisions:
        current = present_values.get(decision.knob)
        if current == decision.after and decision.knob not in (API_POOL, CONCURRENCY):
            message = f"{decision.after} made things worse: back to {decision.before}"
            undone[decision.knob] = Proposal(
                decision.knob, current, decision.before, Reason.UNDO, message, urgent=True, safety=True
            )
    return undone


def current_values(situation: Situation) -> dict[str, int]:
    """The knobs' values in force, in the policy's units; what nobody can tell is left out."""
    now = situation.in_force
    values = {POOL: now.connections, API_POOL: now.api_pool, CONCURRENCY: now.concurrency, REPLICAS: now.replicas}
    known = {knob: value for knob, value in values.items() if value is not None}
    return known | {ttl_knob(group): seconds for group, seconds in now.ttl.items()}


def _fallback(situation: Situation, memory: Memory) -> dict[str, Proposal]:
    """After a long absence: an unfinished trial goes back down, replicas and TTLs to what was last good."""
    last = memory.last_fresh
    after = situation.spec.prometheus.fallback_after_seconds
    if not situation.metrics_only or last is None or situation.now - last < after:
        return {}
    values = current_values(situation)
    wanted: dict[str, int] = {}
    probe = memory.pool.probe
    if probe is not None and probe.upward and values.get(POOL) == probe.size:
        wanted[POOL] = probe.base
    if memory.last_good.replicas is not None:
        wanted[REPLICAS] = memory.last_good.replicas
    wanted |= {ttl_knob(group): seconds for group, seconds in memory.last_good.ttl_seconds}
    listed = listed_knobs(situation.spec)
    message = f"no measurements for {situation.now - last:.0f} s: back to what was last known to be good"
    return {
        knob: Proposal(knob, values[knob], value, Reason.FALLBACK, message, urgent=True, safety=True)
        for knob, value in wanted.items()
        if knob in values and knob in listed and value != values[knob]
    }


def listed_knobs(spec: TuningPolicySpec) -> set[str]:
    """The knobs that the policy lists."""
    knobs = spec.knobs
    named = {
        POOL: knobs.pooler_pool_size, API_POOL: knobs.api_pool_size,
        CONCURRENCY: knobs.api_concurrency, REPLICAS: knobs.replicas,
    }  # fmt: skip
    return {knob for knob, bounds in named.items() if bounds is not None} | {ttl_knob(g) for g in knobs.ttl_by_group}


def bounds_of(spec: TuningPolicySpec, knob: str) -> tuple[int, int]:
    """The policy's range of a listed knob."""
    knobs = spec.knobs
    named = {
        POOL: knobs.pooler_pool_size, API_POOL: knobs.api_pool_size,
        CONCURRENCY: knobs.api_concurrency, REPLICAS: knobs.replicas,
    }  # fmt: skip
    limits = named.get(knob) or next(entry for entry in knobs.cache_ttl if ttl_knob(entry.group) == knob)
    return limits.bounds


def _guard(situation: Situation, memory: Memory, proposal: Proposal, follows: bool = False) -> Proposal:
    """`proposal` after every guard. `follows`: it goes along with a move that need not wait."""
    spec, now = situation.spec, situation.now
    unit = situation.in_force.unit if proposal.knob == POOL else 1
    own_probe = proposal.knob == POOL and proposal.urgent and memory.pending is not None
    wait = "" if follows else _wait(situation, memory, proposal, own_probe)
    stack: list[Guard] = [
        guards.when_paused(situation.paused),
        guards.during_freeze(spec.behavior.freeze, now),
        guards.without_data(situation.problem, fallback=situation.metrics_only),
        guards.on_conflict(situation.observation.conflicts, situation.observation.target.changed_by_hand_at, now),
        guards.quarantined(memory.quarantine, now),
        guards.no_growth(situation.verdict, situation.slowing),
        guards.settled(wait),
        guards.within_step(spec.behavior.max_step_percent, unit),
        guards.within_bounds(*bounds_of(spec, proposal.knob)),
    ]
    if not follows:
        stack.append(guards.cooled_down(memory, spec.behavior.cooldown_seconds, now))
    stack += _budget_guard(situation, proposal.knob)
    return guarded(proposal, tuple(stack))


def _wait(situation: Situation, memory: Memory, proposal: Proposal, own_probe: bool) -> str:
    pending = memory.pending
    if own_probe and pending is not None and pending.confirmed_at is not None:
        return ""
    wait = reason_to_wait(situation, pending, proposal.urgent)
    if not wait and memory.pool.probe is not None and proposal.knob != POOL:
        return f"a trial of {memory.pool.probe.size} server connections is under way"
    return wait


def _budget_guard(situation: Situation, knob: str) -> list[Guard]:
    budget = present(situation.budget)
    if budget is None:
        return []
    if knob == POOL:
        unit = situation.in_force.unit
        return [guards.within_budget(budget.largest * unit, budget.fence.allocatable, unit)]
    if knob == API_POOL and budget.by_api_pods:
        return [guards.within_budget(budget.largest, budget.fence.allocatable)]
    return []


def _choose(situation: Situation, proposals: list[Proposal]) -> tuple[Proposal, ...]:
    moving = [p for p in proposals if p.moves]
    safety = tuple(p for p in moving if p.safety)
    if safety:
        return safety
    first = _FIRST.get(situation.verdict.bottleneck, (POOL,))
    for knobs in (first, (POOL,), (API_POOL, CONCURRENCY), (REPLICAS,)):
        group = tuple(p for p in moving if p.knob in knobs)
        if group:
            return group
    return tuple(moving)
