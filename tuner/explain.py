"""Why a policy's knobs are where they are, in sentences and tables, from its status alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tuner.crds import ConditionType, DecisionStatus, KnobStatus, Mode, Outcome, TuningPolicy

GOOD_WHEN_TRUE = {ConditionType.READY, ConditionType.METRICS_AVAILABLE, ConditionType.BUDGET_SATISFIED}

BOTTLENECKS = {
    "None": "no queue: nothing is waiting for anything",
    "AppPool": "requests wait for a connection of their pod's pool",
    "Pooler": "clients wait for a server connection, and more of them still help",
    "Database": "the database is the limit: more connections would only wait inside it",
    "Degraded": "the database has slowed down at the same size and mix: nothing may grow",
    "Stalled": "clients wait and nothing is served: everything is held",
    "Replicas": "the API pods' CPU is the limit",
    "Unknown": "not enough is known yet to tell which queue binds",
}

OUTCOMES = {
    Outcome.PENDING: "not judged yet",
    Outcome.KEPT: "kept",
    Outcome.ROLLED_BACK: "made things worse and was undone",
    Outcome.INCONCLUSIVE: "could not be judged",
    Outcome.NOT_APPLIED: "not applied",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """`headline` and `sentences` first; then rows for tables: knobs, what was measured, decisions, complaints."""

    headline: str
    sentences: tuple[str, ...]
    knobs: tuple[tuple[str, str, str, str, str], ...]
    capacity: tuple[tuple[int, int], ...]
    decisions: tuple[tuple[str, str, str, str, str], ...]
    complaints: tuple[str, ...]


def explain(policy: TuningPolicy, now: datetime) -> Explanation:
    """What a person asks: what is it doing, why, what did it see, what came of it."""
    status = policy.status
    return Explanation(
        headline=f"{policy.key}: mode {policy.spec.mode}, target {policy.spec.target.kind} {policy.spec.target.name}",
        sentences=tuple(_sentences(policy)),
        knobs=tuple(_knob(knob) for knob in status.knobs),
        capacity=tuple((point.pool_size, point.transactions_per_second) for point in status.capacity),
        decisions=tuple(_decision(decision, now) for decision in status.decisions),
        complaints=tuple(_complaints(policy)),
    )


def _sentences(policy: TuningPolicy) -> Iterable[str]:
    status = policy.status
    if not status.conditions:
        yield "The tuner has not looked at this policy yet: is it running, and does it look after this namespace?"
        return
    if status.bottleneck is not None:
        yield f"Bottleneck {status.bottleneck}: {BOTTLENECKS[status.bottleneck]}."
    if status.budget is not None:
        budget = status.budget
        yield (
            f"Of {budget.max_connections} connections {budget.reserved} are reserved and {budget.allocatable} can be "
            f"given out; the pods may open {budget.committed}, at worst {budget.worst_case}."
        )
    if policy.spec.paused:
        yield "The policy is paused: nothing is changed."
    elif policy.spec.mode is Mode.RECOMMEND:
        yield "In Recommend nothing is changed: `recommended` is what Apply would do next."
    elif policy.spec.mode is Mode.OBSERVE:
        yield "In Observe nothing is changed or recommended."
    if status.observed_generation is not None and status.observed_generation < policy.metadata.generation:
        yield "The policy was changed since the tuner's last word: what follows is about the older version."


def _complaints(policy: TuningPolicy) -> Iterable[str]:
    for condition in policy.status.conditions:
        good = "True" if condition.type in GOOD_WHEN_TRUE else "False"
        if condition.status not in (good, "Unknown"):
            yield f"{condition.type} is {condition.status} ({condition.reason}): {condition.message}"


def _knob(knob: KnobStatus) -> tuple[str, str, str, str, str]:
    said = f"{knob.reason}: {knob.message}" if knob.message else str(knob.reason)
    return knob.name, _number(knob.current), _number(knob.recommended), knob.acknowledged or "-", said


def _decision(decision: DecisionStatus, now: datetime) -> tuple[str, str, str, str, str]:
    said = f"{decision.reason}: {decision.message}"
    if decision.prediction:
        said += f" (expected: {decision.prediction})"
    moved = f"{_number(decision.from_value)} → {_number(decision.to_value)}"
    return ago(decision.time, now), decision.knob, moved, said, OUTCOMES[decision.outcome]


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def ago(then: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that says enough: 45s, 12m, 5h, 3d."""
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
