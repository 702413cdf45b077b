"""The reasons of the events that the tuner writes: an interface, since alerts and people match on them.

An event is written only when something changed or stopped being possible, never at each look.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from tuner.crds import ConditionType, TuningPolicyStatus
from tuner.decide.conditions import UNREADABLE_PAUSE


class EventReason(StrEnum):
    KNOB_CHANGED = "KnobChanged"
    """A knob was moved; the message says from where to where and why."""
    CHANGE_KEPT = "ChangeKept"
    """A move was verified."""
    CHANGE_UNDONE = "ChangeUndone"
    """A move made things worse and was taken back."""
    RESTORED = "Restored"
    """The policy was deleted with onDelete: Restore, and the values from before were put back."""
    RESTORE_INCOMPLETE = "RestoreIncomplete"
    """The same, but not all of it could be put back."""
    WRITE_FAILED = "WriteFailed"
    """The Kubernetes API refused a write."""
    STATE_DISCARDED = "StateDiscarded"
    """What the tuner remembered could not be read; it starts as if new."""
    INVALID_POLICY = "InvalidPolicy"
    """The policy cannot be used as it is."""
    TARGET_UNAVAILABLE = "TargetUnavailable"
    """The target or the pooler does not exist or cannot be read."""
    METRICS_LOST = "MetricsLost"
    """Measurements stopped; nothing moves."""
    METRICS_BACK = "MetricsBack"
    """Measurements are there again."""
    CONFLICT = "Conflict"
    """Something else manages what the policy lists; the tuner leaves it alone."""
    CONFLICT_ENDED = "ConflictEnded"
    """Nothing else manages it any more."""
    BUDGET_EXCEEDED = "BudgetExceeded"
    """More connections are charged than there are to give."""
    BUDGET_RESTORED = "BudgetRestored"
    """The charge fits again."""
    PAUSE_UNREADABLE = "PauseUnreadable"
    """The annotation that says until when the policy is paused is no time; the policy is paused until it is mended."""
    FALLBACK_STARTED = "FallbackStarted"
    """Measurements were away for long; only moves that cannot raise the worst case are made."""
    FALLBACK_ENDED = "FallbackEnded"
    """Measurements are back, and with them the ordinary moves."""


WARNINGS = {
    EventReason.CHANGE_UNDONE,
    EventReason.RESTORE_INCOMPLETE,
    EventReason.WRITE_FAILED,
    EventReason.STATE_DISCARDED,
    EventReason.INVALID_POLICY,
    EventReason.TARGET_UNAVAILABLE,
    EventReason.METRICS_LOST,
    EventReason.CONFLICT,
    EventReason.BUDGET_EXCEEDED,
    EventReason.PAUSE_UNREADABLE,
    EventReason.FALLBACK_STARTED,
}

OF_CONDITION: dict[ConditionType, tuple[EventReason, EventReason]] = {
    ConditionType.METRICS_AVAILABLE: (EventReason.METRICS_BACK, EventReason.METRICS_LOST),
    ConditionType.CONFLICTED: (EventReason.CONFLICT, EventReason.CONFLICT_ENDED),
    ConditionType.BUDGET_SATISFIED: (EventReason.BUDGET_RESTORED, EventReason.BUDGET_EXCEEDED),
    ConditionType.FALLBACK_ACTIVE: (EventReason.FALLBACK_STARTED, EventReason.FALLBACK_ENDED),
}
"""The events of a condition that became True, and of one that became False."""


def news(before: TuningPolicyStatus, after: TuningPolicyStatus) -> Iterator[tuple[EventReason, str]]:
    """The events of the conditions that turned between two statuses. A good beginning is no news."""
    was = {condition.type: condition for condition in before.conditions}
    for condition in after.conditions:
        old = was.get(condition.type)
        old_status = old.status if old else "Unknown"
        if condition.type is ConditionType.READY:
            if condition.reason.endswith("Unavailable") and (old is None or old.reason != condition.reason):
                yield EventReason.TARGET_UNAVAILABLE, condition.message
        elif condition.type is ConditionType.PAUSED:
            if condition.reason == UNREADABLE_PAUSE and (old is None or old.reason != UNREADABLE_PAUSE):
                yield EventReason.PAUSE_UNREADABLE, condition.message
        elif condition.type in OF_CONDITION and condition.status not in ("Unknown", old_status):
            when_true, when_false = OF_CONDITION[condition.type]
            event = when_true if condition.status == "True" else when_false
            if old_status != "Unknown" or event in WARNINGS:
                yield event, condition.message
