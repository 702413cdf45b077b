"""Who else manages the target, and what a pod of the Kubernetes API is to the tuner."""

from __future__ import annotations

from typing import Any

from tuner.actuate import conflicts
from tuner.actuate.epoch import new_epoch
from tuner.actuate.pods import exists, pod, surge_pods
from tuner.crds import TuningPolicy
from tuner.observation import ConflictKind


def policy(name: str, created: str, **spec: Any) -> TuningPolicy:
    return TuningPolicy.model_validate(
        {
            "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": created},
            "spec": {"target": {"name": "api"}, "prometheus": {"url": "http://p:9090"}, **spec},
        }
    )


OLD, NEW = policy("old", "2026-01-01T00:00:00Z"), policy("new", "2026-01-02T00:00:00Z")


def autoscaler(kind: str, name: str) -> dict[str, Any]:
    return {"metadata": {"name": "hpa"}, "spec": {"scaleTargetRef": {"kind": kind, "name": name}}}


def test_an_autoscaler_of_the_target_conflicts_and_another_does_not() -> None:
    found = conflicts.of_autoscalers(OLD, [autoscaler("Deployment", "api"), autoscaler("Deployment", "web")])
    assert [(c.kind, c.name, c.knobs) for c in found] == [(ConflictKind.HPA, "hpa", ("replicas",))]


def test_a_scaled_object_means_a_deployment_where_it_names_no_kind() -> None:
    scaled = {"metadata": {"name": "keda"}, "spec": {"scaleTargetRef": {"name": "api"}}}
    assert [c.kind for c in conflicts.of_scaled_objects(OLD, [scaled])] == [ConflictKind.SCALED_OBJECT]


def test_only_who_applies_replicas_again_and_again_is_a_conflict() -> None:
    def managed(manager: str, operation: str) -> dict[str, Any]:
        return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:replicas": {}}}}

    entries = [managed("argocd", "Apply"), managed("kubectl", "Update"), managed("trimtab", "Apply")]
    found = conflicts.of_field_managers({"metadata": {"managedFields": entries}})
    assert [c.name for c in found] == ["argocd"]


def test_the_older_of_two_policies_has_the_target() -> None:
    assert conflicts.of_policies(OLD, [NEW]) == []
    assert [c.name for c in conflicts.of_policies(NEW, [OLD])] == ["old"]
    assert conflicts.of_policies(NEW, [policy("other", "2026-01-01T00:00:00Z", target={"name": "web"})]) == []


def item(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "api-0", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"ports": [{"name": "metrics", "containerPort": 9100}]}]},
        "status": status,
    }


def test_a_pod_serves_its_metrics_at_its_address() -> None:
    assert pod(item(podIP="10.0.0.7")).metrics_url == "http://10.0.0.7:9100/metrics"
    assert pod(item(podIP="fd00::7")).metrics_url == "http://[fd00::7]:9100/metrics"
    assert pod(item()).metrics_url is None


def test_a_pod_that_ended_for_good_holds_no_connection() -> None:
    assert exists(item(phase="Running")) and exists(item(phase="Pending"))
    assert not exists(item(phase="Succeeded")) and not exists(item(phase="Failed"))


def test_surge_is_rounded_up_as_kubernetes_does() -> None:
    def deployment(**strategy: Any) -> dict[str, Any]:
        return {"kind": "Deployment", "spec": {"replicas": 5, "strategy": strategy}}

    assert surge_pods(deployment(rollingUpdate={"maxSurge": "25%"})) == 2
    assert surge_pods(deployment(rollingUpdate={"maxSurge": "25%"}), most_replicas=16) == 4, "of what it may become"
    assert surge_pods(deployment(rollingUpdate={"maxSurge": 3})) == 3
    assert surge_pods(deployment(type="Recreate")) == 0
    assert surge_pods({"kind": "StatefulSet", "spec": {"replicas": 5}}) == 0


def test_epochs_sort_by_their_time() -> None:
    assert new_epoch(1_000) < new_epoch(2_000) < new_epoch()
    assert new_epoch()[14] == "7"
