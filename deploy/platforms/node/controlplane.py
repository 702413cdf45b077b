"""The command lines of the control plane. Pure: addresses and places in, commands out.

The components run as ordinary processes of the host with the certificates and kubeconfigs that kubeadm makes
(`pki.py`). The API server and etcd alone make the small server that the operator tests use (`apiserver.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SERVICE_SUBNET = "10.97.0.0/16"
POD_SUBNET = "10.98.0.0/16"
NODE_ADDRESS = "10.99.0.1"
"""Put on the loopback interface while the node is up: an address that never changes and leaves the machine never."""


@dataclass(frozen=True)
class Component:
    """One process of the node. `ready` is a command that succeeds when the next component may start."""

    name: str
    command: tuple[str, ...]
    ready: tuple[str, ...] = ()


@dataclass(frozen=True)
class ControlPlane:
    """Where a control plane listens and keeps its files. `address` is what the API server binds and advertises."""

    run: Path
    binaries: Mapping[str, Path] = field(repr=False)
    address: str
    advertised: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int

    @property
    def pki(self) -> Path:
        return self.run / "pki"

    @property
    def kubeconfig(self) -> Path:
        """Of a client in the group system:masters, which needs no RBAC."""
        return self.run / "super-admin.conf"

    def program(self, name: str) -> str:
        return str(self.binaries[name])


def etcd(plane: ControlPlane) -> Component:
    client, peer = f"http://127.0.0.1:{plane.etcd_port}", f"http://127.0.0.1:{plane.etcd_peer_port}"
    return Component(
        "etcd",
        (
            plane.program("etcd"),
            f"--data-dir={plane.run / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # nothing of this cluster outlives it
            "--log-level=warn",
        ),
    )


def api_server(plane: ControlPlane, *extra: str) -> Component:
    pki = plane.pki
    return Component(
        "kube-apiserver",
        (
            plane.program("kube-apiserver"),
            f"--bind-address={plane.address}",
            f"--advertise-address={plane.advertised}",
            f"--secure-port={plane.api_port}",
            f"--etcd-servers=http://127.0.0.1:{plane.etcd_port}",
            f"--service-cluster-ip-range={SERVICE_SUBNET}",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            *extra,
        ),
        (plane.program("kubectl"), f"--kubeconfig={plane.kubeconfig}", "get", "--raw", "/readyz"),
    )


def api_server_of_node(plane: ControlPlane) -> Component:
    """The API server with what kubelets and aggregated APIs need beside the plain one."""
    pki = plane.pki
    return api_server(
        plane,
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
        "--enable-aggregator-routing=true",
    )


def controller_manager(plane: ControlPlane) -> Component:
    config = f"{plane.run}/controller-manager.conf"
    return Component(
        "kube-controller-manager",
        (
            plane.program("kube-controller-manager"),
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--service-account-private-key-file={plane.pki}/sa.key",
            f"--root-ca-file={plane.pki}/ca.crt",
            f"--cluster-signing-cert-file={plane.pki}/ca.crt",
            f"--cluster-signing-key-file={plane.pki}/ca.key",
            f"--cluster-cidr={POD_SUBNET}",
            f"--service-cluster-ip-range={SERVICE_SUBNET}",
            "--allocate-node-cidrs=true",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
        ),
    )


def scheduler(plane: ControlPlane) -> Component:
    config = f"{plane.run}/scheduler.conf"
    return Component(
        "kube-scheduler",
        (
            plane.program("kube-scheduler"),
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ),
    )
