"""The API server as the tests use it: kubectl, with the CRD and a namespace of the test's own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from deploy.platforms.node.controlplane import ControlPlane
from tests.operator.rest import administrator, create, path

JSON = dict[str, Any]
T = TypeVar("T")

PATIENCE_SECONDS = 60.0
CRD_FILE = Path(__file__).parents[2] / "charts/tuner/crds/tuningpolicies.yaml"


class Cluster:
    """One namespace of the API server."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    @property
    def kubeconfig(self) -> Path:
        return self.plane.kubeconfig

    def kubectl(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl in the namespace; the caller looks at the status."""
        command = [
            str(self.plane.program("kubectl")), "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *arguments,
        ]  # fmt: skip
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)

    def must(self, *arguments: str, given: str | None = None) -> str:
        """The same, and it must succeed."""
        done = self.kubectl(*arguments, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: JSON) -> None:
        self.must(
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
            given="---\n".join(yaml.safe_dump(o) for o in objects),
        )

    def refusal(self, item: JSON) -> str:
        """What the API server says to an object that it must refuse."""
        done = self.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", given=yaml.safe_dump(item))
        assert done.returncode != 0, "the API server accepted it"
        return done.stderr

    def get(self, kind: str, name: str) -> JSON | None:
        answer = administrator(self.kubeconfig).get(path(kind, self.namespace, name))
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        found: JSON = answer.json()
        return found

    def make(self, item: JSON) -> JSON:
        """Create one object."""
        return create(administrator(self.kubeconfig), self.namespace, item)

    def patch_status(self, kind: str, name: str, status: JSON) -> None:
        answer = administrator(self.kubeconfig).patch(
            f"{path(kind, self.namespace, name)}/status",
            json={"status": status},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert answer.status_code == 200, answer.text

    def condition(self, policy: str, kind: str) -> JSON:
        """A condition of a policy; empty while it is not there."""
        found = self.get("tuningpolicy", policy) or {}
        conditions = found.get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})


def install_crd(plane: ControlPlane) -> None:
    """Make TuningPolicies known, and wait until they can be listed."""
    cluster = Cluster(plane, "default")
    cluster.must("apply", "--server-side", "-f", str(CRD_FILE))
    eventually(lambda: cluster.kubectl("get", "tuningpolicies").returncode == 0, "TuningPolicies can be listed")


def eventually(look: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """The first true answer of `look`. Fails with the last one when none comes."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; last seen: {answer!r}"
        time.sleep(0.2)


def policy(name: str = "catalog", **spec: Any) -> JSON:
    """A policy that is valid as it is; `spec` replaces fields."""
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "TuningPolicy",
        "metadata": {"name": name},
        "spec": {
            "target": {"name": "catalog-api"},
            "prometheus": {"url": "http://127.0.0.1:9"},
            **spec,
        },
    }
