"""Pods and targets as the Kubernetes API describes them, read into the tuner's words. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from datetime import datetime

from tuner.cluster.api import JSON
from tuner.observation import Absent, Maybe
from tuner.workload import Pod

METRICS_PORT = "metrics"
LONGEST_START_SECONDS = 600
"""A pod that became ready later than this after its creation was not starting but recovering."""


def seconds(timestamp: str | None) -> float | None:
    """Seconds since the epoch of a Kubernetes timestamp."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else None


def pod(item: JSON) -> Pod:
    meta, status = item["metadata"], item.get("status", {})
    ready: JSON = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
    is_ready = ready.get("status") == "True"
    return Pod(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        ready=is_ready,
        terminating="deletionTimestamp" in meta,
        created_at=seconds(meta.get("creationTimestamp")) or 0.0,
        ready_at=seconds(ready.get("lastTransitionTime")) if is_ready else None,
        metrics_url=_metrics_url(item, status.get("podIP")),
    )


def exists(item: JSON) -> bool:
    """Whether a pod may still hold connections: one that ended for good cannot."""
    return item.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def _metrics_url(item: JSON, address: str | None) -> str | None:
    spec = item.get("spec", {})
    containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
    ports = [p["containerPort"] for c in containers for p in c.get("ports", []) if p.get("name") == METRICS_PORT]
    if not address or not ports:
        return None
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{ports[0]}/metrics"


def seconds_to_ready(pods: Iterable[Pod]) -> Maybe[float]:
    """Median time from creation to readiness of the pods that are ready now."""
    starts = [p.ready_at - p.created_at for p in pods if p.ready_at is not None]
    usual = [start for start in starts if 0 <= start <= LONGEST_START_SECONDS]
    return statistics.median(usual) if usual else Absent("no pod became ready while watched")


def surge_pods(workload: JSON, most_replicas: int = 0) -> int:
    """Pods above spec.replicas that a rollout may add: maxSurge of a Deployment, rounded up as Kubernetes does.

    `most_replicas`: how far the tuner may scale it; a share is then of that many.
    """
    if workload.get("kind") != "Deployment":
        return 0
    strategy = workload["spec"].get("strategy", {})
    if strategy.get("type") == "Recreate":
        return 0
    surge = strategy.get("rollingUpdate", {}).get("maxSurge", "25%")
    if isinstance(surge, int):
        return surge
    replicas = max(most_replicas, int(workload["spec"].get("replicas", 1)))
    return math.ceil(int(surge.rstrip("%")) * replicas / 100)
