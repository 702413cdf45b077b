"""A Prometheus that scrapes played pods, and the observer that reads it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.servers.prometheus import Prometheus as PrometheusServer
from tests.integration.conftest import StartPrometheus
from tests.integration.tuner.exporter import Exporter, Value
from tuner.crds import TuningPolicySpec
from tuner.observation import Observation, Store, Target
from tuner.observe.observer import Observer
from tuner.observe.prometheus import Prometheus
from tuner.observe.source import Source
from tuner.workload import Pod, Workload

NAMESPACE = "shop"


def spec(url: str, **prometheus: int) -> TuningPolicySpec:
    return TuningPolicySpec.model_validate(
        {
            "target": {"name": "api"},
            "pooler": {"name": "pooler"},
            "prometheus": {"url": url, **prometheus},
            "behavior": {"tickSeconds": 5},
        }
    )


def pod(name: str) -> Pod:
    return Pod(NAMESPACE, name, f"uid-{name}", ready=True, terminating=False, created_at=0.0, ready_at=time.time())


class Watched:
    """One policy's view of two pods, `api-0` and `pooler-0`, and a database exporter."""

    def __init__(self, exporter: Exporter, server: PrometheusServer) -> None:
        self.exporter = exporter
        self.server = server
        self.source = Source(
            Prometheus(server.url, budget_seconds=4.0), spec(server.url).prometheus.labels, monotonic=_NeverShared()
        )
        self._observer = Observer()
        self.spec = spec(server.url, staleAfterSeconds=10)

    def workload(self) -> Workload:
        return Workload(
            namespace=NAMESPACE,
            api_pods=(pod("api-0"),),
            pooler_pods=(pod("pooler-0"),),
            target=Target(1, 1),
            store=Store(epoch="01890a5d-ac96-774b-bcce-b302099a8057"),
        )

    async def look(self) -> Observation:
        return await self._observer.observe(self.spec, self.workload(), await self.source.look(NAMESPACE), time.time())


class _NeverShared:
    """A clock on which every look is another second's: these tests want each query to be asked."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 10.0
        return self._now


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter() as exporter:
        yield exporter


@pytest.fixture
async def watched(exporter: Exporter, prometheus: StartPrometheus) -> AsyncIterator[Watched]:
    pods = [(NAMESPACE, name) for name in ("api-0", "pooler-0", "postgres-0")]
    watched = Watched(exporter, prometheus(*exporter.scrape_configs(pods)))
    yield watched
    await watched.source.close()


def pooler_page(xacts: Value, **more: Value) -> dict[str, Value]:
    return {
        'trimtab_knobs_info{pod_uid="uid-pooler-0",epoch="",generation="0"}': 1,
        "trimtab_pooler_pool_size": 6,
        "trimtab_pooler_xacts_total": xacts,
        'trimtab_pooler_clients{state="waiting"}': 3,
        **more,
    }


def api_page(requests: Value, good: Value) -> dict[str, Value]:
    return {
        'trimtab_knobs_info{pod_uid="uid-api-0",epoch="",generation="0"}': 1,
        "trimtab_pool_size": 4,
        'http_request_duration_seconds_count{method="GET",route="/items",status="200"}': requests,
        'http_request_duration_seconds_bucket{method="GET",route="/items",status="200",le="0.1"}': 0,
        'http_request_duration_seconds_bucket{method="GET",route="/items",status="200",le="0.15"}': good,
        'http_request_duration_seconds_bucket{method="GET",route="/items",status="200",le="+Inf"}': requests,
    }
