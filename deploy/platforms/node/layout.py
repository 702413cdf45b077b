"""Names, places and ports of the node. Everything that it leaves on the machine while it runs is named here."""

from __future__ import annotations

from pathlib import Path

from deploy.platforms.places import BUILD

NODE_NAME = "trimtab-node"

RUN = Path("/run/trimtab-node")
"""State, sockets, certificates. Gone with a reboot, like everything it describes."""

DATA = Path("/var/lib/trimtab-node")
"""Images, pods, volumes; removed by `down`."""

OUT = BUILD / "node"
"""The kubeconfig and the logs, for a person; the logs stay after `down`."""

STATE = RUN / "state.json"
PROCESSES = RUN / "processes.json"
SUPERVISION = RUN / "supervision.json"
KUBECONFIG = OUT / "kubeconfig"
LOGS = OUT / "logs"

CONTAINERD_SOCKET = RUN / "containerd.sock"
CNI_CONFIG = RUN / "cni"
CNI_NETWORK = "trimtab-node"
BRIDGE = "trimtab0"
NAT_TABLE = "trimtab_node"
VOLUMES = DATA / "volumes"

API_PORT = 6443
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
PORTS = (API_PORT, ETCD_PORT, ETCD_PEER_PORT, 10248, 10249, 10250, 10256, 10257, 10259)
"""The API server, etcd, kubelet (health, API), kube-proxy (metrics, health), controller-manager, scheduler."""
