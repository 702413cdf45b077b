"""The plan of one tick: what the shell writes, what it says, and what it remembers.

The shell executes a plan verbatim and decides nothing:

1. `write`: one PUT of the knobs ConfigMap with `resource_version` (create it where that is None); a conflict means that
   somebody else planned too, so the plan is dropped and nothing else of it is done;
2. `scale`: one write of the scale subresource, after the PUT has succeeded;
3. `executed(plan, wrote=..., scaled=...)` is the memory to keep, whatever happened; it goes into the state ConfigMap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuner.crds.policy import Mode
from tuner.crds.status import Outcome, TuningPolicy
from tuner.decide.conditions import budget_view, conditions
from tuner.decide.decision import BudgetView, Condition, Decision, KnobView, MeasuredCapacity, Reason, Verdict
from tuner.decide.inforce import confirmed
from tuner.decide.knobs import POOL, REPLICAS, current_values
from tuner.decide.memory import LastGood, Memory, Pending, PoolMemory, Quarantine
from tuner.decide.moves import Moves, propose
from tuner.decide.observed import being_judged, prediction_errors
from tuner.decide.pool import failed
from tuner.decide.proposal import Proposal
from tuner.decide.regression import block_of, watched
from tuner.decide.replicas import window_after
from tuner.decide.settle import advance, end
from tuner.decide.situation import Situation, survey
from tuner.decide.writes import KnobsWrite, ScaleWrite, writes_for
from tuner.model.beliefs import Beliefs
from tuner.observation import Observation


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that follows from one observation.

    `decisions` are the moves that `write` and `scale` carry out (none in Observe and Recommend); `judged` are earlier
    ones whose outcome is now known, `errors` those of their predictions by knob (observed/predicted - 1). `memory` is
    what to remember if nothing is executed, `pool_if_done` the probing law's part of it once the pool has been written.
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
    errors: tuple[tuple[str, float], ...] = ()


def decide(policy: TuningPolicy, observation: Observation, beliefs: Beliefs, memory: Memory, now: float) -> Plan:
    """The plan for this tick: survey, judge the last move, let the laws propose, write what was chosen.

    Deterministic; `beliefs` have already learned from `observation`.
    """
    situation = survey(policy, observation, beliefs, memory, now)
    memory = _remember(situation, memory)
    memory, judged = advance(situation, memory)
    moves = propose(situation, beliefs, memory)
    memory = moves.memory
    write, scale, decisions = writes_for(situation, moves)
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
        errors=prediction_errors(situation, beliefs, memory, being_judged(memory, judged)),
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
    if not situation.observation.news:
        return memory
    memory = watched(memory, block_of(situation.ready_poolers, situation.ready_apis, situation.now))
    settled = memory.pending is None or memory.pending.judged
    if situation.bad is not None and not situation.violated and settled:
        good = LastGood(situation.in_force.replicas, tuple(sorted(situation.in_force.ttl.items())))
        memory = replace(memory, last_good=good)
    return memory


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
