"""The plan of one tick: what the shell writes, what it says, and what it remembers.

The shell executes a plan verbatim and decides nothing:

1. `write`: one PUT of the knobs ConfigMap with `resource_version` (create it where that is None); a conflict means that
   somebody else planned too, so the plan is dropped and nothing else of it is done;
2. `scale`: one write of the scale subresource, after the PUT has succeeded;
3. `executed(plan, wrote=..., scaled=...)` is the memory to keep, whatever happened; it goes into the state ConfigMap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trimtab.knobs.document import KnobsDocument
from tuner.crds.policy import Mode
from tuner.crds.status import KnobName, Outcome, TuningPolicy
from tuner.decide import guards
from tuner.decide.budget import charged, dump_ledger, may_publish, next_ledger, parse_ledger
from tuner.decide.conditions import budget_view, conditions
from tuner.decide.decision import BudgetView, Condition, Decision, KnobView, MeasuredCapacity, Reason, Verdict
from tuner.decide.document import next_document
from tuner.decide.inforce import confirmed
from tuner.decide.memory import LastGood, Memory, Pending, PoolMemory, Quarantine
from tuner.decide.moves import Moves, current_values, propose
from tuner.decide.pool import failed
from tuner.decide.proposal import Proposal, guarded
from tuner.decide.regression import block_of, watched
from tuner.decide.replicas import window_after
from tuner.decide.settle import advance, end
from tuner.decide.situation import Situation, survey
from tuner.model.beliefs import Beliefs
from tuner.observation import Observation, Store, present

POOL = KnobName.POOLER_POOL_SIZE.value
REPLICAS = KnobName.REPLICAS.value


@dataclass(frozen=True, slots=True)
class KnobsWrite:
    """One version of the knobs ConfigMap: both keys are written together, so that a crash forgets nothing."""

    document: KnobsDocument
    ledger: str
    resource_version: str | None


@dataclass(frozen=True, slots=True)
class ScaleWrite:
    """A new spec.replicas of the target; `before` is what it was when the plan was made."""

    before: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that follows from one observation.

    `decisions` are the moves that `write` and `scale` carry out (none in Observe and Recommend); `judged` are earlier
    ones whose outcome is now known. `memory` is what to remember if nothing is executed, `pool_if_done` the probing
    law's part of it once the pool has been written.
    """

    policy: str
    time: float
    verdict: Verdict
    knobs: tuple[KnobView, ...]
    decisions: tuple[Decision, ...]
    judged: tuple[Decision, ...]
    write: KnobsWrite | None
    scale: ScaleWrite | None
    budget: BudgetView | None
    capacity: tuple[MeasuredCapacity, ...]
    conditions: tuple[Condition, ...]
    memory: Memory
    pool_if_done: PoolMemory | None = None
    quarantine_seconds: int = 0


def decide(policy: TuningPolicy, observation: Observation, beliefs: Beliefs, memory: Memory, now: float) -> Plan:
    """The plan for this tick: survey, judge the last move, let the laws propose, write what was chosen.

    Deterministic; `beliefs` have already learned from `observation`.
    """
    situation = survey(policy, observation, beliefs, memory, now)
    memory = _remember(situation, memory)
    memory, judged = advance(situation, memory)
    moves = propose(situation, beliefs, memory)
    memory = moves.memory
    write, scale, decisions = _writes(situation, moves)
    return Plan(
        policy=situation.policy,
        time=now,
        verdict=situation.verdict,
        knobs=tuple(_view(situation, p, memory) for p in moves.proposals),
        decisions=decisions,
        judged=judged,
        write=write,
        scale=scale,
        budget=budget_view(situation),
        capacity=tuple(MeasuredCapacity(size, e.rate) for size, e in beliefs.capacity.sizes),
        conditions=conditions(situation, moves, memory),
        memory=memory.bounded(),
        pool_if_done=_pool_if_done(moves),
        quarantine_seconds=situation.spec.rollback.quarantine_seconds,
    )


