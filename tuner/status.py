"""From a plan to the policy's status. Pure.

The status is written when something in it says something new: a decision, a condition, a reason, a value that moved by
more than 5%. It is not written at each look, or every policy would be a stream of writes to etcd.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from tuner.crds import (
    MAX_DECISIONS_IN_STATUS,
    Bottleneck,
    BudgetStatus,
    CapacityPoint,
    Condition,
    ConditionType,
    DecisionStatus,
    KnobStatus,
    TuningPolicy,
    TuningPolicyStatus,
)
from tuner.crds.status import MAX_MESSAGE
from tuner.decide.decision import Condition as PlannedCondition
from tuner.decide.decision import Decision, KnobView
from tuner.decide.plan import Plan

NEWS_SHARE = 0.05


def at(seconds: float) -> datetime:
    """A time as Kubernetes writes it: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def status_of(
    policy: TuningPolicy, plan: Plan, journal: Iterable[Decision], said: Iterable[PlannedCondition], now: float
) -> TuningPolicyStatus:
    """The status after `plan`. `journal` holds the decisions so far, oldest first; `said` wins over the plan's."""
    conditions = {c.type: c for c in plan.conditions} | {c.type: c for c in said}
    return TuningPolicyStatus(
        observed_generation=policy.metadata.generation,
        mode=policy.spec.mode,
        bottleneck=Bottleneck(plan.verdict.bottleneck),
        budget=BudgetStatus(
            max_connections=plan.budget.max_connections,
            reserved=plan.budget.reserved,
            allocatable=plan.budget.allocatable,
            committed=plan.budget.committed,
            worst_case=plan.budget.worst_case,
            used=plan.budget.used,
        )
        if plan.budget
        else None,
        capacity=tuple(
            CapacityPoint(pool_size=point.pool_size, transactions_per_second=round(point.transactions_per_second))
            for point in plan.capacity
        ),
        knobs=tuple(_knob(view) for view in plan.knobs),
        decisions=tuple(_decision(d) for d in tuple(journal)[-MAX_DECISIONS_IN_STATUS:]),
        conditions=conditions_of(policy, conditions.values(), now),
    )


def held_status(policy: TuningPolicy, said: Iterable[PlannedCondition], now: float) -> TuningPolicyStatus:
    """The status while nothing can be decided: what was known stays, the conditions say why."""
    return policy.status.model_copy(
        update={
            "observed_generation": policy.metadata.generation,
            "mode": str(policy.spec.mode),
            "conditions": conditions_of(policy, said, now),
        }
    )


def conditions_of(policy: TuningPolicy, said: Iterable[PlannedCondition], now: float) -> tuple[Condition, ...]:
    """All conditions, in their fixed order. One that nothing is said about keeps its state, or is Unknown."""
    before = {condition.type: condition for condition in policy.status.conditions}
    new = {condition.type: condition for condition in said}
    out = []
    for kind in ConditionType:
        old, saying = before.get(kind), new.get(kind)
        if saying is None and old is not None:
            out.append(old)
            continue
        status = saying.status if saying else "Unknown"
        out.append(
            Condition(
                type=kind,
                status="True" if status == "True" else "False" if status == "False" else "Unknown",
                observed_generation=policy.metadata.generation,
                last_transition_time=old.last_transition_time if old and old.status == status else at(now),
                reason=saying.reason if saying else "NotYetKnown",
                message=_cut(saying.message) if saying else "Nothing has been seen yet",
            )
        )
    return tuple(out)


def worth_writing(old: TuningPolicyStatus, new: TuningPolicyStatus) -> bool:
    """Whether `new` says something that a reader of `old` would want to know."""
    if old.conditions and _words(old) == _words(new):
        return not _close(_numbers(old), _numbers(new))
    return True


def _words(status: TuningPolicyStatus) -> object:
    return (
        status.observed_generation,
        status.mode,
        status.bottleneck,
        [(c.type, c.status, c.reason) for c in status.conditions],
        [(k.name, k.current, k.acknowledged, k.reason) for k in status.knobs],
        [(d.time, d.knob, d.outcome) for d in status.decisions],
        status.budget and status.budget.used,
        [point.pool_size for point in status.capacity],
    )


def _numbers(status: TuningPolicyStatus) -> list[int | None]:
    return [k.recommended for k in status.knobs] + [point.transactions_per_second for point in status.capacity]


def _close(old: list[int | None], new: list[int | None]) -> bool:
    return len(old) == len(new) and all(
        a == b or (a is not None and b is not None and abs(a - b) <= NEWS_SHARE * abs(a))
        for a, b in zip(old, new, strict=True)
    )


def _knob(view: KnobView) -> KnobStatus:
    return KnobStatus(
        name=view.name,
        current=view.current,
        recommended=view.recommended,
        acknowledged=view.acknowledged or None,
        reason=view.reason,
        message=_cut(view.message),
        last_change_time=None if view.last_change_time is None else at(view.last_change_time),
    )


def _decision(decision: Decision) -> DecisionStatus:
    return DecisionStatus(
        time=at(decision.time),
        knob=decision.knob,
        from_value=decision.before,
        to_value=decision.after,
        reason=decision.reason,
        message=_cut(decision.message),
        prediction=_cut(decision.prediction.sentence) if decision.prediction else "",
        outcome=decision.outcome,
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
