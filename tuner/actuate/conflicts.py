"""Who else manages what the policy lists. Pure: judged from objects that were read."""

from __future__ import annotations

from collections.abc import Iterable

from tuner.cluster.api import FIELD_MANAGER, JSON
from tuner.crds import KnobName, TuningPolicy
from tuner.observation import Conflict, ConflictKind

REPLICAS = (KnobName.REPLICAS.value,)


def of_autoscalers(policy: TuningPolicy, autoscalers: Iterable[JSON]) -> list[Conflict]:
    """HorizontalPodAutoscalers that scale the target."""
    target = policy.spec.target
    return [
        Conflict(ConflictKind.HPA, hpa["metadata"]["name"], REPLICAS)
        for hpa in autoscalers
        if _names(hpa["spec"].get("scaleTargetRef", {}), target.kind, target.name)
    ]


def of_scaled_objects(policy: TuningPolicy, scaled: Iterable[JSON]) -> list[Conflict]:
    """KEDA ScaledObjects that scale the target; their scaleTargetRef defaults to a Deployment."""
    target = policy.spec.target
    return [
        Conflict(ConflictKind.SCALED_OBJECT, item["metadata"]["name"], REPLICAS)
        for item in scaled
        if _names({"kind": "Deployment"} | item["spec"].get("scaleTargetRef", {}), target.kind, target.name)
    ]


def of_field_managers(workload: JSON) -> list[Conflict]:
    """Managers that apply `spec.replicas` declaratively: they would put their value back again and again.

    One that merely updated it once (a person's `kubectl scale`) is seen by the value that changed.
    """
    return [
        Conflict(ConflictKind.FIELD_MANAGER, str(entry.get("manager", "")), REPLICAS)
        for entry in workload["metadata"].get("managedFields", [])
        if entry.get("operation") == "Apply"
        and entry.get("manager") != FIELD_MANAGER
        and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
    ]


def of_policies(policy: TuningPolicy, others: Iterable[TuningPolicy]) -> list[Conflict]:
    """Older policies of the namespace that name the same target or pooler: the first one has it."""
    mine = policy.spec
    found = []
    for other in others:
        if other.metadata.namespace != policy.metadata.namespace or other.metadata.uid == policy.metadata.uid:
            continue
        same_target = other.spec.target == mine.target
        same_pooler = bool(mine.pooler and other.spec.pooler and other.spec.pooler.name == mine.pooler.name)
        older = (other.metadata.creation_timestamp, other.metadata.uid) < (
            policy.metadata.creation_timestamp,
            policy.metadata.uid,
        )
        if (same_target or same_pooler) and older and other.metadata.deletion_timestamp is None:
            found.append(Conflict(ConflictKind.SECOND_POLICY, other.metadata.name))
    return found


def _names(reference: JSON, kind: str, name: str) -> bool:
    return reference.get("kind") == kind and reference.get("name") == name