def executed(plan: Plan, *, wrote: bool, scaled: bool) -> Memory:
    """The memory to keep after the plan's writes: whether the ConfigMap was written, whether the target was scaled."""
    done = tuple(d for d in plan.decisions if (scaled if d.knob == REPLICAS else wrote))
    if not done:
        return plan.memory
    undoing = any(d.reason is Reason.UNDO for d in done)
    memory, _ = end(plan.memory, Outcome.ROLLED_BACK if undoing else Outcome.INCONCLUSIVE)
    changes, directions = dict(memory.last_change), dict(memory.last_direction)
    for decision in done:
        if decision.knob == REPLICAS:
            memory = window_after(memory, decision.after > decision.before, plan.time)
            memory = replace(memory, replica_wishes=())
        if decision.reason is Reason.UNDO:
            memory = _quarantined(memory, decision, plan.time + plan.quarantine_seconds)
        elif decision.knob == POOL and plan.pool_if_done is not None:
            memory = replace(memory, pool=plan.pool_if_done)
        changes[decision.knob] = plan.time
        directions[decision.knob] = 1 if decision.after > decision.before else -1
    pending = Pending(
        decisions=done,
        generation=plan.write.document.generation if plan.write and wrote else None,
        replicas=plan.scale.replicas if plan.scale and scaled else None,
        started=plan.time,
        judged=undoing,
    )
    return replace(
        memory,
        pending=pending,
        last_change=tuple(changes.items())[-64:],
        last_direction=tuple(directions.items())[-64:],
        journal=(*memory.journal, *done),
        rolled_back_at=plan.time if undoing else memory.rolled_back_at,
    ).bounded()


def _quarantined(memory: Memory, undo: Decision, until: float) -> Memory:
    """After an undo: the value that it left is not tried again until `until`, and the pool's trial has failed."""
    upward = undo.before > undo.after
    entry = Quarantine(undo.knob, undo.before, upward, until)
    if undo.knob == POOL:
        memory = replace(memory, pool=replace(failed(memory.pool, upward, undo.time), probe=None))
    return replace(memory, quarantine=(*(q for q in memory.quarantine if q.until > undo.time), entry))


def _remember(situation: Situation, memory: Memory) -> Memory:
    """This tick for the regression check, and what was good when the objective was last met."""
    if situation.problem:
        return memory
    memory = replace(memory, last_fresh=situation.now)
    memory = watched(memory, block_of(situation.ready_poolers, situation.ready_apis, situation.now))
    settled = memory.pending is None or memory.pending.judged
    if situation.bad is not None and not situation.violated and settled:
        good = LastGood(situation.in_force.replicas, tuple(sorted(situation.in_force.ttl.items())))
        memory = replace(memory, last_good=good)
    return memory


def _writes(situation: Situation, moves: Moves) -> tuple[KnobsWrite | None, ScaleWrite | None, tuple[Decision, ...]]:
    """What to write for the chosen moves, checked against the budget once more."""
    chosen = moves.chosen if situation.spec.mode is Mode.APPLY else ()
    scale = next((ScaleWrite(p.current, p.wanted) for p in chosen if p.knob == REPLICAS), None)
    values = {p.knob: p.wanted for p in chosen if p.knob != REPLICAS}
    if not values:
        return (None, scale, tuple(_decision(p, situation.now) for p in chosen)) if chosen else _more_pods(situation)
    policy_pods, stored_pods = _pooler_pods(situation)
    write = _knobs_write(situation, values, policy_pods)
    if write is None and stored_pods is not None:
        # More pods at the present size would break the budget: first the smaller size, the pods once it is confirmed.
        write = _knobs_write(situation, values, stored_pods)
    if write is None:
        return None, None, ()
    return write, scale, tuple(_decision(p, situation.now) for p in chosen)


def _pooler_pods(situation: Situation) -> tuple[int, int | None]:
    """maxPods of the policy, and of the stored document; where there is none, the pods that exist."""
    stored = situation.document.pooler if situation.document else None
    return situation.in_force.unit, stored.max_pods if stored else len(situation.pooler_pods) or None


