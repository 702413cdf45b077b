"""The node platform on this machine, for real: it comes up, runs a release, mends itself, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy import releases
from deploy.binaries import binary
from deploy.errors import MissingError, ReleaseError
from deploy.kubectl import Kubectl, wait_until
from deploy.platforms.node import agents, host, layout, remains, requirements, state, supervisor
from deploy.platforms.node.platform import NodePlatform
from deploy.releases import Release

pytestmark = pytest.mark.long

PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def before() -> dict[str, object]:
    if os.geteuid() != 0:
        pytest.skip("the node platform needs root")
    if state.load(layout.STATE) is not None:
        pytest.skip("a node is up on this machine, and this test would take it down: python -m deploy down")
    requirements.require_packages()
    return traces()


@pytest.fixture(scope="module")
def node(before: dict[str, object]) -> Iterator[NodePlatform]:
    platform = NodePlatform()
    try:
        platform.up()
    except MissingError as error:
        pytest.skip(str(error))
    yield platform
    platform.down()


@pytest.fixture
def kubectl(node: NodePlatform) -> Kubectl:
    return Kubectl(node.kubeconfig, binary("kubectl"))


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart with one Deployment of the pause image; `arguments` of a wrong kind make it fail."""
    folder = tmp_path / "tiny"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text(f"image: {agents.PAUSE_IMAGE}\n")
    (folder / "templates" / "deployment.yaml").write_text(DEPLOYMENT)
    return folder


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  selector: {matchLabels: {app: tiny}}
  template:
    metadata: {labels: {app: tiny}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - {name: main, image: "{{ .Values.image }}", imagePullPolicy: Never}
"""


def traces() -> dict[str, object]:
    """What a node could leave on this machine."""
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    links = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout)
    return {
        "tables": sorted(tables.splitlines()),
        "links": {link["ifname"]: sorted(a["local"] for a in link["addr_info"]) for link in links},
        "mounts": host.mounts_below("/run/trimtab-node", Path("/proc/self/mountinfo").read_text())
        + host.mounts_below("/var/lib/trimtab-node", Path("/proc/self/mountinfo").read_text()),
        "sysctls": {name: Path("/proc/sys", *name.split(".")).read_text() for name in host.SYSCTLS},
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("**/kubepods*")),
        "processes": sorted(
            " ".join(process.info["cmdline"] or [])
            for process in psutil.process_iter(["cmdline"])
            if "trimtab-node" in " ".join(process.info["cmdline"] or [])
        ),
        "files": [path for path in (layout.RUN, layout.DATA) if path.exists()],
    }


def test_a_release_becomes_ready_and_goes(node: NodePlatform, kubectl: Kubectl, chart: Path) -> None:
    releases.install(node.kubeconfig, Release("tiny", "tiny", chart))
    deployment = kubectl.get("deployment", "tiny", "tiny")
    assert deployment["status"]["readyReplicas"] == 1
    releases.uninstall(node.kubeconfig, "tiny", "tiny")
    assert not kubectl.exists("deployment", "tiny", "tiny")


def test_a_release_that_cannot_start_says_which_pod_and_why(node: NodePlatform, chart: Path) -> None:
    release = Release("broken", "broken", chart, {"image": "localhost/nobody-built-this:1"})
    with pytest.raises(ReleaseError) as caught:
        releases.install(node.kubeconfig, release)
    assert "ErrImageNeverPull" in str(caught.value)
    assert "localhost/nobody-built-this:1" in str(caught.value)
    assert "broken-" in str(caught.value)
    releases.uninstall(node.kubeconfig, "broken", "broken")


def test_a_component_that_dies_is_started_again_and_reported(node: NodePlatform) -> None:
    def scheduler() -> supervisor.Supervised:
        processes = supervisor.load(layout.PROCESSES)
        assert processes is not None
        return next(each for each in processes.components if each.name == "kube-scheduler")

    first = scheduler()
    process = first.identity.process()
    assert process is not None
    process.kill()

    def is_back() -> bool:
        now = scheduler()
        return now.pid != first.pid and now.identity.process() is not None

    wait_until("the scheduler runs again", is_back, PATIENCE_SECONDS, every=0.2)
    assert "restarted 1 times" in node.status()
    assert "with signal 9" in node.status()


def test_pods_resolve_names_and_reach_services(node: NodePlatform, kubectl: Kubectl) -> None:
    """CoreDNS is ready only when it has synchronised with the API server through the service's address."""
    assert kubectl.get("deployment", "coredns", "kube-system")["status"]["readyReplicas"] == 1


def test_up_clears_what_a_crash_left_and_down_leaves_nothing(node: NodePlatform, before: dict[str, object]) -> None:
    processes = supervisor.load(layout.PROCESSES)
    assert processes is not None
    for identity in (processes.supervisor.identity, *processes.identities):
        process = identity.process()
        assert process is not None
        process.kill()
    assert remains.shims(), "a crash of everything leaves the containers, or this test shows nothing"

    node.up()
    node.down()
    assert traces() == before
