"""charts/stack: which objects it makes, under the names, ports and labels of docs/decisions/0001."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from deploy.commands import run
from deploy.servers import postgres_roles
from tests.unit.charts.conftest import CHARTS
from tests.unit.charts.rendering import Chart, Manifests, container, environment, pod_of

BAD_START = {
    "api": {
        "poolSize": 2,
        "concurrency": 8,
        "cacheTTLSeconds": {"item": 1, "list": 1, "search": 1, "report": 1},
        "resources": {"limits": {"cpu": "750m"}},
    },
    "pooler": {"poolSize": 1, "maxPods": 2},
    "seed": {"items": 500},
}
EXTERNAL = {"postgres": {"enabled": False}, "externalDatabase": {"host": "db.example"}, "existingSecret": "mine"}


@pytest.fixture(scope="module")
def default(stack: Chart) -> Manifests:
    return stack.render()


def kinds(manifests: Manifests, kind: str) -> set[str]:
    return {name.removeprefix(f"{kind}/") for name in manifests.names() if name.startswith(f"{kind}/")}


def test_helm_finds_nothing_to_complain_about(stack: Chart) -> None:
    assert "0 chart(s) failed" in run([stack.helm, "lint", "--strict", stack.folder])


def test_every_object_by_name(default: Manifests) -> None:
    assert kinds(default, "Deployment") == {"catalog-api"}
    assert kinds(default, "StatefulSet") == {
        "catalog-pooler", "catalog-postgres", "catalog-redis", "catalog-prometheus",
    }  # fmt: skip
    assert kinds(default, "Service") == {
        "catalog-api", "catalog-pooler", "catalog-pooler-peers", "catalog-postgres", "catalog-redis",
        "catalog-prometheus",
    }  # fmt: skip
    assert kinds(default, "PodDisruptionBudget") == {"catalog-api", "catalog-pooler"}
    assert kinds(default, "Role") == kinds(default, "RoleBinding") == {"catalog-prometheus"}
    assert kinds(default, "Secret") == {"catalog-credentials"}
    assert kinds(default, "ClusterRole") == set()
    assert len(kinds(default, "Job")) == 2
    assert len(default.names()) == len(set(default.names()))


@pytest.mark.parametrize(
    ("service", "port", "metrics"),
    [
        ("api", 8000, 9100),
        ("pooler", 6432, 9127),
        ("postgres", 5432, 9187),
        ("redis", 6379, 9121),
        ("prometheus", 9090, None),
    ],
)
def test_ports_and_labels(default: Manifests, service: str, port: int, metrics: int | None) -> None:
    name = f"catalog-{service}"
    exposed = default.one("Service", name)["spec"]
    labels = {"app.kubernetes.io/name": service, "app.kubernetes.io/instance": "catalog"}
    workload = default.one("Deployment" if service == "api" else "StatefulSet", name)
    pod = pod_of(workload)
    assert exposed["selector"] == labels == workload["spec"]["selector"]["matchLabels"]
    assert labels.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    assert workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "trimtab"
    ports = {
        each["name"]: each["containerPort"]
        for part in [*pod.get("initContainers", []), *pod["containers"]]
        for each in part.get("ports", [])
    }
    assert [each["port"] for each in exposed["ports"]] == [port]
    assert [ports[each["targetPort"]] for each in exposed["ports"]] == [port]
    assert ports.get("metrics") == metrics


def test_the_replicas_are_nobodys_until_somebody_asks(stack: Chart, default: Manifests) -> None:
    assert "replicas" not in default.one("Deployment", "catalog-api")["spec"]
    asked = stack.render({"api": {"replicas": 3}})
    assert asked.one("Deployment", "catalog-api")["spec"]["replicas"] == 3
    assert stack.render({"api": {"replicas": 0}}).one("Deployment", "catalog-api")["spec"]["replicas"] == 0


def test_a_bad_start_is_a_set_of_values(stack: Chart) -> None:
    manifests = stack.render(BAD_START)
    api = container(pod_of(manifests.one("Deployment", "catalog-api")), "api")
    given = environment(api)
    assert (given["API_POOL_SIZE"], given["API_CONCURRENCY"]) == ("2", "8")
    assert json.loads(given["API_CACHE_TTL_SECONDS"]) == BAD_START["api"]["cacheTTLSeconds"]  # type: ignore[index]
    assert api["resources"]["limits"]["cpu"] == "750m"
    agent = environment(container(pod_of(manifests.one("StatefulSet", "catalog-pooler")), "agent"))
    assert (agent["POOLER_POOL_SIZE"], agent["POOLER_MAX_PODS"]) == ("1", "2")
    seed = container(pod_of(manifests.job("seed")), "seed")
    assert seed["command"] == ["python", "-m", "services.api.seed", "--items", "500"]


def test_the_pooler_pods_neither_surge_nor_hide(default: Manifests) -> None:
    spec = default.one("StatefulSet", "catalog-pooler")["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    peers = default.one("Service", spec["serviceName"])["spec"]
    assert (peers["clusterIP"], peers["publishNotReadyAddresses"]) == ("None", True)
    pod = pod_of(default.one("StatefulSet", "catalog-pooler"))
    assert [each["name"] for each in pod["initContainers"]] == ["configure", "agent"]
    assert container(pod, "agent")["restartPolicy"] == "Always"
    assert environment(container(pod, "agent"))["POOLER_PEER_SERVICE"] == spec["serviceName"]
    # An API pool's connection may be 120 s + 25% old; whoever holds it must not be cut off.
    assert pod["terminationGracePeriodSeconds"] > 150


def test_the_rollout_never_takes_an_api_pod_before_its_successor_is_ready(default: Manifests) -> None:
    strategy = default.one("Deployment", "catalog-api")["spec"]["strategy"]
    assert strategy == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_the_kubelet_outwaits_the_drain(stack: Chart) -> None:
    pod = pod_of(stack.render({"api": {"drainSeconds": 30, "stopSeconds": 40}}).one("Deployment", "catalog-api"))
    given = environment(container(pod, "api"))
    drain = int(given["API_DRAIN_SECONDS"]) + int(given["API_STOP_SECONDS"])
    assert drain == 70 < pod["terminationGracePeriodSeconds"]


def test_a_job_is_new_only_when_its_template_is(stack: Chart, default: Manifests) -> None:
    def names(values: dict[str, Any]) -> tuple[str, str]:
        manifests = stack.render(values)
        return manifests.job("migrate")["metadata"]["name"], manifests.job("seed")["metadata"]["name"]

    migrate, seed = names({})
    assert names({"pooler": {"poolSize": 7}, "api": {"poolSize": 3}}) == (migrate, seed)
    assert names({"seed": {"items": 77}}) == (migrate, names({"seed": {"items": 77}})[1])
    assert names({"seed": {"items": 77}})[1] != seed
    other_image = names({"images": {"api": "localhost/trimtab/api:other"}})
    assert other_image[0] != migrate
    assert other_image[1] != seed
    assert len(kinds(stack.render({"seed": {"items": 0}}), "Job")) == 1


def test_what_prometheus_scrapes(stack: Chart) -> None:
    rendered = stack.render({"prometheus": {"scrapeIntervalSeconds": 7}})
    config = yaml.safe_load(rendered.one("ConfigMap", "catalog-prometheus")["data"]["prometheus.yml"])
    assert config["global"] == {"scrape_interval": "7s", "scrape_timeout": "6s"}
    (job,) = config["scrape_configs"]
    assert job["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"own_namespace": True}}]
    kept = [rule["regex"] for rule in job["relabel_configs"] if rule.get("action") == "keep"]
    assert kept == ["metrics(-.+)?"]
    assert {"namespace", "pod"} <= {rule.get("target_label") for rule in job["relabel_configs"]}


def test_another_configuration_makes_another_pod(stack: Chart, default: Manifests) -> None:
    def annotations(manifests: Manifests, name: str) -> dict[str, str]:
        found: dict[str, str] = manifests.one("StatefulSet", name)["spec"]["template"]["metadata"]["annotations"]
        return found

    changed = stack.render({"prometheus": {"scrapeIntervalSeconds": 9}, "postgres": {"settings": {"work_mem": "8MB"}}})
    for name in ("catalog-prometheus", "catalog-postgres"):
        assert annotations(changed, name) != annotations(default, name)
    assert "work_mem = '8MB'" in changed.one("ConfigMap", "catalog-postgres")["data"]["settings.conf"]


def test_a_database_elsewhere(stack: Chart) -> None:
    manifests = stack.render(EXTERNAL)
    assert "StatefulSet/catalog-postgres" not in manifests.names()
    assert kinds(manifests, "Secret") == set()
    for workload, part in [
        (manifests.one("StatefulSet", "catalog-pooler"), "agent"),
        (manifests.job("migrate"), "migrate"),
        (manifests.job("seed"), "seed"),
    ]:
        given = environment(container(pod_of(workload), part))
        assert "db.example" in (given.get("POOLER_DATABASE_HOST"), given.get("API_DATABASE_HOST"))


def test_the_fence_leaves_room_for_the_other_roles(default: Manifests) -> None:
    given = environment(container(pod_of(default.one("StatefulSet", "catalog-postgres")), "postgres"))
    assert int(given["POSTGRES_RESERVED_CONNECTIONS"]) == postgres_roles.RESERVED_CONNECTIONS
    assert int(given["POSTGRES_MAX_CONNECTIONS"]) == 100
    roles = (CHARTS.parent / "services" / "postgres" / "roles.sql").read_text()
    for role, limit in (
        (postgres_roles.OWNER, postgres_roles.OWNER_CONNECTIONS),
        (postgres_roles.EXPORTER, postgres_roles.EXPORTER_CONNECTIONS),
    ):
        assert f"CONNECTION LIMIT {limit} " in roles.split(f"ALTER ROLE {role} WITH")[1].split(";")[0]
