"""A namespace with a service to tune: the objects are in the API server, the pods' metrics in a real Prometheus.

There is no kubelet, so a thread plays the pods: it reads the knobs ConfigMap as a mounted file would show it, applies
it, and says so in its metrics.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

from tests.integration.tuner.exporter import Exporter, Value, growing
from tests.operator.cluster import JSON, Cluster

KNEE = 16
"""Server connections beyond which the played database does no more work."""


class Pod:
    """One played pod: its metrics, and what it does with a knobs document."""

    def __init__(self, exporter: Exporter, namespace: str, app: str, index: int, size: int) -> None:
        self.namespace, self.app, self.name = namespace, app, f"{namespace}-{app}-{index}"
        self.uid = ""
        self.size = size
        self.ttl = 1
        self.epoch, self.generation = "", 0
        self._exporter = exporter
        self._work: dict[str, float] = {}
        self._at = time.monotonic()

    def apply(self, document: JSON) -> None:
        """As a pod would: take the sizes, then acknowledge."""
        self._count()
        section = document.get("pooler" if self.app == "pooler" else "api") or {}
        self.size = section.get("poolSize", self.size)
        self.ttl = section.get("cacheTTLSeconds", {}).get("search", self.ttl)
        self.epoch, self.generation = document["epoch"], document["generation"]
        self.show()

    def show(self) -> None:
        info = f'trimtab_knobs_info{{pod_uid="{self.uid}",epoch="{self.epoch}",generation="{self.generation}"}}'
        page: dict[str, Value] = {info: 1, "process_start_time_seconds": 1_700_000_000}
        page |= self._pooler() if self.app == "pooler" else self._api()
        self._exporter.pages[self.name] = page

    def _rate(self) -> float:
        return 100.0 * min(self.size, KNEE / 2)

    def _count(self) -> None:
        """Saturated work is counted under the size at which it was done."""
        now = time.monotonic()
        key = str(self.size)
        self._work[key] = self._work.get(key, 0.0) + (now - self._at)
        self._at = now

    def _saturated(self, size: str, per_second: float) -> Value:
        def value() -> float:
            running = time.monotonic() - self._at if size == str(self.size) else 0.0
            return (self._work.get(size, 0.0) + running) * per_second

        return value

    def _pooler(self) -> dict[str, Value]:
        rate = self._rate()
        page: dict[str, Value] = {
            "trimtab_pooler_pool_size": self.size,
            'trimtab_pooler_servers{state="active"}': self.size,
            'trimtab_pooler_servers{state="idle"}': 0,
            'trimtab_pooler_clients{state="active"}': self.size,
            'trimtab_pooler_clients{state="waiting"}': 40,
            "trimtab_pooler_max_wait_seconds": 0.2,
            "trimtab_pooler_xacts_total": growing(rate, 1e6 * self.generation),
            "trimtab_pooler_xact_seconds_total": growing(self.size, 1e6 * self.generation),
            "trimtab_pooler_queries_total": growing(rate, 1e6 * self.generation),
            "trimtab_pooler_query_seconds_total": growing(self.size, 1e6 * self.generation),
            "trimtab_pooler_wait_seconds_total": growing(40, 1e6 * self.generation),
            "trimtab_pooler_assignments_total": growing(rate, 1e6 * self.generation),
        }
        for size in {*self._work, str(self.size)}:
            per_second = 100.0 * min(int(size), KNEE / 2)
            page[f'trimtab_pooler_saturated_seconds_total{{size="{size}"}}'] = self._saturated(size, 1.0)
            page[f'trimtab_pooler_saturated_transactions_total{{size="{size}"}}'] = self._saturated(size, per_second)
        return page

    def _api(self) -> dict[str, Value]:
        start = 1e6 * self.generation
        return {
            "trimtab_pool_size": self.size,
            "trimtab_pool_checked_out": self.size,
            "trimtab_pool_checkout_seconds_sum": growing(2, start),
            "trimtab_pool_checkout_seconds_count": growing(300, start),
            "trimtab_admission_limit": 64,
            "trimtab_admission_in_flight": 20,
            "trimtab_admission_rejected_total": 0,
            'http_request_duration_seconds_count{route="/items",status="200"}': growing(300, start),
            'http_request_duration_seconds_bucket{route="/items",status="200",le="0.1"}': growing(200, start),
            'http_request_duration_seconds_bucket{route="/items",status="200",le="0.25"}': growing(290, start),
            'http_request_duration_seconds_bucket{route="/items",status="200",le="+Inf"}': growing(300, start),
            "process_cpu_seconds_total": growing(0.3, start),
            "trimtab_cpu_limit_cores": 1,
            'trimtab_cache_requests_total{group="search",tier="redis",result="hit"}': growing(30, start),
            'trimtab_cache_requests_total{group="search",tier="redis",result="miss"}': growing(70, start),
            'trimtab_cache_ttl_seconds{group="search"}': self.ttl,
        }


class Scene:
    """A namespace with a Deployment `catalog-api` and a StatefulSet `catalog-pooler`, and their played pods."""

    def __init__(self, cluster: Cluster, exporter: Exporter) -> None:
        self.cluster = cluster
        namespace = cluster.namespace
        self.pods = [Pod(exporter, namespace, "api", 0, size=4)]
        self.pods += [Pod(exporter, namespace, "pooler", index, size=2) for index in range(2)]
        self.exporter = exporter
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def scraped(self) -> list[tuple[str, str]]:
        return [(pod.namespace, pod.name) for pod in self.pods] + [(self.cluster.namespace, self.postgres)]

    @property
    def postgres(self) -> str:
        return f"{self.cluster.namespace}-postgres-0"

    def build(self) -> None:
        cluster = self.cluster
        self.make_namespace()
        cluster.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
        cluster.make(_workload("Deployment", "api", {}))
        cluster.make(_workload("StatefulSet", "pooler", {"replicas": 2, "serviceName": "catalog-pooler"}))
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}], "phase": "Running"}
        for pod in self.pods:
            pod.uid = cluster.make(_pod(pod))["metadata"]["uid"]
            cluster.patch_status("pod", pod.name, ready)
            pod.show()
        self.exporter.pages[self.postgres] = {
            "pg_settings_max_connections": 100,
            "pg_settings_superuser_reserved_connections": 3,
            'trimtab_pg_backends{role="catalog_app"}': 4,
        }
        self._thread.start()

    def make_namespace(self) -> None:
        self.cluster.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.cluster.namespace}})

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def replicas(self) -> int:
        return int((self.cluster.get("deployment", "catalog-api") or {})["spec"]["replicas"])

    def document(self) -> JSON | None:
        """The stored knobs document."""
        stored = self.cluster.get("configmap", "catalog-knobs")
        return json.loads(stored["data"]["knobs.json"]) if stored else None

    def _follow(self) -> None:
        while not self._stop.wait(0.5):
            document = self.document()
            for pod in self.pods:
                if document and (pod.epoch, pod.generation) != (document["epoch"], document["generation"]):
                    pod.apply(document)


def fresh_name(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:6]}"


def _labels(app: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": app}


_CONTAINER = {"name": "main", "image": "example.invalid/none:1"}


def _workload(kind: str, app: str, spec: JSON) -> JSON:
    template = {"metadata": {"labels": _labels(app)}, "spec": {"containers": [_CONTAINER]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": f"catalog-{app}"},
        "spec": {**spec, "selector": {"matchLabels": _labels(app)}, "template": template},
    }


def _pod(pod: Pod) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod.name, "labels": _labels(pod.app)},
        "spec": {"containers": [_CONTAINER]},
    }
