"""What a bare control plane lacks to be a cluster: an administrator, storage, names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.binaries import COREDNS_VERSION
from deploy.commands import run
from deploy.platforms.node import storage
from deploy.platforms.node.controlplane import ControlPlane

COREDNS_IMAGE = f"localhost/coredns:{COREDNS_VERSION}"


def kubectl(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> str:
    return run([plane.program("kubectl"), f"--kubeconfig={plane.kubeconfig}", *arguments], stdin=stdin)


def apply(plane: ControlPlane, manifests: Sequence[dict[str, Any]]) -> None:
    kubectl(plane, "apply", "--server-side", "--filename=-", stdin=json.dumps(_list(manifests)))


def install(plane: ControlPlane, kubeadm_config: Path) -> None:
    """Give the group of admin.conf its rights, make the volumes, start CoreDNS (one copy: there is one node)."""
    for folder in storage.folders():
        folder.mkdir(parents=True, exist_ok=True)
    apply(plane, [_administrators(), *storage.manifests()])
    config = list(yaml.safe_load_all(kubeadm_config.read_text()))
    config[1]["dns"] = {"imageRepository": "localhost", "imageTag": COREDNS_VERSION}
    with_dns = kubeadm_config.with_name("kubeadm-dns.yaml")
    with_dns.write_text(yaml.safe_dump_all(config))
    kubeadm = [plane.program("kubeadm"), "init", "phase", "addon", "coredns"]
    run([*kubeadm, f"--config={with_dns}", f"--kubeconfig={plane.kubeconfig}"])
    kubectl(plane, "--namespace=kube-system", "scale", "deployment/coredns", "--replicas=1")


def wait(plane: ControlPlane, node: str, seconds: int) -> None:
    """Return when the node is Ready and names resolve."""
    kubectl(plane, "wait", f"node/{node}", "--for=condition=Ready", f"--timeout={seconds}s")
    kubectl(plane, "--namespace=kube-system", "rollout", "status", "deployment/coredns", f"--timeout={seconds}s")


def _administrators() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "kubeadm:cluster-admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubeadm:cluster-admins"}],
    }


def _list(manifests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
