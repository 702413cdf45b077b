"""The knobs that a policy may list, each with the range that it never leaves."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from trimtab.knobs.document import (
    MAX_CACHE_GROUPS,
    MAX_CONCURRENCY,
    MAX_CONNECTIONS_PER_POD,
    MAX_PODS,
    MAX_TTL_SECONDS,
    GroupName,
)
from tuner.crds.base import MAX_CONNECTIONS, Model, Percent, cel, validated_by


class _Range(Model):
    model_config = ConfigDict(
        json_schema_extra=validated_by(
            cel("self.min <= self.max", "min must not be larger than max: lower min or raise max")
        )
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.bounds
        if low > high:
            raise ValueError(f"min {low} is larger than max {high}: lower min or raise max")
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        raise NotImplementedError


class IntRange(_Range):
    """Both ends included. The knob never leaves this range."""

    min: int
    max: int

    @property
    def bounds(self) -> tuple[int, int]:
        return self.min, self.max


Connections = Annotated[int, Field(ge=1, le=MAX_CONNECTIONS, strict=True)]
PodConnections = Annotated[int, Field(ge=1, le=MAX_CONNECTIONS_PER_POD, strict=True)]
Concurrency = Annotated[int, Field(ge=1, le=MAX_CONCURRENCY, strict=True)]
Replicas = Annotated[int, Field(ge=1, le=MAX_PODS, strict=True)]
Seconds = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS, strict=True)]


class PoolerPoolRange(IntRange):
    """Server connections over all pooler pods together."""

    min: Connections
    """Never fewer connections than this. 0 is refused: PgBouncer reads it as unlimited."""
    max: Connections
    """Never more connections than this; the budget may hold it lower."""


class ApiPoolRange(IntRange):
    """Connections in the pool of one API pod."""

    min: PodConnections
    """Never fewer connections than this. 0 is refused: SQLAlchemy reads it as unlimited."""
    max: PodConnections
    """Never more connections than this."""


class ConcurrencyRange(IntRange):
    """Requests that one API pod admits to its database work at a time."""

    min: Concurrency
    """Never fewer requests than this."""
    max: Concurrency
    """Never more requests than this."""


class ReplicasRange(IntRange):
    """Pods of the target."""

    min: Replicas
    """Never fewer pods than this. 0 is refused: nothing would be left to measure."""
    max: Replicas
    """Never more pods than this."""


class CacheTTL(_Range):
    """How long one group of cached answers may live."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            cel(
                "self.minSeconds <= self.maxSeconds",
                "minSeconds must not be larger than maxSeconds: lower minSeconds or raise maxSeconds",
            )
        )
    )

    group: Annotated[GroupName, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
    """Name of the group, as the service's metrics call it."""
    min_seconds: Seconds = 1
    """Never a shorter life than this."""
    max_seconds: Seconds
    """Never a longer life than this; it also bounds the age of any cached answer."""
    max_stale_percent: Percent = 1
    """Largest share of cached answers for which a newer version was committed before they were served."""

    @property
    def bounds(self) -> tuple[int, int]:
        return self.min_seconds, self.max_seconds


class Knobs(Model):
    """What may be moved, and how far. A knob that is not listed is never touched."""

    pooler_pool_size: PoolerPoolRange | None = None
    """Server connections over all pooler pods together."""
    api_pool_size: ApiPoolRange | None = None
    """Connections in the pool of one API pod."""
    api_concurrency: ConcurrencyRange | None = None
    """Ceiling of admission: requests that one API pod works on at a time."""
    replicas: ReplicasRange | None = None
    """Pods of the target. Leave `spec.replicas` out of what you apply for the workload, or the two will fight."""
    cache_ttl: Annotated[
        tuple[CacheTTL, ...],
        Field(
            alias="cacheTTL",
            max_length=MAX_CACHE_GROUPS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["group"]},
        ),
    ] = ()
    """Time to live of cached answers, by group."""

    @property
    def ttl_by_group(self) -> dict[str, CacheTTL]:
        return {entry.group: entry for entry in self.cache_ttl}
