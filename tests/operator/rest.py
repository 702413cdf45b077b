"""The API server over HTTP as its administrator: reading twice a second without starting kubectl each time."""

from __future__ import annotations

import base64
import ssl
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

PATHS = {
    "configmap": "/api/v1/namespaces/{}/configmaps/",
    "pod": "/api/v1/namespaces/{}/pods/",
    "event": "/api/v1/namespaces/{}/events/",
    "serviceaccount": "/api/v1/namespaces/{}/serviceaccounts/",
    "deployment": "/apis/apps/v1/namespaces/{}/deployments/",
    "statefulset": "/apis/apps/v1/namespaces/{}/statefulsets/",
    "tuningpolicy": "/apis/trimtab.dev/v1alpha1/namespaces/{}/tuningpolicies/",
    "namespace": "/api/v1/namespaces/",
}


@cache
def administrator(kubeconfig: Path) -> httpx.Client:
    """A client with the kubeconfig's certificate; closed with the process."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    pair = kubeconfig.with_suffix(".pem")
    pair.write_bytes(b"".join(base64.b64decode(user[key]) for key in ("client-certificate-data", "client-key-data")))
    trust.load_cert_chain(pair)
    return httpx.Client(base_url=cluster["server"], verify=trust, timeout=30)


def path(kind: str, namespace: str, name: str = "") -> str:
    return PATHS[kind].format(namespace) + name


def create(client: httpx.Client, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path(body["kind"].lower(), namespace).rstrip("/"), json=body)
    assert answer.status_code == 201, f"{body['kind']} {body['metadata']['name']}: {answer.text}"
    created: dict[str, Any] = answer.json()
    return created
