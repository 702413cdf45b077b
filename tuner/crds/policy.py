"""TuningPolicy: what a person asks of the tuner (`spec`)."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from cronsim import CronSim, CronSimError
from pydantic import ConfigDict, Field, field_validator, model_validator

from trimtab.knobs.document import MAX_PODS
from tuner.crds.base import MAX_CONNECTIONS, Model, ObjectName, Percent, cel, validated_by
from tuner.crds.knobs import Knobs


class Mode(StrEnum):
    OBSERVE = "Observe"
    RECOMMEND = "Recommend"
    APPLY = "Apply"


class OnDelete(StrEnum):
    KEEP = "Keep"
    RESTORE = "Restore"


class PoolerKind(StrEnum):
    STATEFUL_SET = "StatefulSet"
    DEPLOYMENT = "Deployment"


class Target(Model):
    """The workload that is tuned: anything in the policy's namespace that has a scale subresource."""

    api_version: Annotated[
        str, Field(min_length=1, max_length=253, pattern=r"^([a-z0-9.-]+/)?v[0-9]+((alpha|beta)[0-9]+)?$")
    ] = "apps/v1"
    """API group and version of the workload."""
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")] = "Deployment"
    """Kind of the workload."""
    name: ObjectName
    """Name of the workload, in the policy's own namespace."""


class Pooler(Model):
    """The PgBouncer pods between the target and its database."""

    kind: PoolerKind = PoolerKind.STATEFUL_SET
    """StatefulSet: one pod an ordinal, no surge. With a Deployment, maxPods has to count the surge of a rollout too."""
    name: ObjectName
    """Name of the pooler's workload, in the policy's own namespace."""
    max_pods: Annotated[int, Field(ge=1, le=MAX_PODS, strict=True)] = 2
    """Most pooler pods that may exist at one time. Each may open its pool size of connections: the budget is charged
    for all of them, whether they run or not."""


class Database(Model):
    """The connections that there are to share."""

    server: ObjectName | None = None
    """A cluster-wide name of the database server. Policies that name the same server share one budget.
    Default: a server of the policy's own."""
    max_connections: Annotated[int, Field(ge=5, le=MAX_CONNECTIONS, strict=True)] | None = None
    """max_connections of the server. Absent: read from the server through the metrics."""
    reserved_connections: Annotated[int, Field(ge=0, le=MAX_CONNECTIONS, strict=True)] = 13
    """Connections that the target never gets: superuser_reserved_connections, reserved_connections, those of operators,
    and the limits of all other roles."""


class SecretReference(Model):
    """A Secret of the policy's own namespace."""

    name: ObjectName
    """Name of the Secret. Key `token` is sent as a bearer token; without it `username` and `password` as basic
    authentication. Key `ca.crt`, if there, is trusted in addition."""


LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class SeriesLabels(Model):
    """How series name the pod that they come from."""

    namespace: LabelName = "namespace"
    """The label that holds the pod's namespace."""
    pod: LabelName = "pod"
    """The label that holds the pod's name."""


_URL = "^https?://[^ /]+(/[^ ]*)?$"
_URL_REMEDY = "url must begin with http:// or https:// and name a host, for example http://prometheus:9090"


class Prometheus(Model):
    """Where the measurements come from."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            cel(
                "self.fallbackAfterSeconds > self.staleAfterSeconds",
                "prometheus.fallbackAfterSeconds must be larger than prometheus.staleAfterSeconds: the tuner first "
                "holds, then falls back",
                fieldPath=".fallbackAfterSeconds",
            ),
        )
    )

    url: Annotated[
        str, Field(max_length=2048, json_schema_extra=validated_by(cel(f"self.matches('{_URL}')", _URL_REMEDY)))
    ]
    """Base address of a Prometheus, Thanos or Mimir query API, for example http://prometheus:9090."""
    secret_ref: SecretReference | None = None
    """Credentials for the address, if it asks for any."""
    stale_after_seconds: Annotated[int, Field(ge=10, le=3600, strict=True)] = 45
    """Measurements older than this change nothing."""
    fallback_after_seconds: Annotated[int, Field(ge=30, le=86_400, strict=True)] = 300
    """Without measurements for this long, only moves are made that cannot raise the worst case."""
    labels: SeriesLabels = SeriesLabels()
    """How series name their pod."""

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not re.fullmatch(_URL, value):
            raise ValueError(f"{_URL_REMEDY} (it is {value!r})")
        return value


class Objective(Model):
    """What good service is."""

    latency_quantile_percent: Annotated[int, Field(ge=50, le=99, strict=True)] = 95
    """The quantile of request latency that is judged, in percent."""
    latency_milliseconds: Annotated[int, Field(ge=1, le=600_000, strict=True)] = 150
    """That quantile shall stay below this."""
    error_percent: Percent = 1
    """At most this share of requests may fail."""


_CRON = "^[^ ]+( +[^ ]+){4}$"
_CRON_REMEDY = "schedule needs five cron fields (minute, hour, day, month, weekday), for example 0 8 * * 1-5"


