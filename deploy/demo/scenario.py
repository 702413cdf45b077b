"""What the demo runs: the bad start, the policy, the load. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from loadtests.mix import Mix
from loadtests.plan import LoadPlan

RELEASE = "catalog"
NAMESPACE = "catalog"
POLICY = "catalog"
TUNER_RELEASE = "trimtab"
TUNER_NAMESPACE = "trimtab-system"

MAX_CONNECTIONS = 100
RESERVED_CONNECTIONS = 13
POOLER_PODS = 2
CACHE_GROUPS = ("item", "list", "search", "report")

MIX = Mix(
    {"read": 52, "search": 14, "create": 4, "update": 5, "delete": 2, "order": 14, "report": 8, "auth": 1},
)


@dataclass(frozen=True)
class Knobs:
    """One setting of everything that the tuner may move. Sizes are per pod."""

    pooler_pool_size: int
    api_pool_size: int
    api_concurrency: int
    replicas: int
    cache_ttl_seconds: int

    def as_values(self) -> dict[str, Any]:
        """The values of charts/stack that start a stack with these knobs."""
        return {
            "pooler": {"poolSize": self.pooler_pool_size, "maxPods": POOLER_PODS, "replicas": POOLER_PODS},
            "api": {
                "poolSize": self.api_pool_size,
                "concurrency": self.api_concurrency,
                "cacheTTLSeconds": dict.fromkeys(CACHE_GROUPS, self.cache_ttl_seconds),
            },
        }


BAD_START = Knobs(pooler_pool_size=1, api_pool_size=2, api_concurrency=64, replicas=1, cache_ttl_seconds=1)


@dataclass(frozen=True)
class Phases:
    """How long each phase lasts, in seconds, and how many users send requests in a closed loop."""

    users: int = 48
    ramp_seconds: int = 10
    measured_seconds: int = 60
    tuning_seconds: int = 400
    quiet_seconds: int = 80
    """Tuning ends early when the tuner has decided nothing for this long. A raised TTL settles for twice its length,
    and the last doubling is from 32 s: less than 64 s of quiet mean nothing."""

    def plan(self, items: int, hold_seconds: int) -> LoadPlan:
        return LoadPlan(
            url=f"http://{RELEASE}-api.{NAMESPACE}.svc:8000",
            users=self.users,
            ramp_seconds=self.ramp_seconds,
            hold_seconds=hold_seconds,
            items=items,
            mix=MIX,
        )

    def shortened(self, factor: float) -> Phases:
        """The same phases in less time, for tests that look at directions rather than at the gain."""
        return replace(
            self,
            measured_seconds=max(20, int(self.measured_seconds * factor)),
            tuning_seconds=max(60, int(self.tuning_seconds * factor)),
        )


def policy(mode: str, **spec: Any) -> dict[str, Any]:
    """The demo's TuningPolicy in `mode`; `spec` replaces whole fields of its spec."""
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "TuningPolicy",
        "metadata": {"name": POLICY, "namespace": NAMESPACE},
        "spec": {
            "mode": mode,
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{RELEASE}-api"},
            "pooler": {"kind": "StatefulSet", "name": f"{RELEASE}-pooler", "maxPods": POOLER_PODS},
            "database": {
                "server": f"{RELEASE}-postgres",
                "maxConnections": MAX_CONNECTIONS,
                "reservedConnections": RESERVED_CONNECTIONS,
            },
            "prometheus": {"url": f"http://{RELEASE}-prometheus.{NAMESPACE}.svc:9090"},
            "objective": {"latencyQuantilePercent": 95, "latencyMilliseconds": 150, "errorPercent": 1},
            "knobs": {
                "poolerPoolSize": {"min": 2, "max": 40},
                "apiPoolSize": {"min": 2, "max": 20},
                "apiConcurrency": {"min": 4, "max": 200},
                "replicas": {"min": 1, "max": 4},
                "cacheTTL": [
                    # Each item is invalidated by its writes; the others may be as old as maxSeconds says.
                    {"group": "item", "minSeconds": 1, "maxSeconds": 300, "maxStalePercent": 5},
                    *(
                        {"group": group, "minSeconds": 1, "maxSeconds": 60, "maxStalePercent": 100}
                        for group in ("list", "search", "report")
                    ),
                ],
            },
            "behavior": {"tickSeconds": 5, "cooldownSeconds": 15},
        }
        | spec,
    }
