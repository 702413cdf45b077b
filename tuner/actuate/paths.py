"""Where objects live in the REST API."""

from __future__ import annotations

from tuner.cluster.api import ClusterApi
from tuner.cluster.errors import NotFoundError
from tuner.crds import API_VERSION, TuningPolicy


def group_path(api_version: str) -> str:
    """`/apis/apps/v1`, or `/api/v1` for the core group."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def config_map(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def knobs_name(policy: TuningPolicy) -> str:
    return f"{policy.metadata.name}-knobs"


def state_name(policy: TuningPolicy) -> str:
    return f"{policy.metadata.name}-state"


def policy_path(policy: TuningPolicy) -> str:
    return f"{group_path(API_VERSION)}/namespaces/{policy.metadata.namespace}/tuningpolicies/{policy.metadata.name}"


class Kinds:
    """The plural names of kinds, asked of the API server once each."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self._plurals: dict[tuple[str, str], str] = {}

    async def path(self, api_version: str, kind: str, namespace: str, name: str) -> str:
        """The path of an object. Raises NotFoundError for a kind that the cluster does not know."""
        plural = self._plurals.get((api_version, kind))
        if plural is None:
            plural = await self._discover(api_version, kind)
            self._plurals[api_version, kind] = plural
        return f"{group_path(api_version)}/namespaces/{namespace}/{plural}/{name}"

    async def _discover(self, api_version: str, kind: str) -> str:
        known = await self._api.get(group_path(api_version))
        names = {resource["name"] for resource in known["resources"]}
        plurals = [r["name"] for r in known["resources"] if r["kind"] == kind and "/" not in r["name"]]
        plural = next(iter(plurals), None)
        if plural is None:
            raise NotFoundError(f"the cluster knows no kind {kind} in {api_version}: correct spec.target", 404)
        if f"{plural}/scale" not in names:
            raise NotFoundError(f"{kind} in {api_version} has no scale subresource: name another target", 404)
        return str(plural)