class Freeze(Model):
    """A window in which nothing is changed."""

    schedule: Annotated[
        str,
        Field(max_length=100, json_schema_extra=validated_by(cel(f"self.matches('{_CRON}')", _CRON_REMEDY))),
    ]
    """Begin of the window: five cron fields (minute, hour, day of month, month, day of week)."""
    duration_seconds: Annotated[int, Field(ge=60, le=7 * 86_400, strict=True)]
    """Length of the window."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] = "UTC"
    """Time zone of the schedule, as in the tz database, for example Europe/Berlin."""

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        try:
            CronSim(value, datetime(2020, 1, 1))
        except CronSimError as error:
            raise ValueError(f"{value!r} is no cron schedule ({error}): {_CRON_REMEDY}") from error
        return value


class Behavior(Model):
    """How quickly the tuner moves."""

    tick_seconds: Annotated[int, Field(ge=5, le=300, strict=True)] = 15
    """The tuner looks once in this time."""
    cooldown_seconds: Annotated[int, Field(ge=0, le=3600, strict=True)] = 60
    """Rest between two moves of one knob. Binds downward and discretionary moves; a queue that binds may be answered
    each tick."""
    max_step_percent: Annotated[int, Field(ge=10, le=100, strict=True)] = 100
    """Largest step upward, of the present value. Steps downward are smaller."""
    freeze: Annotated[tuple[Freeze, ...], Field(max_length=16)] = ()
    """Windows in which nothing is changed."""


class Rollback(Model):
    """What happens after a change that made things worse."""

    enabled: bool = True
    """Undo such a change."""
    quarantine_seconds: Annotated[int, Field(ge=60, le=86_400, strict=True)] = 1800
    """The undone value is not tried again for this long."""


class TuningPolicySpec(Model):
    """What is tuned, from which measurements, within which limits."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            cel(
                "!has(self.knobs.poolerPoolSize) || has(self.pooler)",
                "knobs.poolerPoolSize needs spec.pooler: name the pooler's workload, or leave the knob out",
                fieldPath=".knobs.poolerPoolSize",
            ),
            cel(
                "!has(self.knobs.poolerPoolSize) || !has(self.pooler)"
                " || self.knobs.poolerPoolSize.max >= self.pooler.maxPods",
                "knobs.poolerPoolSize.max must be at least pooler.maxPods, since no pod's pool may be 0: raise max or "
                "lower maxPods",
                fieldPath=".knobs.poolerPoolSize.max",
            ),
            cel(
                "!has(self.database.maxConnections)"
                " || self.database.maxConnections - self.database.reservedConnections >= 4",
                "database.maxConnections must exceed database.reservedConnections by at least 4 (2 of them stay free): "
                "reserve fewer or raise max_connections of the server",
                fieldPath=".database.reservedConnections",
            ),
        )
    )

    mode: Mode = Mode.RECOMMEND
    """Observe: measure only. Recommend: say in the status what Apply would do next, change nothing. Apply: do it."""
    paused: bool = False
    """Change nothing until this is false again. Measuring goes on."""
    on_delete: OnDelete = OnDelete.KEEP
    """Keep: when the policy is deleted, everything stays as it is. Restore: the values from before are put back."""
    target: Annotated[
        Target,
        Field(
            json_schema_extra=validated_by(
                cel(
                    "self == oldSelf",
                    "target cannot be changed: delete this policy and create another for the other workload",
                )
            )
        ),
    ]
    """The workload that is tuned. It cannot be changed later."""
    pooler: Pooler | None = None
    """The PgBouncer in front of the database. Without it the budget is charged for the pools of the API pods."""
    database: Database = Database()
    """The connections that there are to share."""
    prometheus: Prometheus
    """Where the measurements come from."""
    objective: Objective = Objective()
    """What good service is."""
    knobs: Knobs = Knobs()
    """What may be moved, and how far."""
    behavior: Behavior = Behavior()
    """How quickly the tuner moves."""
    rollback: Rollback = Rollback()
    """What happens after a change that made things worse."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """The rules of the API server once more, for policies that come from a file."""
        pool = self.knobs.pooler_pool_size
        if pool and not self.pooler:
            raise ValueError(
                "knobs.poolerPoolSize needs spec.pooler: name the pooler's workload, or leave the knob out"
            )
        if pool and self.pooler and pool.max < self.pooler.max_pods:
            raise ValueError(
                f"knobs.poolerPoolSize.max {pool.max} is less than pooler.maxPods {self.pooler.max_pods}, and no pod's "
                "pool may be 0: raise max or lower maxPods"
            )
        total, reserved = self.database.max_connections, self.database.reserved_connections
        if total is not None and total - reserved < 4:
            raise ValueError(
                f"database.reservedConnections {reserved} leaves {total - reserved} of {total} connections, at least 4 "
                "are needed: reserve fewer or raise max_connections of the server"
            )
        if self.prometheus.fallback_after_seconds <= self.prometheus.stale_after_seconds:
            raise ValueError("prometheus.fallbackAfterSeconds must be larger than prometheus.staleAfterSeconds")
        return self
