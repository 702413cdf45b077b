"""Certificates and kubeconfigs of a control plane, made by kubeadm: the same ones a real cluster has."""

from __future__ import annotations

import yaml

from deploy.binaries import KUBERNETES_VERSION
from deploy.commands import run
from deploy.platforms.node.controlplane import POD_SUBNET, SERVICE_SUBNET, ControlPlane


def kubeadm_config(plane: ControlPlane, node_name: str) -> str:
    """What kubeadm is told: elliptic-curve keys, because making RSA keys takes seconds."""
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": plane.advertised, "bindPort": plane.api_port},
        "nodeRegistration": {"name": node_name},
    }
    cluster = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": KUBERNETES_VERSION,
        "encryptionAlgorithm": "ECDSA-P256",
        "certificatesDir": str(plane.pki),
        "controlPlaneEndpoint": f"{plane.address}:{plane.api_port}",
        "apiServer": {"certSANs": ["127.0.0.1", "localhost"]},
        "networking": {"podSubnet": POD_SUBNET, "serviceSubnet": SERVICE_SUBNET},
    }
    return yaml.safe_dump_all([init, cluster], sort_keys=False)


def create(plane: ControlPlane, node_name: str, *identities: str) -> None:
    """Make every certificate under `plane.pki` and a kubeconfig for each identity in `plane.run`."""
    plane.run.mkdir(parents=True, exist_ok=True)
    config = plane.run / "kubeadm.yaml"
    config.write_text(kubeadm_config(plane, node_name))
    kubeadm = plane.program("kubeadm")
    run([kubeadm, "init", "phase", "certs", "all", f"--config={config}"])
    for identity in identities:
        run([kubeadm, "init", "phase", "kubeconfig", identity, f"--config={config}", f"--kubeconfig-dir={plane.run}"])
