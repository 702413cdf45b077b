"""The writes to a cluster: knobs and state ConfigMaps, the scale subresource, status, events, pod annotations."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from trimtab.knobs.document import KnobsError, parse
from tuner.actuate.epoch import new_epoch
from tuner.actuate.paths import Kinds, config_map, group_path, knobs_name, policy_path, state_name
from tuner.actuate.port import StoredState
from tuner.cluster.api import JSON, ClusterApi
from tuner.cluster.errors import ClusterError, ConflictError
from tuner.crds import API_VERSION, TuningPolicy, TuningPolicyStatus
from tuner.decide.plan import KnobsWrite, ScaleWrite
from tuner.observation import Store
from tuner.workload import Pod

KNOBS_KEY = "knobs.json"
LEDGER_KEY = "ledger.json"
ORIGINAL = "trimtab.dev/original"
GENERATION = "trimtab.dev/knobs-generation"
LABELS = {"app.kubernetes.io/managed-by": "trimtab"}

log = structlog.get_logger()


def read_store(found: JSON | None, epoch: str) -> Store:
    """What a knobs ConfigMap holds; `epoch` is the one to begin with where it holds no document that can be read."""
    if found is None:
        return Store(epoch=epoch)
    data = found.get("data") or {}
    version, ledger = found["metadata"]["resourceVersion"], data.get(LEDGER_KEY)
    try:
        document = parse(data.get(KNOBS_KEY, ""))
    except KnobsError:
        return Store(epoch=epoch, resource_version=version, ledger=ledger)
    return Store(epoch=document.epoch, resource_version=version, document=document, ledger=ledger)


class Writer:
    """The writing half of the port on a cluster."""

    def __init__(self, api: ClusterApi, kinds: Kinds) -> None:
        self._api = api
        self._kinds = kinds
        self._seen: dict[str, JSON | None] = {}
        self._epochs: dict[str, str] = {}

    def epoch(self, policy: TuningPolicy) -> str:
        """The epoch that a new store of this policy would get: the same until one is made."""
        return self._epochs.setdefault(policy.metadata.uid, new_epoch())

    def remember(self, policy: TuningPolicy, found: JSON | None) -> None:
        """The knobs ConfigMap as it was read before planning: what is written carries the rest of it along."""
        self._seen[policy.key] = found

    async def publish(self, policy: TuningPolicy, write: KnobsWrite, original: str | None) -> None:
        namespace, name = policy.metadata.namespace, knobs_name(policy)
        seen = self._seen.get(policy.key) or {}
        metadata = seen.get("metadata", {})
        annotations = dict(metadata.get("annotations") or {})
        if original is not None:
            annotations[ORIGINAL] = original
        body: JSON = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {**(metadata.get("labels") or {}), **LABELS},
                "annotations": annotations,
            },
            "data": {**(seen.get("data") or {}), KNOBS_KEY: write.document.to_json(), LEDGER_KEY: write.ledger},
        }
        if write.resource_version is None:
            await self._api.post(config_map(namespace), body)
        else:
            body["metadata"]["resourceVersion"] = write.resource_version
            await self._api.put(config_map(namespace, name), body)
        self._epochs.pop(policy.metadata.uid, None)

    async def original(self, policy: TuningPolicy) -> str | None:
        found = await self._api.get_or_none(config_map(policy.metadata.namespace, knobs_name(policy)))
        return ((found or {}).get("metadata", {}).get("annotations") or {}).get(ORIGINAL)

    async def scale(self, policy: TuningPolicy, write: ScaleWrite) -> None:
        target = policy.spec.target
        path = await self._kinds.path(target.api_version, target.kind, policy.metadata.namespace, target.name)
        scale = await self._api.get(f"{path}/scale")
        found = int(scale["spec"].get("replicas", 0))
        if found != write.before:
            raise ConflictError(
                f"{target.kind} {target.name} has {found} replicas, the plan was made for {write.before}: left alone",
                409,
            )
        scale["spec"]["replicas"] = write.replicas
        await self._api.put(f"{path}/scale", scale)

    async def nudge(self, pods: Iterable[Pod], generation: int) -> None:
        body = {"metadata": {"annotations": {GENERATION: str(generation)}}}

        async def patch(one: Pod) -> None:
            try:
                await self._api.merge_patch(f"/api/v1/namespaces/{one.namespace}/pods/{one.name}", body)
            except ClusterError as error:
                log.info("pod not nudged; its kubelet refreshes the volume by itself", pod=one.name, error=str(error))

        await asyncio.gather(*(patch(one) for one in pods if not one.terminating))

    async def load_state(self, policy: TuningPolicy) -> StoredState:
        found = await self._api.get_or_none(config_map(policy.metadata.namespace, state_name(policy)))
        if found is None:
            return StoredState({}, None)
        return StoredState(found.get("data") or {}, found["metadata"]["resourceVersion"])

    async def save_state(self, policy: TuningPolicy, texts: dict[str, str], version: str | None) -> str:
        namespace, name = policy.metadata.namespace, state_name(policy)
        body: JSON = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "labels": LABELS},
            "data": texts,
        }
        if version is None:
            written = await self._api.post(config_map(namespace), body)
        else:
            body["metadata"]["resourceVersion"] = version
            written = await self._api.put(config_map(namespace, name), body)
        return str(written["metadata"]["resourceVersion"])

    async def write_status(self, policy: TuningPolicy, status: TuningPolicyStatus) -> None:
        given = status.model_dump(mode="json", exclude_none=True)
        # A merge patch keeps what it does not name: what is no longer there is named as null.
        body = {"status": {field.alias or name: None for name, field in type(status).model_fields.items()} | given}
        await self._api.merge_patch(f"{policy_path(policy)}/status", body)

    async def refuse(self, body: JSON, message: str) -> None:
        """Say in the status of an object that is no usable policy why it is not."""
        meta = body["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {
            "type": "Ready",
            "status": "False",
            "reason": "InvalidPolicy",
            "message": message[:1024],
            "observedGeneration": meta.get("generation", 1),
            "lastTransitionTime": now,
        }
        path = f"{group_path(API_VERSION)}/namespaces/{meta['namespace']}/tuningpolicies/{meta['name']}/status"
        await self._api.merge_patch(path, {"status": {"conditions": [ready]}})

    async def set_finalizer(self, policy: TuningPolicy, finalizer: str, *, present: bool) -> None:
        """Add or remove a finalizer, if the policy is still the one that was read."""
        meta = policy.metadata
        others = [name for name in meta.finalizers if name != finalizer]
        wanted = [*others, finalizer] if present else others
        body = {"metadata": {"finalizers": wanted, "resourceVersion": meta.resource_version}}
        await self._api.merge_patch(policy_path(policy), body)

    async def annotate(self, policy: TuningPolicy, annotations: dict[str, str | None]) -> None:
        """Set annotations of the policy; None removes one."""
        await self._api.merge_patch(policy_path(policy), {"metadata": {"annotations": annotations}})

    async def announce(self, policy: TuningPolicy, reason: str, message: str, *, warning: bool = False) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta = policy.metadata
        event: JSON = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{meta.name}.{secrets.token_hex(8)}", "namespace": meta.namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": "TuningPolicy",
                "name": meta.name,
                "namespace": meta.namespace,
                "uid": meta.uid,
            },
            "reason": reason,
            "message": message[:1024],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "trimtab"},
            "reportingComponent": "trimtab",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._api.post(f"/api/v1/namespaces/{meta.namespace}/events", event)
        except ClusterError as error:
            log.info("event not written", policy=policy.key, reason=reason, error=str(error))
