"""kubectl against one cluster, as the parts of deploy and the end-to-end tests call it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.commands import run, succeeds
from deploy.errors import DeployError


class Kubectl:
    """`binary` talking to the cluster of `kubeconfig`. Failures raise CommandError with kubectl's own words."""

    def __init__(self, kubeconfig: Path, binary: Path) -> None:
        self.kubeconfig = kubeconfig
        self.binary = binary

    def command(self, *arguments: str) -> list[str]:
        return [str(self.binary), f"--kubeconfig={self.kubeconfig}", *arguments]

    def run(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 120) -> str:
        return run(self.command(*arguments), stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, document: dict[str, Any]) -> str:
        return self.run("apply", "--filename=-", stdin=json.dumps(document))

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """The object. Raises CommandError when it does not exist."""
        result: dict[str, Any] = json.loads(self.run("get", kind, name, f"--namespace={namespace}", "--output=json"))
        return result

    def exists(self, kind: str, name: str, namespace: str) -> bool:
        return succeeds(self.command("get", kind, name, f"--namespace={namespace}"))

    def items(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        listed = self.run("get", kind, f"--namespace={namespace}", f"--selector={selector}", "--output=json")
        result: list[dict[str, Any]] = json.loads(listed)["items"]
        return result

    def shell(self, pod: str, container: str, namespace: str, script: str) -> list[str]:
        """The command that runs `script` with sh in a container."""
        return self.command(
            "exec", pod, f"--container={container}", f"--namespace={namespace}", "--", "sh", "-c", script
        )

    def query(self, service: str, namespace: str, expression: str, at: float | None = None) -> float | None:
        """The value of a PromQL expression that gives at most one sample; None where it gives none or NaN.

        Asked through the API server's proxy, so that it works from outside any cluster.
        """
        path = f"/api/v1/namespaces/{namespace}/services/{service}:9090/proxy/api/v1/query?query={quote(expression)}"
        if at is not None:
            path += f"&time={at:.3f}"
        samples = json.loads(self.run("get", "--raw", path))["data"]["result"]
        if not samples:
            return None
        value = float(samples[0]["value"][1])
        return None if value != value else value


def wait_until(what: str, condition: Callable[[], bool], seconds: float, every: float = 1.0) -> None:
    """Wait until `condition` holds. Raises DeployError naming `what` when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise DeployError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(every)
