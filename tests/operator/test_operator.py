"""The operator as a process, with the chart's rights, against a real API server and a real Prometheus."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.platforms.node.controlplane import ControlPlane
from deploy.servers.errors import ServersUnavailableError
from deploy.servers.prometheus import Prometheus
from deploy.servers.rootfs import find_or_make
from tests.integration.tuner.exporter import Exporter
from tests.operator.cluster import JSON, Cluster, eventually, install_crd, policy
from tests.operator.operator_process import Operator, events, running, service_account
from tests.operator.scene import Scene, fresh_name

POOLER = {"name": "catalog-pooler", "maxPods": 2}
KNOBS = {
    "poolerPoolSize": {"min": 2, "max": 60},
    "replicas": {"min": 1, "max": 4},
    "cacheTTL": [{"group": "search", "maxSeconds": 60}],
}
QUICK = {"tickSeconds": 5, "cooldownSeconds": 5}


@dataclass
class World:
    """One API server, one Prometheus, one operator; a scene for each test that needs its own."""

    plane: ControlPlane
    scenes: dict[str, Scene]
    prometheus: Prometheus
    account: Path
    folder: Path
    operator: Operator = field(init=False)

    def policy(self, **spec: Any) -> JSON:
        given: JSON = {
            "mode": "Apply", "pooler": POOLER, "prometheus": {"url": self.prometheus.url}, "behavior": QUICK,
            "knobs": KNOBS, **spec,
        }  # fmt: skip
        return policy(**given)


HPA: JSON = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "catalog-hpa"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "catalog-api"},
        "maxReplicas": 5,
    },
}

SCENES: dict[str, dict[str, Any]] = {
    "apply": {},
    "recommend": {"mode": "Recommend"},
    "keep": {"onDelete": "Keep"},
    "restore": {"onDelete": "Restore"},
    "autoscaled": {},
    "unreachable": {"prometheus": {"url": "http://127.0.0.1:9"}},
    "targetless": {},
    "raced": {},
}
"""The scenes and what their policies differ in. All begin at once, so that the tests' waits overlap."""


@pytest.fixture(scope="module")
def world(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        installation = find_or_make()
    except ServersUnavailableError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("operator")
    with ExitStack() as stack:
        exporter = stack.enter_context(Exporter())
        install_crd(control_plane)
        scenes = {name: Scene(Cluster(control_plane, fresh_name(name)), exporter) for name in SCENES}
        for name, scene in scenes.items():
            if name == "targetless":
                scene.make_namespace()
            else:
                scene.build()
                stack.callback(scene.close)
        targets = [pod for scene in scenes.values() for pod in scene.scraped]
        prometheus = stack.enter_context(
            Prometheus(installation=installation, scrape_configs=exporter.scrape_configs(targets))
        )
        account = service_account(control_plane, folder)
        scenes["autoscaled"].cluster.apply(HPA)
        world = World(control_plane, scenes, prometheus, account, folder)
        for name, spec in SCENES.items():
            scenes[name].cluster.make(world.policy(**spec))
        world.operator = stack.enter_context(running(account, folder))
        yield world


def ready(scene: Scene, status: str, reason: str) -> JSON:
    def look() -> JSON:
        found = scene.cluster.condition("catalog", "Ready")
        return found if (found.get("status"), found.get("reason")) == (status, reason) else {}

    return eventually(look, f"Ready is {status} because of {reason}")


def explain(scene: Scene) -> str:
    """What `kubectl trimtab explain` says."""
    where = ["--namespace", scene.cluster.namespace, "--kubeconfig", str(scene.cluster.kubeconfig)]
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "explain", "catalog", *where],
        capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "COLUMNS": "400"},
    ).stdout  # fmt: skip


def knob(scene: Scene, name: str) -> JSON:
    status = (scene.cluster.get("tuningpolicy", "catalog") or {}).get("status", {})
    return next((k for k in status.get("knobs", []) if k["name"] == name), {})


def test_apply_grows_the_pool_that_binds_and_says_so(world: World) -> None:
    scene = world.scenes["apply"]
    eventually(lambda: (scene.document() or {}).get("pooler", {}).get("poolSize", 0) > 2, "the pool grows")
    eventually(lambda: knob(scene, "poolerPoolSize").get("acknowledged") == "2/2", "both pods have confirmed")
    stored = scene.cluster.get("configmap", "catalog-knobs") or {}
    assert json.loads(stored["metadata"]["annotations"]["trimtab.dev/original"])["pooler_size"] == 2
    assert json.loads(stored["data"]["ledger.json"])["documents"]
    assert "ownerReferences" not in stored["metadata"]
    assert eventually(lambda: events(scene.cluster, "KnobChanged"), "an event says what changed")
    row = scene.cluster.must("get", "tp", "catalog").splitlines()[1].split()
    assert row[:2] == ["catalog", "Apply"] and any(cell.endswith("/79") for cell in row), row
    pod = scene.cluster.get("pod", scene.pods[1].name) or {}
    assert int(pod["metadata"]["annotations"]["trimtab.dev/knobs-generation"]) >= 1
    assert 'trimtab_knob_value{knob="poolerPoolSize"' in world.operator.scrape()
    explained = explain(scene)
    assert "clients wait for a server connection" in explained and "mode Apply" in explained


def test_it_leaves_nothing_of_the_framework_on_the_policy(world: World) -> None:
    scene = world.scenes["apply"]
    ready(scene, "True", "Apply")
    metadata = (scene.cluster.get("tuningpolicy", "catalog") or {})["metadata"]
    assert "finalizers" not in metadata
    assert not [key for key in metadata.get("annotations", {}) if "kopf" in key]


