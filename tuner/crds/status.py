"""TuningPolicy: what the tuner answers (`status`)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tuner.crds.base import Model, ObjectMeta
from tuner.crds.policy import TuningPolicySpec

MAX_DECISIONS_IN_STATUS = 20
MAX_MESSAGE = 1024


class Bottleneck(StrEnum):
    """Which queue binds (CONTROL.md, Verdict)."""

    NONE = "None"
    APP_POOL = "AppPool"
    POOLER = "Pooler"
    DATABASE = "Database"
    DEGRADED = "Degraded"
    STALLED = "Stalled"
    REPLICAS = "Replicas"
    UNKNOWN = "Unknown"


class KnobName(StrEnum):
    """The knobs; that of a cache group is written `cacheTTL/GROUP` (see `ttl_knob`)."""

    POOLER_POOL_SIZE = "poolerPoolSize"
    API_POOL_SIZE = "apiPoolSize"
    API_CONCURRENCY = "apiConcurrency"
    REPLICAS = "replicas"
    CACHE_TTL = "cacheTTL"


def ttl_knob(group: str) -> str:
    """The name of the TTL knob of one cache group, as status, journal and metrics write it."""
    return f"{KnobName.CACHE_TTL}/{group}"


class ConditionType(StrEnum):
    READY = "Ready"
    METRICS_AVAILABLE = "MetricsAvailable"
    BUDGET_SATISFIED = "BudgetSatisfied"
    LIMITED = "Limited"
    CONFLICTED = "Conflicted"
    FALLBACK_ACTIVE = "FallbackActive"
    PAUSED = "Paused"
    ROLLED_BACK = "RolledBack"


class Outcome(StrEnum):
    """What came of a decision."""

    PENDING = "Pending"
    KEPT = "Kept"
    ROLLED_BACK = "RolledBack"
    INCONCLUSIVE = "Inconclusive"
    NOT_APPLIED = "NotApplied"


Message = Annotated[str, Field(max_length=MAX_MESSAGE)]
ReasonCode = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
Count = Annotated[int, Field(ge=0)]


class BudgetStatus(Model):
    """Database connections, by what they are for."""

    max_connections: Count
    """max_connections of the server, as given or measured."""
    reserved: Count
    """Never given to the target."""
    allocatable: Count
    """What the pooler's pods may open together: max_connections - reserved - slack."""
    committed: Count
    """What they may open by the documents that they have confirmed."""
    worst_case: Count
    """What they could open if any of the documents that are not retired were in force."""
    used: Annotated[str, Field(max_length=32)]
    """committed/allocatable, for the printer column."""


class CapacityPoint(Model):
    """Throughput measured while clients were waiting for a connection."""

    pool_size: Annotated[int, Field(ge=1)]
    """Server connections over all pooler pods."""
    transactions_per_second: Count
    """Transactions in a second at that size."""


class KnobStatus(Model):
    """One knob: where it is, where it should be, and why."""

    name: Annotated[str, Field(max_length=80)]
    """Name of the knob; TTLs as cacheTTL/GROUP."""
    current: Count | None = None
    """The value in force, absent until it is known."""
    recommended: Count | None = None
    """The value that Apply would move to next."""
    acknowledged: Annotated[str, Field(max_length=32)] | None = None
    """Pods that have confirmed the value in force, of those that run."""
    reason: ReasonCode = "Unknown"
    """Reason of the latest decision, as one word."""
    message: Message = ""
    """Reason of the latest decision, as a sentence."""
    last_change_time: datetime | None = None
    """When the value was last changed."""


class DecisionStatus(Model):
    """One decision that was made."""

    time: datetime
    """When it was made."""
    knob: Annotated[str, Field(max_length=80)]
    """The knob that was to move."""
    from_value: Annotated[Count | None, Field(alias="from")] = None
    """Its value before."""
    to_value: Annotated[Count | None, Field(alias="to")] = None
    """Its value after."""
    reason: ReasonCode
    """Why, as one word."""
    message: Message = ""
    """Why, as a sentence."""
    prediction: Message = ""
    """What was expected to follow."""
    outcome: Outcome = Outcome.PENDING
    """What came of it."""


class Condition(Model):
    """One aspect of the policy's state, in the form that `kubectl wait` understands."""

    type: ConditionType
    """The aspect."""
    status: Literal["True", "False", "Unknown"] = "Unknown"
    """Whether it holds."""
    observed_generation: Count = 0
    """The generation of the policy that this was said about."""
    last_transition_time: datetime
    """When the status last changed."""
    reason: ReasonCode
    """Why, as one word."""
    message: Message = ""
    """Why, as a sentence, with the remedy where one is needed."""


class TuningPolicyStatus(Model):
    """What the tuner sees and does. Written when something changes, not at each look."""

    observed_generation: Count | None = None
    """The generation of the policy that this status is about."""
    mode: Annotated[str, Field(max_length=32)] | None = None
    """The mode in force."""
    bottleneck: Bottleneck | None = None
    """The queue that binds."""
    budget: BudgetStatus | None = None
    """Database connections, by what they are for."""
    capacity: Annotated[tuple[CapacityPoint, ...], Field(max_length=64)] = ()
    """Throughput by pool size, as far as it was measured."""
    knobs: Annotated[
        tuple[KnobStatus, ...],
        Field(
            max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = ()
    """The knobs that the policy lists."""
    decisions: Annotated[tuple[DecisionStatus, ...], Field(max_length=MAX_DECISIONS_IN_STATUS)] = ()
    """The latest decisions, oldest first."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
        ),
    ] = ()
    """All of them from the first look on, Unknown until known."""


class TuningPolicy(Model):
    """Limits within which the tuner trims a service's pools, replicas and cache lifetimes."""

    api_version: str = "trimtab.dev/v1alpha1"
    kind: Literal["TuningPolicy"] = "TuningPolicy"
    metadata: ObjectMeta
    spec: TuningPolicySpec
    status: TuningPolicyStatus = TuningPolicyStatus()

    @property
    def key(self) -> str:
        """namespace/name."""
        return f"{self.metadata.namespace}/{self.metadata.name}"
