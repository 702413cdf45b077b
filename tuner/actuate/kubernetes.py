"""The port on a cluster: reading everything one look needs, in parallel, through one API client."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from tuner.actuate import conflicts as conflict
from tuner.actuate.paths import Kinds, config_map, knobs_name
from tuner.actuate.pods import exists, pod, seconds_to_ready, surge_pods
from tuner.actuate.store import Writer, read_store
from tuner.cluster.api import JSON, ClusterApi
from tuner.cluster.errors import ClusterError, NotFoundError
from tuner.crds import TuningPolicy
from tuner.decide.budget import charge, parse_ledger
from tuner.observation import Absent, Conflict, ConflictKind, Maybe, Neighbour, Store, Target
from tuner.workload import Pod, Problem, Workload

SCALERS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects"


class KubernetesPlatform(Writer):
    """Implements `tuner.actuate.port.Platform`; the writes are in `store.Writer`."""

    def __init__(self, api: ClusterApi) -> None:
        super().__init__(api, Kinds(api))

    async def look(self, policy: TuningPolicy, others: Iterable[TuningPolicy], now: float) -> Workload:
        others = tuple(others)
        namespace, spec = policy.metadata.namespace, policy.spec
        (target, api_pods), pooler_pods, store, neighbours, scalers = await asyncio.gather(
            self._target(policy),
            self._pooler_pods(policy),
            self._store(policy),
            self._neighbours(policy, others),
            self._scalers(policy),
        )
        problems = [
            Problem(reason, answer.reason)
            for reason, answer in (("TargetUnavailable", target), ("PoolerUnavailable", pooler_pods))
            if isinstance(answer, Absent)
        ]
        managers = () if isinstance(target, Absent) else conflict.of_field_managers(target)
        return Workload(
            namespace=namespace,
            api_pods=api_pods,
            pooler_pods=pooler_pods if spec.pooler else (),
            target=_target_of(target, api_pods, spec.knobs.replicas.max if spec.knobs.replicas else 0),
            store=store,
            neighbours=neighbours,
            conflicts=(*scalers, *managers, *conflict.of_policies(policy, others)),
            problems=tuple(problems),
        )

    async def secret(self, namespace: str, name: str) -> Mapping[str, str]:
        """The decoded data of a Secret. Raises ClusterError."""
        answer = await self._api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        return {key: base64.b64decode(value).decode() for key, value in answer.get("data", {}).items()}

    async def _target(self, policy: TuningPolicy) -> tuple[Maybe[JSON], Maybe[tuple[Pod, ...]]]:
        wanted, namespace = policy.spec.target, policy.metadata.namespace
        what = f"the target {wanted.kind} {wanted.name} of namespace {namespace}"
        try:
            path = await self._kinds.path(wanted.api_version, wanted.kind, namespace, wanted.name)
            target, scale = await asyncio.gather(self._api.get(path), self._api.get(f"{path}/scale"))
            return target | {"kind": wanted.kind}, await self._pods(namespace, scale["status"].get("selector", ""))
        except NotFoundError as error:
            absent = Absent(f"{what} does not exist: create it, or name another in a new policy ({error})")
        except ClusterError as error:
            absent = Absent(f"{what} cannot be read: {error}")
        return absent, absent

    async def _pooler_pods(self, policy: TuningPolicy) -> Maybe[tuple[Pod, ...]]:
        pooler, namespace = policy.spec.pooler, policy.metadata.namespace
        if pooler is None:
            return ()
        what = f"the pooler {pooler.kind} {pooler.name} of namespace {namespace}"
        try:
            path = await self._kinds.path("apps/v1", pooler.kind, namespace, pooler.name)
            scale = await self._api.get(f"{path}/scale")
            return await self._pods(namespace, scale["status"].get("selector", ""))
        except NotFoundError as error:
            return Absent(f"{what} does not exist: create it, or correct spec.pooler ({error})")
        except ClusterError as error:
            return Absent(f"{what} cannot be read: {error}")

    async def _pods(self, namespace: str, selector: str) -> Maybe[tuple[Pod, ...]]:
        if not selector:
            return Absent("its scale subresource names no selector, so its pods are unknown")
        listed = await self._api.get(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": selector})
        return tuple(pod(item) for item in listed["items"] if exists(item))

    async def _store(self, policy: TuningPolicy) -> Maybe[Store]:
        try:
            found = await self._api.get_or_none(config_map(policy.metadata.namespace, knobs_name(policy)))
        except ClusterError as error:
            return Absent(f"the ConfigMap {knobs_name(policy)} cannot be read: {error}")
        self.remember(policy, found)
        return read_store(found, self.epoch(policy))

    async def _neighbours(self, policy: TuningPolicy, others: tuple[TuningPolicy, ...]) -> Maybe[tuple[Neighbour, ...]]:
        """What other policies on the same database server hold, by their ledgers."""
        server = policy.spec.database.server
        sharing = [
            other for other in others if server and other.spec.database.server == server and other.key != policy.key
        ]
        found = []
        for other in sharing:
            try:
                stored = await self._api.get_or_none(config_map(other.metadata.namespace, knobs_name(other)))
            except ClusterError as error:
                return Absent(f"the ledger of policy {other.key} on server {server} cannot be read: {error}")
            held = 0
            if stored is not None:
                ledger = parse_ledger(stored.get("data", {}).get("ledger.json"))
                if isinstance(ledger, Absent):
                    return Absent(f"policy {other.key} on server {server}: {ledger.reason}")
                held = charge(ledger.documents)
            found.append(Neighbour(other.key, held))
        return tuple(found)

    async def _scalers(self, policy: TuningPolicy) -> list[Conflict]:
        """Autoscalers of the target. Where they cannot be listed one is assumed: replicas are not written blindly."""
        namespace = quote(policy.metadata.namespace)
        try:
            autoscalers = await self._api.get(SCALERS.format(namespace))
            scaled = await self._api.get_or_none(SCALED_OBJECTS.format(namespace))
        except ClusterError as error:
            return [Conflict(ConflictKind.HPA, f"unknown, since they cannot be listed: {error}", conflict.REPLICAS)]
        return [
            *conflict.of_autoscalers(policy, autoscalers["items"]),
            *conflict.of_scaled_objects(policy, (scaled or {}).get("items", [])),
        ]


def _target_of(target: Maybe[JSON], pods: Maybe[tuple[Pod, ...]], most_replicas: int) -> Target:
    if isinstance(target, Absent):
        return Target(spec_replicas=target, ready_replicas=target)
    spec, status = target.get("spec", {}), target.get("status", {})
    replicas = spec.get("replicas")
    return Target(
        spec_replicas=Absent("the target has no spec.replicas") if replicas is None else int(replicas),
        ready_replicas=int(status.get("readyReplicas", 0)),
        surge_pods=surge_pods(target, most_replicas),
        seconds_to_ready=pods if isinstance(pods, Absent) else seconds_to_ready(pods),
    )