def _more_pods(situation: Situation) -> tuple[KnobsWrite | None, ScaleWrite | None, tuple[Decision, ...]]:
    """The policy's maxPods has changed and the budget allows it: the same size in a document that says so."""
    stored = situation.document.pooler if situation.document else None
    policy_pods, stored_pods = situation.in_force.unit, stored.max_pods if stored else None
    size = situation.in_force.pooler_size
    applies = situation.spec.mode is Mode.APPLY and situation.spec.knobs.pooler_pool_size is not None
    if not applies or stored_pods is None or size is None or stored_pods == policy_pods:
        return None, None, ()
    message = f"the policy now allows {policy_pods} pooler pods instead of {stored_pods}, of {size} connections each"
    wish = Proposal(POOL, size * stored_pods, size * policy_pods, Reason.MAX_PODS, message)
    stack = (
        guards.when_paused(situation.paused),
        guards.during_freeze(situation.spec.behavior.freeze, situation.now),
        guards.without_data(situation.problem, fallback=False),
        guards.on_conflict(situation.observation.conflicts, None, situation.now),
    )
    write = _knobs_write(situation, {}, policy_pods) if guarded(wish, stack).moves else None
    return (write, None, (_decision(wish, situation.now),)) if write is not None else (None, None, ())


def _knobs_write(situation: Situation, values: dict[str, int], pooler_pods: int) -> KnobsWrite | None:
    """The ConfigMap's next version; None where it would break the budget, whatever the laws have said."""
    budget = present(situation.budget)
    document = next_document(situation, values, pooler_pods)
    if document is None or situation.store is None:
        return None
    if budget is None:
        return _no_more_than_stored(situation, situation.store, document)
    new = charged(document, budget.by_api_pods)
    if new is not None and not may_publish(budget.fence.allocatable, budget.documents, new):
        return None
    ledger = dump_ledger(next_ledger(budget.documents, new))
    return KnobsWrite(document, ledger, situation.store.resource_version)


def _no_more_than_stored(situation: Situation, store: Store, document: KnobsDocument) -> KnobsWrite | None:
    """While the budget cannot be told, as in the fallback: only what allows no more than the stored document does."""
    by_api_pods = situation.spec.pooler is None
    ledger = present(parse_ledger(store.ledger))
    if store.document is None or ledger is None:
        return None
    old, new = charged(store.document, by_api_pods), charged(document, by_api_pods)
    if old is None or new is None or new.pool_size > old.pool_size or new.max_pods > old.max_pods:
        return None
    return KnobsWrite(document, dump_ledger(next_ledger((*ledger.documents, old), new)), store.resource_version)


def _decision(proposal: Proposal, now: float) -> Decision:
    return Decision(
        time=now,
        knob=proposal.knob,
        before=proposal.current,
        after=proposal.wanted,
        reason=proposal.reason,
        message=proposal.message,
        prediction=proposal.prediction,
    )


def _pool_if_done(moves: Moves) -> PoolMemory | None:
    step = moves.pool_step
    after = next((p.wanted for p in moves.chosen if p.knob == POOL), None)
    return step.if_done(after) if step is not None and after is not None else None


def _view(situation: Situation, proposal: Proposal, memory: Memory) -> KnobView:
    observing = situation.spec.mode is Mode.OBSERVE
    current = current_values(situation).get(proposal.knob)
    return KnobView(
        name=proposal.knob,
        current=current,
        recommended=None if observing else proposal.wanted,
        acknowledged=_acknowledged(situation, proposal.knob),
        reason=Reason.OBSERVE_MODE if observing and proposal.moves else proposal.reason,
        message=f"would be: {proposal.message}" if observing and proposal.moves else proposal.message,
        last_change_time=memory.changed_at(proposal.knob),
    )


def _acknowledged(situation: Situation, knob: str) -> str:
    if knob == REPLICAS:
        return ""
    pods = situation.pooler_pods if knob == POOL else situation.api_pods
    document = situation.document
    count = confirmed(pods, document.epoch, document.generation) if document else 0
    return f"{count}/{len(pods)}"


__all__ = ["KnobsWrite", "Plan", "ScaleWrite", "decide", "executed"]
