"""The policy's conditions, each with a reason and a sentence: what a person needs to know, and the remedy."""

from __future__ import annotations

from tuner.crds.policy import Mode
from tuner.crds.status import ConditionType
from tuner.decide.budget import charge
from tuner.decide.decision import BudgetView, Condition, Reason
from tuner.decide.inforce import confirmed
from tuner.decide.memory import Memory
from tuner.decide.moves import Moves
from tuner.decide.situation import Situation
from tuner.observation import present

UNREADABLE_PAUSE = "UnreadablePause"
"""Reason of the condition Paused where the time until when cannot be read."""


def budget_view(situation: Situation) -> BudgetView | None:
    """The budget as status shows it; None while it is not known. committed: the newest document that every existing
    pod has confirmed, or what the pods report."""
    budget = present(situation.budget)
    if budget is None:
        return None
    pods = situation.api_pods if budget.by_api_pods else situation.pooler_pods
    sure = [d for d in budget.documents if d.generation > 0 and confirmed(pods, d.epoch, d.generation) == len(pods)]
    newest = max(sure, key=lambda d: (d.epoch, d.generation), default=None)
    reported = max((present(pod.pool_size) or 0 for pod in pods), default=0) * len(pods)
    return BudgetView(
        max_connections=budget.fence.max_connections,
        reserved=budget.fence.reserved,
        allocatable=budget.fence.allocatable,
        committed=charge((newest,)) if newest is not None else reported,
        worst_case=budget.worst_case,
    )


def conditions(situation: Situation, moves: Moves, memory: Memory) -> tuple[Condition, ...]:
    return (
        _ready(situation),
        _metrics(situation),
        _budget(situation),
        _limited(moves),
        _conflicted(situation),
        _fallback(situation, memory),
        _paused(situation),
        _rolled_back(situation, memory),
    )


def _yes_no(kind: ConditionType, holds: bool, yes: tuple[str, str], no: tuple[str, str]) -> Condition:
    reason, message = yes if holds else no
    return Condition(kind, "True" if holds else "False", reason, message)


def _paused(situation: Situation) -> Condition:
    if situation.unreadable_pause:
        return Condition(ConditionType.PAUSED, "True", UNREADABLE_PAUSE, situation.unreadable_pause)
    return _yes_no(ConditionType.PAUSED, situation.paused, ("Paused", "nothing is changed"), ("Running", ""))


def _ready(situation: Situation) -> Condition:
    mode = situation.spec.mode
    if situation.problem:
        return Condition(ConditionType.READY, "False", "Holding", situation.problem)
    sentence = {
        Mode.OBSERVE: "measuring only",
        Mode.RECOMMEND: "recommending; nothing is changed until the mode is Apply",
        Mode.APPLY: "tuning",
    }[mode]
    return Condition(ConditionType.READY, "True", mode.value, sentence)


def _metrics(situation: Situation) -> Condition:
    missing = "; ".join(f"{a.what}: {a.reason}" for a in situation.observation.absences[:5])
    if situation.problem and situation.metrics_only:
        message = f"{situation.problem}; {missing}" if missing else situation.problem
        return Condition(ConditionType.METRICS_AVAILABLE, "False", "Missing", message)
    if missing:
        return Condition(ConditionType.METRICS_AVAILABLE, "False", "Partial", missing)
    if situation.problem:
        return Condition(ConditionType.METRICS_AVAILABLE, "Unknown", "NotRead", situation.problem)
    return Condition(ConditionType.METRICS_AVAILABLE, "True", "Fresh", "every ready pod is measured")


def _budget(situation: Situation) -> Condition:
    view = budget_view(situation)
    kind = ConditionType.BUDGET_SATISFIED
    if view is None:
        reason = getattr(situation.budget, "reason", "")
        return Condition(kind, "Unknown", "NotKnown", f"the connection budget is not known: {reason}")
    sentence = f"pods may open {view.worst_case} connections, {view.allocatable} are allocatable"
    if view.worst_case <= view.allocatable:
        return Condition(kind, "True", "WithinBudget", sentence)
    remedy = "lower the chart's pool size or maxPods, or raise max_connections"
    return Condition(kind, "False", "Exceeded", f"{sentence}: {remedy}")


def _limited(moves: Moves) -> Condition:
    held = [p for p in moves.proposals if p.reason in (Reason.BOUND, Reason.BUDGET) and not p.moves]
    message = "; ".join(f"{p.knob}: {p.message}" for p in held)
    reason = held[0].reason.value if held else "NotLimited"
    return _yes_no(ConditionType.LIMITED, bool(held), (reason, message), ("NotLimited", ""))


def _conflicted(situation: Situation) -> Condition:
    conflicts = situation.observation.conflicts
    message = "; ".join(f"{c.kind.value} {c.name}" for c in conflicts)
    reason = conflicts[0].kind.value if conflicts else "None"
    return _yes_no(
        ConditionType.CONFLICTED,
        bool(conflicts),
        (reason, f"also managed by {message}: those knobs are left alone"),
        ("NoConflict", ""),
    )


def _fallback(situation: Situation, memory: Memory) -> Condition:
    """As long as measurements are away for so long, also when everything is back at its last good value already."""
    last, after = memory.last_fresh, situation.spec.prometheus.fallback_after_seconds
    active = situation.metrics_only and last is not None and situation.now - last >= after
    message = "measurements are missing for long: only moves that cannot raise the worst case"
    return _yes_no(ConditionType.FALLBACK_ACTIVE, active, ("NoMeasurements", message), ("Measured", ""))


def _rolled_back(situation: Situation, memory: Memory) -> Condition:
    live = [q for q in memory.quarantine if q.until > situation.now]
    message = "; ".join(f"{q.knob} is not moved to {q.value} for {q.until - situation.now:.0f} s" for q in live)
    return _yes_no(ConditionType.ROLLED_BACK, bool(live), ("Undone", message), ("NothingUndone", ""))
