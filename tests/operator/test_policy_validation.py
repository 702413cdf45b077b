"""The API server takes good policies, fills in the defaults, and says to bad ones what to do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.platforms.node.controlplane import ControlPlane
from tests.operator.cluster import Cluster, install_crd, policy


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    cluster = Cluster(control_plane, f"validation-{uuid.uuid4().hex[:8]}")
    install_crd(control_plane)
    cluster.must("create", "namespace", cluster.namespace)
    yield cluster


FULL: dict[str, Any] = {
    "mode": "Recommend",
    "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "catalog-api"},
    "pooler": {"kind": "StatefulSet", "name": "catalog-pooler", "maxPods": 2},
    "database": {"server": "catalog-db", "maxConnections": 100, "reservedConnections": 13},
    "prometheus": {"url": "http://prometheus:9090", "staleAfterSeconds": 45, "fallbackAfterSeconds": 300},
    "objective": {"latencyQuantilePercent": 95, "latencyMilliseconds": 150, "errorPercent": 1},
    "knobs": {
        "poolerPoolSize": {"min": 2, "max": 60},
        "apiPoolSize": {"min": 2, "max": 40},
        "apiConcurrency": {"min": 4, "max": 400},
        "replicas": {"min": 1, "max": 8},
        "cacheTTL": [{"group": "search", "minSeconds": 1, "maxSeconds": 600, "maxStalePercent": 1}],
    },
    "behavior": {"freeze": [{"schedule": "0 8 * * 1-5", "durationSeconds": 3600, "timeZone": "Europe/Berlin"}]},
}


def test_a_full_policy_is_accepted_and_shown_in_columns(cluster: Cluster) -> None:
    cluster.apply(policy("full", **FULL))
    header = cluster.must("get", "tp", "full").splitlines()[0].split()
    assert header == ["NAME", "MODE", "BOTTLENECK", "POOL", "REPLICAS", "BUDGET", "READY", "REASON", "AGE"]
    cluster.patch_status(
        "tuningpolicy",
        "full",
        {
            "bottleneck": "Pooler",
            "budget": {
                "maxConnections": 100, "reserved": 13, "allocatable": 79, "committed": 24, "worstCase": 36,
                "used": "24/79",
            },
            "knobs": [{"name": "poolerPoolSize", "current": 24}, {"name": "replicas", "current": 3}],
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "Settled", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            ],
        },
    )  # fmt: skip
    row = cluster.must("get", "tp", "full").splitlines()[1].split()
    assert row[:-1] == ["full", "Recommend", "Pooler", "24", "3", "24/79", "True", "Settled"]


def test_defaults_reach_all_depths(cluster: Cluster) -> None:
    cluster.apply(policy("small", knobs={"cacheTTL": [{"group": "search", "maxSeconds": 60}]}))
    spec = (cluster.get("tuningpolicy", "small") or {})["spec"]
    assert spec["mode"] == "Recommend" and spec["onDelete"] == "Keep" and spec["paused"] is False
    assert spec["target"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "catalog-api"}
    assert spec["prometheus"]["staleAfterSeconds"] == 45
    assert spec["prometheus"]["labels"] == {"namespace": "namespace", "pod": "pod"}
    assert spec["database"]["reservedConnections"] == 13
    assert spec["behavior"]["tickSeconds"] == 15
    assert spec["rollback"] == {"enabled": True, "quarantineSeconds": 1800}
    assert spec["knobs"]["cacheTTL"][0] == {"group": "search", "minSeconds": 1, "maxSeconds": 60, "maxStalePercent": 1}


POOLER = {"name": "catalog-pooler", "maxPods": 2}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("a size of 0", {"knobs": {"apiPoolSize": {"min": 0, "max": 4}}}, "greater than or equal to 1"),
    ("min above max", {"knobs": {"replicas": {"min": 5, "max": 2}}}, "lower min or raise max"),
    ("TTL min above max", {"knobs": {"cacheTTL": [{"group": "a", "minSeconds": 9, "maxSeconds": 3}]}},
     "lower minSeconds or raise maxSeconds"),
    ("a group twice", {"knobs": {"cacheTTL": [{"group": "a", "maxSeconds": 3}, {"group": "a", "maxSeconds": 4}]}},
     "duplicate entries"),
    ("a pool knob without a pooler", {"knobs": {"poolerPoolSize": {"min": 2, "max": 9}}},
     "name the pooler's workload, or leave the knob out"),
    ("a pool smaller than its pods", {"pooler": POOLER, "knobs": {"poolerPoolSize": {"min": 1, "max": 1}}},
     "raise max or lower maxPods"),
    ("nothing left of the connections", {"database": {"maxConnections": 20, "reservedConnections": 20}},
     "reserve fewer or raise max_connections"),
    ("an unknown mode", {"mode": "Turbo"}, 'supported values: "Observe", "Recommend", "Apply"'),
    ("no Prometheus address", {"prometheus": {"url": "prometheus:9090"}}, "url must begin with http:// or https://"),
    ("fallback before staleness", {"prometheus": {"url": "http://p:9090", "fallbackAfterSeconds": 40}},
     "the tuner first holds, then falls back"),
    ("a tick of a second", {"behavior": {"tickSeconds": 1}}, "greater than or equal to 5"),
    ("no target", {"target": None}, "spec.target"),
    ("a schedule of three fields", {"behavior": {"freeze": [{"schedule": "0 8 * ", "durationSeconds": 60}]}},
     "schedule needs five cron fields"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "remedy"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_policy_is_refused_with_the_remedy(cluster: Cluster, spec: dict[str, Any], remedy: str) -> None:
    assert remedy in cluster.refusal(policy("bad", **spec))


def test_the_target_cannot_be_changed(cluster: Cluster) -> None:
    cluster.apply(policy("fixed"))
    message = cluster.refusal(policy("fixed", target={"name": "another"}))
    assert "delete this policy and create another for the other workload" in message


def test_a_name_that_is_too_long(cluster: Cluster) -> None:
    assert "choose a shorter one" in cluster.refusal(policy("a" * 64))


def test_explain_reads_like_documentation(cluster: Cluster) -> None:
    text = cluster.must("explain", "tuningpolicy.spec.pooler.maxPods")
    assert "Most pooler pods that may exist at one time" in text
