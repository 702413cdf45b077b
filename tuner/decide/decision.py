"""What a decision is: a knob, from, to, a reason code, a sentence, and what is expected of it.

Reason codes are an interface: they appear in status, events, the journal and `trimtab_decisions_total`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tuner.crds.status import Bottleneck, ConditionType, Outcome


class Reason(StrEnum):
    """Why a knob moves, or why it stays."""

    # Moves.
    PROBE_UP = "ProbeUp"
    PROBE_DOWN = "ProbeDown"
    PROBE_KEPT = "ProbeKept"
    PROBE_RETURNED = "ProbeReturned"
    PAST_KNEE = "PastKnee"
    APP_POOL_WAITS = "AppPoolWaits"
    FOLLOWS_POOL = "FollowsPool"
    DEMAND = "Demand"
    DEMAND_FELL = "DemandFell"
    DATABASE_BUSY = "DatabaseBusy"
    STALENESS_LIMIT = "StalenessLimit"
    LIMIT_LOWERED = "LimitLowered"
    MAX_PODS = "MaxPodsChanged"
    UNDO = "Undo"
    FALLBACK = "Fallback"
    RESTORE = "Restore"
    # Staying.
    STEADY = "Steady"
    PROBING = "Probing"
    NO_QUEUE = "NoQueue"
    NOT_BINDING = "NotBinding"
    NO_EVIDENCE = "NoEvidence"
    BLOCKED_DIRECTION = "BlockedDirection"
    DATABASE_BINDS = "DatabaseBinds"
    DEGRADED = "Degraded"
    STALLED = "Stalled"
    BOUND = "Bound"
    BUDGET = "Budget"
    STEP = "Step"
    COOLDOWN = "Cooldown"
    SETTLING = "Settling"
    FREEZE = "Freeze"
    PAUSED = "Paused"
    STALE_DATA = "StaleData"
    MISSING_DATA = "MissingData"
    CONFLICT = "Conflict"
    QUARANTINE = "Quarantine"
    OBSERVE_MODE = "ObserveMode"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which queue binds, and the evidence in a sentence with its numbers."""

    bottleneck: Bottleneck
    evidence: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a decision expects: `metric` should be at least (or at most) `value` once it has settled."""

    metric: str
    value: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One move of one knob at `time` (seconds since the epoch).

    `knob` is a `KnobName` or `ttl_knob(group)`. Values are in the policy's units: poolerPoolSize is server connections
    over all pooler pods. `outcome` is Pending until the move has been judged.
    """

    time: float
    knob: str
    before: int
    after: int
    reason: Reason
    message: str
    prediction: Prediction | None = None
    outcome: Outcome = Outcome.PENDING


@dataclass(frozen=True, slots=True)
class KnobView:
    """One knob as status shows it. `acknowledged` is "pods that confirmed/pods that exist", empty for replicas.

    `recommended` is what Apply's next move would set; equal to `current` when nothing should move.
    """

    name: str
    current: int | None
    recommended: int | None
    acknowledged: str
    reason: Reason
    message: str
    last_change_time: float | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of the policy. `status` is "True", "False" or "Unknown", as Kubernetes writes it."""

    type: ConditionType
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class BudgetView:
    """The connection budget (CONTROL.md): allocatable = F - slack, committed = the confirmed document's charge,
    worst_case = the charge over every unretired document. All in connections."""

    max_connections: int
    reserved: int
    allocatable: int
    committed: int
    worst_case: int

    @property
    def used(self) -> str:
        return f"{self.committed}/{self.allocatable}"


@dataclass(frozen=True, slots=True)
class MeasuredCapacity:
    """Transactions/s that a pool size (connections over all pooler pods) gave while saturated."""

    pool_size: int
    transactions_per_second: float
