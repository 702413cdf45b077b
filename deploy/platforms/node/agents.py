"""The processes that make a machine a node: containerd, kubelet, kube-proxy; their configuration. Pure."""

from __future__ import annotations

import json
from typing import Any

import yaml

from deploy.platforms.node.controlplane import NODE_ADDRESS, POD_SUBNET, Component, ControlPlane
from deploy.platforms.node.layout import (
    BRIDGE,
    CNI_CONFIG,
    CNI_NETWORK,
    CONTAINERD_SOCKET,
    DATA,
    NODE_NAME,
    RUN,
)

PAUSE_IMAGE = "localhost/pause:1"
CLUSTER_DNS = "10.97.0.10"
POD_RANGE = POD_SUBNET.replace("/16", "/24")
"""The first /24 of the pods' subnet: what the controller-manager gives to the first and only node."""


def cni_config() -> str:
    """One bridge, addresses from a file. No masquerading here: that is one nftables table of our own (`host.py`)."""
    bridge: dict[str, Any] = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(RUN / "addresses"),
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": CNI_NETWORK, "plugins": [bridge]}, indent=1)


def containerd_config() -> str:
    """containerd 1.6's configuration, with everything below our own folders.

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE every sandbox would fail when runc lowers the score.
    """
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{DATA}/containerd"
state = "{RUN}/containerd"
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "{DATA}/opt"
[{cri}]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[{cri}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{CNI_CONFIG}"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
Root = "{RUN}/runc"
"""


def kubelet_config(plane: ControlPlane, resolv_conf: str) -> str:
    """Works on cgroup v1 and v2, with swap, without touching the host's iptables; evicts only for lack of memory."""
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{plane.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "resolvConf": resolv_conf,
        "address": NODE_ADDRESS,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "200Mi"},
        "syncFrequency": "10s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "podLogsDir": f"{DATA}/podlogs",
        "volumePluginDir": f"{DATA}/volumeplugins",
        "shutdownGracePeriod": "0s",
    }
    return yaml.safe_dump(config, sort_keys=False)


def containerd() -> Component:
    return Component(
        "containerd",
        ("containerd", f"--config={RUN}/containerd.toml"),
        ("ctr", f"--address={CONTAINERD_SOCKET}", "version"),
    )


def kubelet(plane: ControlPlane) -> Component:
    return Component(
        "kubelet",
        (
            plane.program("kubelet"),
            f"--config={plane.run}/kubelet.yaml",
            f"--kubeconfig={plane.run}/kubelet.conf",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_ADDRESS}",
            f"--root-dir={DATA}/kubelet",
            f"--cert-dir={DATA}/kubelet/pki",
        ),
    )


def kube_proxy(plane: ControlPlane) -> Component:
    """nftables mode; the zeros leave the host's conntrack limits as they are."""
    return Component(
        "kube-proxy",
        (
            plane.program("kube-proxy"),
            f"--kubeconfig={plane.kubeconfig}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={POD_SUBNET}",
            f"--hostname-override={NODE_NAME}",
            "--metrics-bind-address=127.0.0.1:10249",
            "--healthz-bind-address=127.0.0.1:10256",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ),
    )
