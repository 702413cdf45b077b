"""The moves of one tick: every law proposes, every guard has its say, one group is chosen.

Order: undo, fallback, lowered limits (safety); then the knob of the binding queue; then the others. A pool or replica
move takes the re-split of the API's pools along, in the same document.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.crds.status import Bottleneck
from tuner.decide import apppool, guards, pool
from tuner.decide.decision import Reason
from tuner.decide.knobs import API_POOL, CONCURRENCY, POOL, REPLICAS, bounds_of
from tuner.decide.memory import Memory
from tuner.decide.overrule import overruled
from tuner.decide.proposal import Guard, Proposal, guarded, stay
from tuner.decide.settle import reason_to_wait
from tuner.decide.situation import Situation
from tuner.decide.wishes import pool_wish, replicas_wish, ttl_wishes
from tuner.model.beliefs import Beliefs
from tuner.observation import present

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
    step, memory = pool_wish(situation, beliefs, memory)
    wishes: list[Proposal] = [step.proposal] if step else []
    replica_wish, memory = replicas_wish(situation, beliefs, memory)
    wishes += [replica_wish] if replica_wish else []
    wishes += ttl_wishes(situation, beliefs)
    wishes = overruled(situation, memory, wishes)
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
