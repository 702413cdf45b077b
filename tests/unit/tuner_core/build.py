"""Observations and policies written by hand: every argument has the value of a healthy, idle stack."""

from __future__ import annotations

from typing import Any

from trimtab.knobs.document import KnobsDocument
from tuner.crds.base import ObjectMeta
from tuner.crds.policy import TuningPolicySpec
from tuner.crds.status import TuningPolicy
from tuner.observation import (
    CHART_DEFAULTS,
    Acknowledgement,
    ApiPod,
    CacheTraffic,
    Database,
    Observation,
    PoolerPod,
    Saturated,
    Store,
    Target,
)

EPOCH = "019ab000-0000-7000-8000-000000000001"
LATER_EPOCH = "019ab000-0000-7000-8000-000000000002"


def policy(**changes: Any) -> TuningPolicy:
    """The policy of the demo, in Apply."""
    spec: dict[str, Any] = {
        "mode": "Apply",
        "target": {"name": "catalog-api"},
        "pooler": {"name": "catalog-pooler", "maxPods": 2},
        "database": {"maxConnections": 100, "reservedConnections": 13},
        "prometheus": {"url": "http://prometheus:9090"},
        "knobs": {
            "poolerPoolSize": {"min": 2, "max": 60},
            "apiPoolSize": {"min": 2, "max": 40},
            "replicas": {"min": 1, "max": 4},
            "cacheTTL": [{"group": "search", "minSeconds": 1, "maxSeconds": 60}],
        },
        "behavior": {"tickSeconds": 5, "cooldownSeconds": 15},
    }
    annotations = changes.pop("annotations", {})
    spec.update(changes)
    meta = ObjectMeta(name="catalog", namespace="catalog", annotations=annotations)
    return TuningPolicy(metadata=meta, spec=TuningPolicySpec.model_validate(spec))


def api_pod(index: int = 0, **changes: Any) -> ApiPod:
    values: dict[str, Any] = {
        "name": f"catalog-api-{index}",
        "uid": f"api-{index}",
        "ready": True,
        "acknowledged": CHART_DEFAULTS,
        "pool_size": 5,
        "checked_out": 1.0,
        "checkout_wait_seconds_per_second": 0.0,
        "checkouts_per_second": 100.0,
        "arrivals_per_second": 100.0,
        "bad_per_second": 0.0,
        "in_flight": 1.0,
        "concurrency_limit": 64,
        "cpu_cores": 0.2,
        "cpu_limit_cores": 1.0,
        "cache": (CacheTraffic("search", 10.0, 40.0, ttl_seconds=1.0),),
    }
    return ApiPod(**(values | changes))


def pooler_pod(
    index: int = 0, *, size: int = 1, saturated: bool = False, rate: float = 50.0, **changes: Any
) -> PoolerPod:
    """`rate` transactions/s; a saturated pod spent all 5 seconds of the tick at `size` with clients waiting."""
    busy = float(size) if saturated else min(float(size), 0.5)
    values: dict[str, Any] = {
        "name": f"catalog-pooler-{index}",
        "uid": f"pooler-{index}",
        "ready": True,
        "acknowledged": CHART_DEFAULTS,
        "pool_size": size,
        "transactions_per_second": rate,
        "transaction_seconds_per_second": busy,
        "queries_per_second": rate,
        "query_seconds_per_second": busy,
        "wait_seconds_per_second": 5.0 if saturated else 0.0,
        "assignments_per_second": rate,
        "max_wait_seconds": 0.0,
        "servers": {"active": busy},
        "clients_active": busy,
        "clients_waiting": max(1.0, float(size)) if saturated else 0.0,
        "saturated": (Saturated(size, 5.0, 5.0 * rate),) if saturated else (),
    }
    return PoolerPod(**(values | changes))


def observation(**changes: Any) -> Observation:
    values: dict[str, Any] = {
        "time": 1_000_000.0,
        "interval_seconds": 5.0,
        "metrics_age_seconds": 3.0,
        "api_pods": (api_pod(),),
        "pooler_pods": (pooler_pod(0), pooler_pod(1)),
        "database": Database(max_connections=100, superuser_reserved=3, backends={"catalog_app": 2}),
        "target": Target(spec_replicas=1, ready_replicas=1),
        "store": Store(epoch=EPOCH),
    }
    return Observation(**(values | changes))


def document(generation: int = 1, *, pooler: int | None = 1, max_pods: int = 2, **api: Any) -> KnobsDocument:
    value: dict[str, Any] = {"epoch": EPOCH, "generation": generation, "policy": "catalog", "api": api}
    if pooler is not None:
        value["pooler"] = {"poolSize": pooler, "maxPods": max_pods}
    return KnobsDocument.model_validate(value)


def ack(generation: int, epoch: str = EPOCH) -> Acknowledgement:
    return Acknowledgement(epoch, generation)
