"""The stack and the tuner on a platform, as the demo and the end-to-end tests see them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy.demo.budget import BudgetWatch, watch_script
from deploy.demo.outcome import Measured
from deploy.demo.scenario import CACHE_GROUPS, NAMESPACE, POLICY, POOLER_PODS, RELEASE, Knobs
from deploy.kubectl import Kubectl, wait_until
from loadtests import job
from loadtests.plan import LoadPlan
from loadtests.stream import Progress
from trimtab.knobs.document import ApiKnobs, PoolerKnobs, parse

SCRAPE_SECONDS = 5
MEMORY_TIER_SECONDS = 6
"""After this an entry of the in-process cache tier is gone, whatever its group's TTL."""


@dataclass(frozen=True)
class Stage:
    """One cluster with the stack in it. `images` are references by component."""

    kubectl: Kubectl
    images: dict[str, str]

    def apply_policy(self, policy: dict[str, Any]) -> None:
        self.kubectl.apply(policy)

    def policy(self) -> dict[str, Any]:
        return self.kubectl.get("tuningpolicy", POLICY, NAMESPACE)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.policy().get("status", {})
        return status

    def decisions(self) -> list[dict[str, Any]]:
        """The decisions in the policy's status, oldest first."""
        decisions: list[dict[str, Any]] = self.status().get("decisions", [])
        return decisions

    def condition(self, kind: str) -> dict[str, Any] | None:
        return next((c for c in self.status().get("conditions", []) if c["type"] == kind), None)

    def wait_for_condition(self, kind: str, status: str, seconds: float) -> None:
        def holds() -> bool:
            found = self.condition(kind)
            return found is not None and found["status"] == status

        wait_until(f"condition {kind}={status} of policy {POLICY} (it is {self.condition(kind)})", holds, seconds)

    def api_pods(self) -> list[dict[str, Any]]:
        pods = self.kubectl.items("pods", NAMESPACE)
        return [pod for pod in pods if pod["metadata"]["labels"].get("app.kubernetes.io/name") == "api"]

    def replicas(self) -> int:
        return int(self.kubectl.get("deployment", f"{RELEASE}-api", NAMESPACE)["spec"]["replicas"])

    def scale(self, replicas: int) -> None:
        self.kubectl.run("scale", f"--namespace={NAMESPACE}", f"--replicas={replicas}", f"deployment/{RELEASE}-api")
        self.kubectl.run(
            "rollout", "status", f"--namespace={NAMESPACE}", f"deployment/{RELEASE}-api", "--timeout=180s",
            timeout_seconds=200,
        )  # fmt: skip

    def flush_cache(self) -> None:
        """Empty Redis, and wait until the in-process tiers have let go of what they hold."""
        script = "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -h 127.0.0.1 FLUSHALL"
        self.kubectl.run(*self.kubectl.shell(f"{RELEASE}-redis-0", "redis", NAMESPACE, script)[2:])
        time.sleep(MEMORY_TIER_SECONDS)

    def watch_budget(self, every_seconds: float = 0.5) -> BudgetWatch:
        return BudgetWatch(
            self.kubectl.shell(f"{RELEASE}-postgres-0", "postgres", NAMESPACE, watch_script(every_seconds))
        )

    def load(
        self, name: str, plan: LoadPlan, on_progress: Callable[[Progress], None] = lambda progress: None
    ) -> dict[str, Any]:
        """Run `plan` as a Job and return its result. What `on_progress` raises ends the Job and goes through."""
        return job.run(self.kubectl.kubeconfig, name, NAMESPACE, self.images["loadtests"], plan, on_progress)

    def measured(self, result: dict[str, Any]) -> Measured:
        """The result of a load that has just ended, together with what Prometheus saw of its hold phase."""
        summary, seconds = result["summary"], result["plan"]["hold_seconds"]
        return Measured(
            requests_per_second=summary["requestsPerSecond"],
            p50_milliseconds=summary["p50Milliseconds"] or 0.0,
            p95_milliseconds=summary["p95Milliseconds"] or 0.0,
            p99_milliseconds=summary["p99Milliseconds"] or 0.0,
            error_percent=summary["errorPercent"] or 0.0,
            server_connections=round(self._query(f"max_over_time(sum(trimtab_pooler_servers)[{seconds}s:5s])")),
            hit_ratio_percent=round(self.hit_ratio_percent(seconds), 1),
            replicas=self.replicas(),
        )

    def hit_ratio_percent(self, seconds: int) -> float:
        """Share of the cache's reads that did not go to the database, over the last `seconds`."""
        reads = self._query(f'sum(increase(trimtab_cache_requests_total{{tier="memory"}}[{seconds}s]))')
        missed = self._query(
            f'sum(increase(trimtab_cache_requests_total{{tier="redis",result!~"hit|stale|negative"}}[{seconds}s]))'
        )
        return 100 * (1 - missed / reads) if reads else 0.0

    def _query(self, expression: str) -> float:
        return self.kubectl.query(f"{RELEASE}-prometheus", NAMESPACE, expression) or 0.0

    def knobs_in_force(self) -> Knobs:
        """The knobs as the pods report them: the least fresh of the pods decides."""
        pods = "min(trimtab_pool_size)"
        return Knobs(
            pooler_pool_size=round(self._query("min(trimtab_pooler_pool_size)")),
            api_pool_size=round(self._query(pods)),
            api_concurrency=round(self._query("min(trimtab_admission_limit)")),
            replicas=self.replicas(),
            cache_ttl_seconds=round(self._query("min(trimtab_cache_ttl_seconds)")),
        )

    def set_knobs(self, knobs: Knobs) -> None:
        """Set everything by hand, as a person would without a tuner, and wait until every pod has taken it.

        The policy must be in Observe, and the tuner must have made the knobs ConfigMap before.
        """
        name = f"{POLICY}-knobs"
        stored = self.kubectl.get("configmap", name, NAMESPACE)
        before = parse(stored["data"]["knobs.json"])
        document = before.model_copy(
            update={
                "generation": before.generation + 1,
                "api": ApiKnobs(
                    pool_size=knobs.api_pool_size,
                    max_pods=before.api.max_pods,
                    concurrency=knobs.api_concurrency,
                    cache_ttl_seconds=dict.fromkeys(CACHE_GROUPS, knobs.cache_ttl_seconds),
                ),
                "pooler": PoolerKnobs(pool_size=knobs.pooler_pool_size, max_pods=POOLER_PODS),
            }
        )
        patch = {"data": {"knobs.json": document.to_json()}}
        self.kubectl.run(
            "patch", "configmap", name, f"--namespace={NAMESPACE}", "--type=merge", f"--patch={json.dumps(patch)}"
        )
        self.scale(knobs.replicas)
        # Touching a pod makes its kubelet refresh the mounted ConfigMap at once, not within a minute.
        self.kubectl.run(
            "annotate", "pods", "--all", "--overwrite", f"--namespace={NAMESPACE}",
            f"trimtab.dev/knobs-generation={document.generation}",
        )  # fmt: skip
        lagging = f"count(trimtab_knobs_info unless trimtab_knobs_info{{generation='{document.generation}'}})"
        wait_until(
            f"generation {document.generation} of the knobs in force in every pod",
            lambda: self.kubectl.query(f"{RELEASE}-prometheus", NAMESPACE, lagging) is None,
            seconds=180,
        )