@pytest.mark.long
def test_recommend_changes_nothing_and_shows_what_it_would_do_then_apply_does_it(world: World) -> None:
    scene = world.scenes["recommend"]
    eventually(lambda: knob(scene, "poolerPoolSize").get("recommended", 0) > 4, "a larger pool is recommended")
    assert scene.document() is None
    assert scene.replicas() == 1
    scene.cluster.apply(world.policy(mode="Apply"))
    eventually(lambda: (scene.document() or {}).get("pooler", {}).get("poolSize", 0) > 2, "Apply does it")
    scene.cluster.apply(world.policy(mode="Observe"))
    ready(scene, "True", "Observe")
    left = scene.document()
    assert knob(scene, "poolerPoolSize").get("recommended") is None
    assert left is not None and scene.document() == left


def test_a_deleted_policy_keeps_what_it_has_set(world: World) -> None:
    scene = world.scenes["keep"]
    eventually(lambda: (scene.document() or {}).get("pooler", {}).get("poolSize", 0) > 2, "the pool grows")
    scene.cluster.must("delete", "tp", "catalog", "--timeout=20s")
    left = scene.document()
    assert left is not None and left["pooler"]["poolSize"] > 2


def test_a_deleted_policy_restores_what_was_there_before(world: World) -> None:
    scene = world.scenes["restore"]
    eventually(lambda: (scene.document() or {}).get("pooler", {}).get("poolSize", 0) > 2, "the pool grows")
    metadata = (scene.cluster.get("tuningpolicy", "catalog") or {})["metadata"]
    assert metadata["finalizers"] == ["trimtab.dev/restore"]
    generation = (scene.document() or {})["generation"]
    scene.cluster.must("delete", "tp", "catalog", "--timeout=60s")
    document = scene.document()
    assert document is not None and document["pooler"]["poolSize"] == 2
    assert document["generation"] > generation
    assert events(scene.cluster, "Restored")


def test_a_target_with_an_autoscaler_is_not_scaled_and_it_says_so(world: World) -> None:
    scene = world.scenes["autoscaled"]
    eventually(lambda: scene.cluster.condition("catalog", "Conflicted").get("status") == "True", "Conflicted")
    assert "catalog-hpa" in scene.cluster.condition("catalog", "Conflicted")["message"]
    eventually(lambda: "catalog-hpa" in knob(scene, "replicas").get("message", ""), "the knob says what holds it")
    assert knob(scene, "replicas")["reason"] == "Conflict"
    eventually(lambda: scene.document(), "the other knobs move on")
    assert scene.replicas() == 1
    assert "HorizontalPodAutoscaler" in events(scene.cluster, "Conflict")[0]


def test_an_unreachable_prometheus_is_a_condition_and_no_change(world: World) -> None:
    scene = world.scenes["unreachable"]
    eventually(lambda: scene.cluster.condition("catalog", "MetricsAvailable").get("status") == "False", "no metrics")
    found = scene.cluster.condition("catalog", "MetricsAvailable")
    assert "http://127.0.0.1:9 cannot be reached" in found["message"]
    assert "spec.prometheus.url" in found["message"]
    assert scene.document() is None
    assert 'trimtab_prometheus_errors_total{reason="Unreachable"}' in world.operator.scrape()


def test_a_target_that_does_not_exist_is_named_with_the_remedy(world: World) -> None:
    scene = world.scenes["targetless"]
    found = ready(scene, "False", "TargetUnavailable")
    assert "Deployment catalog-api" in found["message"] and "does not exist: create it" in found["message"]
    assert scene.document() is None
    assert events(scene.cluster, "TargetUnavailable")


@pytest.mark.long
def test_a_plan_is_dropped_when_somebody_else_wrote_first(world: World) -> None:
    """A ConfigMap that appeared after the look is not overwritten: the next plan starts from what it says."""
    scene = world.scenes["raced"]
    eventually(lambda: (scene.document() or {}).get("generation", 0) >= 1, "the first document")
    stored = scene.cluster.get("configmap", "catalog-knobs") or {}
    document = json.loads(stored["data"]["knobs.json"])
    foreign = {**document, "generation": document["generation"] + 1000}
    patch = {"data": {"knobs.json": json.dumps(foreign)}}
    scene.cluster.must("patch", "configmap", "catalog-knobs", "--type=merge", "-p", json.dumps(patch))
    eventually(lambda: (scene.document() or {})["generation"] > foreign["generation"], "a later document")
    assert (scene.document() or {})["epoch"] == document["epoch"]


@pytest.mark.long
def test_a_restart_changes_no_value(world: World) -> None:
    scene = world.scenes["apply"]
    eventually(lambda: (scene.document() or {}).get("generation", 0) >= 1, "a first change")
    scene.cluster.apply(world.policy(paused=True))
    eventually(lambda: scene.cluster.condition("catalog", "Paused").get("status") == "True", "it is paused")
    before = scene.cluster.get("configmap", "catalog-knobs") or {}
    state = json.loads((scene.cluster.get("configmap", "catalog-state") or {})["data"]["state.json"])
    assert state["memory"]["journal"]
    assert world.operator.stop() == 0
    with running(world.account, world.folder) as again:
        world.operator = again
        eventually(lambda: f'policy_namespace="{scene.cluster.namespace}"' in again.scrape(), "it looks again")
        after = scene.cluster.get("configmap", "catalog-knobs") or {}
        assert after["data"] == before["data"]
        decisions = (scene.cluster.get("tuningpolicy", "catalog") or {})["status"]["decisions"]
        assert decisions, "what was decided before the restart is still known"
