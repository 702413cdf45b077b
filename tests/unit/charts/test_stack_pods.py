"""charts/stack: what every pod may do, what it is given, and what its settings make of that."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from deploy import images
from deploy import stack as deployed
from deploy.demo.run import values as demo_values
from services.api.settings import Settings
from tests.unit.charts.rendering import Chart, Manifests, Object, container, containers, environment, pod_of
from tests.unit.charts.test_stack_objects import BAD_START, EXTERNAL

VALUES = {
    "default": {},
    "bad start": BAD_START,
    "external database": EXTERNAL,
    "volumes": {
        "prometheus": {"storage": {"size": "2Gi"}},
        "postgres": {"storage": {"className": "fast"}},
        "images": {"pullSecrets": ["registry"], "pullPolicy": "Always"},
    },
}


@pytest.fixture(scope="module", params=VALUES, ids=str)
def manifests(request: pytest.FixtureRequest, stack: Chart) -> Manifests:
    return stack.render(VALUES[request.param])


def every_container(manifests: Manifests) -> Iterator[tuple[str, Object]]:
    for owner, pod in manifests.pods():
        for each in containers(pod):
            yield f"{owner} {each['name']}", each


def test_pods_run_as_nobody_special(manifests: Manifests) -> None:
    assert sum(1 for _ in manifests.pods()) >= 6
    for owner, pod in manifests.pods():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, owner
        assert security["runAsUser"] > 0, owner
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert pod["enableServiceLinks"] is False, owner
        assert pod["automountServiceAccountToken"] is (owner == "StatefulSet/catalog-prometheus"), owner
        assert f"ServiceAccount/{pod['serviceAccountName']}" in manifests.names(), owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), owner


def test_containers_may_change_nothing_but_their_volumes(manifests: Manifests) -> None:
    for name, each in every_container(manifests):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


def test_containers_say_what_they_need(manifests: Manifests) -> None:
    for name, each in every_container(manifests):
        assert {"cpu", "memory"} <= each["resources"]["requests"].keys(), name
        assert "memory" in each["resources"]["limits"], name
        assert each["imagePullPolicy"] in {"IfNotPresent", "Always"}, name


def test_mounts_have_volumes_and_volumes_are_mounted(manifests: Manifests) -> None:
    for owner, pod in manifests.pods():
        mounted = {mount["name"] for each in containers(pod) for mount in each.get("volumeMounts", [])}
        volumes = {volume["name"] for volume in pod["volumes"]}
        kind, _, name = owner.partition("/")
        claims = manifests.one(kind, name)["spec"].get("volumeClaimTemplates", [])
        assert mounted == volumes | {claim["metadata"]["name"] for claim in claims}, owner


def test_references_lead_somewhere(manifests: Manifests) -> None:
    """Secrets and their keys, ConfigMaps: here, or named by the user, or optional."""
    for owner, pod in manifests.pods():
        for volume in pod["volumes"]:
            source = volume.get("configMap", {"optional": True})
            assert source.get("optional") or f"ConfigMap/{source['name']}" in manifests.names(), owner
        for each in containers(pod):
            for variable in each.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference is None or reference["name"] == "mine":
                    continue
                assert reference["key"] in manifests.one("Secret", reference["name"])["data"], owner


def test_every_long_running_container_has_a_liveness_probe(manifests: Manifests) -> None:
    for owner, pod in manifests.pods():
        if owner.startswith("Job/"):
            continue
        for each in containers(pod):
            stays = each in pod["containers"] or each.get("restartPolicy") == "Always"
            assert ("livenessProbe" in each) is stays, f"{owner} {each['name']}"


@pytest.mark.parametrize(("kind", "name", "part"), [("Deployment", "api", "api"), ("StatefulSet", "pooler", "agent")])
def test_tunable_pods_know_themselves_and_their_knobs(stack: Chart, kind: str, name: str, part: str) -> None:
    limits = {"limits": {"cpu": "500m"}}
    manifests = stack.render({"policyName": "shop", "api": {"resources": limits}, "pooler": {"agentResources": limits}})
    pod = pod_of(manifests.one(kind, f"catalog-{name}"))
    each = container(pod, part)
    given = environment(each)
    assert given["TRIMTAB_KNOBS"] == "/etc/trimtab/knobs/knobs.json"
    assert given["POD_NAME"] == "<fieldRef metadata.name>"
    assert given["POD_NAMESPACE"] == "<fieldRef metadata.namespace>"
    assert given["POD_UID"] == "<fieldRef metadata.uid>"
    assert given["TRIMTAB_CPU_LIMIT_MILLICORES"] == "<resourceFieldRef limits.cpu>"
    (mount,) = [mount for mount in each["volumeMounts"] if mount["name"] == "knobs"]
    assert mount == {"name": "knobs", "mountPath": "/etc/trimtab/knobs", "readOnly": True}
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "knobs"]
    assert volume["configMap"] == {"name": "shop-knobs", "optional": True}


def test_without_a_cpu_limit_the_pod_does_not_take_the_nodes_for_one(stack: Chart) -> None:
    manifests = stack.render({"api": {"resources": {"limits": {"cpu": None}}}})
    given = environment(container(pod_of(manifests.one("Deployment", "catalog-api")), "api"))
    assert "TRIMTAB_CPU_LIMIT_MILLICORES" not in given


@pytest.mark.parametrize(
    ("settings", "prefix", "kind", "name", "part"),
    [
        ("services.api.settings", "API_", "Deployment", "catalog-api", "api"),
        ("services.pooler.settings", "POOLER_", "StatefulSet", "catalog-pooler", "agent"),
        ("services.pooler.settings", "POOLER_", "StatefulSet", "catalog-pooler", "configure"),
    ],
)
def test_settings_accept_the_environment_and_ignore_none_of_it(
    stack: Chart, monkeypatch: pytest.MonkeyPatch, settings: str, prefix: str, kind: str, name: str, part: str
) -> None:
    module = pytest.importorskip(settings)
    given = environment(container(pod_of(stack.render(BAD_START).one(kind, name)), part))
    for variable, value in given.items():
        filled = "750" if variable == "TRIMTAB_CPU_LIMIT_MILLICORES" else value.ljust(40, "x")
        monkeypatch.setenv(variable, filled if value.startswith("<") else value)
    monkeypatch.setenv("POD_NAME", f"{name}-0")
    made = module.Settings()
    known = {f"{prefix}{field}".upper() for field in type(made).model_fields}
    unknown = {variable for variable in given if variable.startswith(prefix)} - known
    assert not unknown, f"{settings} has no field for {sorted(unknown)}"


def test_a_load_generator_is_not_taken_for_somebody_who_guesses(stack: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Demo and e2e sign in from one address, hundreds of times a minute; other releases keep the service's limits."""
    limits = ("register_per_minute", "token_per_minute", "password_tries_per_minute")
    release = deployed.stack(dict.fromkeys(images.SERVICES, "registry/image:tag"), demo_values(items=500))
    given = environment(container(pod_of(stack.render(release.values).one("Deployment", "catalog-api")), "api"))
    for limit in limits:
        monkeypatch.setenv(f"API_{limit.upper()}", given[f"API_{limit.upper()}"])
    monkeypatch.setenv("API_TOKEN_SECRET", "x" * 40)
    made = Settings()
    assert {getattr(made, limit) for limit in limits} == {1_000_000}
    plain = environment(container(pod_of(stack.render().one("Deployment", "catalog-api")), "api"))
    assert not {f"API_{limit.upper()}" for limit in limits} & plain.keys()


def test_the_commands_exist(stack: Chart) -> None:
    for _, each in every_container(stack.render()):
        if each.get("command", [""])[0] == "python":
            module = each["command"][2]
            package = module.split(".")[1]
            pytest.importorskip(f"services.{package}.settings")
            assert importlib.util.find_spec(module), f"{each['name']} runs {module}, which is not there"
