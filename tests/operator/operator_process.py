"""The operator as a process of its own, with exactly the rights that the chart gives its service account."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml

from deploy.binaries import binary
from deploy.platforms.node.apiserver import free_ports
from deploy.platforms.node.controlplane import ControlPlane
from tests.operator.cluster import Cluster, eventually

CHART = Path(__file__).parents[2] / "charts/tuner"
NAMESPACE = "trimtab-system"
RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


def service_account(plane: ControlPlane, folder: Path) -> Path:
    """Applies the chart's account and rights; a kubeconfig with that account's token."""
    rendered = subprocess.run(
        [str(binary("helm")), "template", "trimtab", str(CHART), "--namespace", NAMESPACE],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    rights = [item for item in yaml.safe_load_all(rendered) if item and item["kind"] in RIGHTS]
    system = Cluster(plane, NAMESPACE)
    if system.get("namespace", NAMESPACE) is None:
        system.must("create", "namespace", NAMESPACE)
    system.apply(*rights)
    token = system.must("create", "token", "trimtab", "--duration=1h").strip()
    config = yaml.safe_load(plane.kubeconfig.read_text())
    user = config["contexts"][0]["context"]["user"]
    config["users"] = [{"name": user, "user": {"token": token}}]
    path = folder / "tuner.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


class Operator:
    """A running operator; its words are in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, health: str, metrics: str) -> None:
        self.process = process
        self.log = log
        self.health = health
        self.metrics = metrics

    def healthy(self) -> bool:
        assert self.process.poll() is None, f"the operator ended:\n{self.log.read_text()}"
        try:
            return httpx.get(self.health).status_code == 200
        except httpx.HTTPError:
            return False

    def scrape(self) -> str:
        return httpx.get(self.metrics).text

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=60)


@contextmanager
def running(kubeconfig: Path, folder: Path, namespaces: str = "") -> Iterator[Operator]:
    """An operator until the end of the block."""
    metrics, health = free_ports(2)
    log = folder / f"operator-{health}.log"
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "TUNER_NAMESPACES": namespaces,
        "TUNER_METRICS_PORT": str(metrics),
        "TUNER_HEALTH_PORT": str(health),
        "TUNER_LISTEN": "127.0.0.1",
        "TUNER_LOG_FORMAT": "console",
    }
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "tuner"], env=environment, stdout=out, stderr=out)
    operator = Operator(process, log, f"http://127.0.0.1:{health}/healthz", f"http://127.0.0.1:{metrics}/metrics")
    try:
        eventually(operator.healthy, "the operator answers on /healthz")
        yield operator
    finally:
        if process.poll() is None:
            operator.stop()


def events(cluster: Cluster, reason: str) -> list[str]:
    """The messages of the policy's events of that reason."""
    listed = (cluster.get("event", "") or {})["items"]
    return [item["message"] for item in listed if item["reason"] == reason]
