"""A JSON client of the Kubernetes API over the official asynchronous client's connection, TLS and credentials.

The generated classes are left out on purpose: the tuner handles any kind with a scale subresource, reads a handful of
fields, and puts objects back with everything in them that it does not know.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from tuner.cluster.errors import NotFoundError, UnreachableError, error_for

JSON = dict[str, Any]

REQUEST_TIMEOUT_SECONDS = 10.0
"""Of one request: a tick must not hang on a half-dead API server."""

_CLIENT: Any = kubernetes_client
_CONFIG: Any = kubernetes_config
"""Both packages are generated and say that they are typed, but are so in part only."""

FIELD_MANAGER = "trimtab"

MERGE_PATCH = "application/merge-patch+json"


class ClusterApi:
    """Requests to one API server. Paths are those of the REST API, as `/api/v1/namespaces/default/configmaps/a`."""

    def __init__(self, client: Any, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> None:
        self._client = client
        self._timeout = timeout_seconds

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Self:
        """With the pod's service account inside a cluster; else with `kubeconfig`, $KUBECONFIG or ~/.kube/config."""
        configuration = _CLIENT.Configuration()
        try:
            if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                _CONFIG.load_incluster_config(client_configuration=configuration)
            else:
                chosen = str(kubeconfig) if kubeconfig else None
                await _CONFIG.load_kube_config(config_file=chosen, client_configuration=configuration)
        except _CONFIG.ConfigException as error:
            raise UnreachableError(f"no cluster to talk to ({error}): set KUBECONFIG or name a kubeconfig") from error
        return cls(_CLIENT.ApiClient(configuration))

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JSON:
        return await self._send("GET", path, query)

    async def get_or_none(self, path: str, query: Mapping[str, str] | None = None) -> JSON | None:
        try:
            return await self.get(path, query)
        except NotFoundError:
            return None

    async def post(self, path: str, body: JSON) -> JSON:
        return await self._send("POST", path, {"fieldManager": FIELD_MANAGER}, body)

    async def put(self, path: str, body: JSON) -> JSON:
        """Replace an object; with a resourceVersion in `body`, only if it is still that version."""
        return await self._send("PUT", path, {"fieldManager": FIELD_MANAGER}, body)

    async def merge_patch(self, path: str, body: JSON) -> JSON:
        """Change the given fields; null removes one."""
        return await self._send("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, MERGE_PATCH)

    async def delete(self, path: str) -> None:
        await self._send("DELETE", path)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: JSON | None = None,
        content_type: str = "application/json",
    ) -> JSON:
        what = f"{method} {path}"
        try:
            method, url, headers, _, _ = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(
                method, url, header_params=headers, body=body, _request_timeout=self._timeout
            )
            data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"{what}: the Kubernetes API did not answer: {reason}") from error
        if not 200 <= response.status < 300:
            raise error_for(response.status, what, _message(data))
        try:
            return cast("JSON", json.loads(data))
        except ValueError as error:
            raise UnreachableError(f"{what}: HTTP {response.status} without JSON: is it the Kubernetes API?") from error


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))
    except (ValueError, AttributeError):
        return data[:200].decode(errors="replace")
