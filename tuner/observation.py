"""What one tick saw, typed: the language of the rooms above.

Pure: frozen dataclasses and nothing else. `tuner.observe` fills them, `tuner.model` learns from them, `tuner.decide`
plans from them, and the simulator and the tests write them by hand.

Three rules hold for every field:

- A value that could not be had is an `Absent` with its reason, never 0, NaN or None.
- Rates are differences of counters between two scrapes divided by the time between those scrapes; a counter that was
  reset or has only one sample is absent. Gauges are the newest sample.
- Units are in the names; where they are not, counts are pods or connections. Times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeVar

from trimtab.knobs.document import KnobsDocument

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Absent:
    """A value that is not there, and why: a query failed, a series is missing, stale, NaN or was reset."""

    reason: str

    def __bool__(self) -> bool:
        raise TypeError(f"an absent value ({self.reason}) was used as a condition; ask `present()` first")


Maybe: TypeAlias = T | Absent


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The document that a pod says it has applied and confirmed (`trimtab_knobs_info`).

    Generation 0 with an empty epoch: the pod runs on its chart's values.
    """

    epoch: str
    generation: int


CHART_DEFAULTS = Acknowledgement(epoch="", generation=0)


@dataclass(frozen=True, slots=True)
class CacheTraffic:
    """Lookups of one cache group, of one pod or summed over pods.

    `hits_per_second` counts hit, stale and negative answers of any tier; `misses_per_second` what went to the database.
    `invalidation`: OnWrite where writes invalidate their entries, None where nobody tells. `keys`: distinct ones that
    were read. `memory_seconds`, `window_seconds`: what an entry may outlive its TTL by, in the process' own tier and
    while it is made anew. `audited_answers` were compared with the database, `stale_answers` of them differed.
    """

    group: str
    hits_per_second: float
    misses_per_second: float
    ttl_seconds: Maybe[float] = Absent("not exported")
    writes_per_second: Maybe[float] = Absent("not exported")
    keys: Maybe[float] = Absent("not exported")
    invalidation: Maybe[str] = Absent("not exported")
    memory_seconds: Maybe[float] = Absent("not exported")
    window_seconds: Maybe[float] = Absent("not exported")
    stale_answers: Maybe[float] = Absent("not audited")
    audited_answers: Maybe[float] = Absent("not audited")


@dataclass(frozen=True, slots=True)
class ApiPod:
    """One API pod. Arrivals are requests that came in (answered or not); CPU is cores in use."""

    name: str
    uid: str
    ready: bool
    acknowledged: Maybe[Acknowledgement]
    pool_size: Maybe[int]
    checked_out: Maybe[float]
    checkout_wait_seconds_per_second: Maybe[float]
    checkouts_per_second: Maybe[float]
    arrivals_per_second: Maybe[float]
    bad_per_second: Maybe[float]
    in_flight: Maybe[float]
    concurrency_limit: Maybe[int]
    cpu_cores: Maybe[float]
    cpu_limit_cores: Maybe[float]
    cache: Maybe[tuple[CacheTraffic, ...]] = Absent("not exported")


@dataclass(frozen=True, slots=True)
class Saturated:
    """Seconds since the last observation in which clients waited >= 0.25 x size, and what was done in them."""

    size: int
    seconds: float
    transactions: float


@dataclass(frozen=True, slots=True)
class PoolerPod:
    """One pooler pod. `servers` counts by state (active, idle, used, login, ...); sizes are of this pod alone."""

    name: str
    uid: str
    ready: bool
    acknowledged: Maybe[Acknowledgement]
    pool_size: Maybe[int]
    transactions_per_second: Maybe[float]
    transaction_seconds_per_second: Maybe[float]
    queries_per_second: Maybe[float]
    query_seconds_per_second: Maybe[float]
    wait_seconds_per_second: Maybe[float]
    assignments_per_second: Maybe[float]
    max_wait_seconds: Maybe[float]
    servers: Maybe[dict[str, float]]
    clients_active: Maybe[float]
    clients_waiting: Maybe[float]
    saturated: Maybe[tuple[Saturated, ...]]


@dataclass(frozen=True, slots=True)
class Statement:
    """Work of one normalised statement on the server (pg_stat_statements); "rest" sums what is not in the top."""

    queryid: str
    calls_per_second: float
    seconds_per_second: float


@dataclass(frozen=True, slots=True)
class Database:
    """The server. `max_connections` is the least value of the last 5 minutes; `backends` counts by role."""

    max_connections: Maybe[int]
    superuser_reserved: Maybe[int]
    backends: Maybe[dict[str, int]]
    role_connection_limit: Maybe[int] = Absent("not exported")
    statements: Maybe[tuple[Statement, ...]] = Absent("not exported")


@dataclass(frozen=True, slots=True)
class Target:
    """The workload that is scaled. `surge_pods`: pods above spec.replicas that a rollout may add (StatefulSet: 0).

    `changed_by_hand_at`: when somebody else last wrote spec.replicas, None when nobody did since the tuner watches.
    """

    spec_replicas: Maybe[int]
    ready_replicas: Maybe[int]
    surge_pods: int = 0
    seconds_to_ready: Maybe[float] = Absent("no pod became ready while watched")
    changed_by_hand_at: float | None = None


class ConflictKind(StrEnum):
    """Who else manages a knob."""

    HPA = "HorizontalPodAutoscaler"
    SCALED_OBJECT = "ScaledObject"
    FIELD_MANAGER = "FieldManager"
    MANUAL_SCALING = "ManualScaling"
    SECOND_POLICY = "SecondPolicy"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something else manages `knobs` (names as in the policy; empty means all of them)."""

    kind: ConflictKind
    name: str
    knobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another policy on the same database server, and the connections that its ledger holds (its charge)."""

    policy: str
    charge: int


@dataclass(frozen=True, slots=True)
class Store:
    """The knobs ConfigMap as read before planning, raw. Where there is none yet `epoch` is a new UUIDv7.

    `document` is None when nothing valid is stored; `ledger` is the text of ledger.json, judged by the budget law.
    """

    epoch: str
    resource_version: str | None = None
    document: KnobsDocument | None = None
    ledger: str | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """One thing that this tick could not see, for the condition MetricsAvailable and for `explain`."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything one tick saw of one policy's workload.

    `time` is when it was read; `interval_seconds` what the rates span; `metrics_age_seconds` the age of the oldest
    sample among those that every ready pod must have. `news`: whether each of them was scraped since the last
    observation with news; where not, rates and gauges repeat that observation's and are no evidence a second time.
    `api_pods` and `pooler_pods` list every pod that exists according to the Kubernetes API (also starting and
    terminating ones), whether or not it has metrics; they are absent when the list itself could not be read.
    """

    time: float
    interval_seconds: float
    metrics_age_seconds: Maybe[float]
    api_pods: Maybe[tuple[ApiPod, ...]]
    pooler_pods: Maybe[tuple[PoolerPod, ...]]
    database: Database
    target: Target
    store: Maybe[Store]
    neighbours: Maybe[tuple[Neighbour, ...]] = ()
    conflicts: tuple[Conflict, ...] = ()
    news: bool = True
    absences: tuple[Absence, ...] = field(default=())


def present(value: Maybe[T]) -> T | None:
    """The value, or None where it is absent: for places where both are handled in the next line."""
    return None if isinstance(value, Absent) else value
