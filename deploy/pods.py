"""What is wrong with a namespace's pods, as a person would say it. Pure: reads what `kubectl get` gave as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOPELESS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""Waiting reasons that do not end by themselves; a container that crashes may still recover, these cannot."""


@dataclass(frozen=True)
class Trouble:
    """One pod, or one of its containers, that is not as it should be. `restarts` counts the container's."""

    pod: str
    container: str
    reason: str
    message: str
    restarts: int = 0

    @property
    def hopeless(self) -> bool:
        return self.reason in HOPELESS

    def __str__(self) -> str:
        where = f"{self.pod}/{self.container}" if self.container else self.pod
        restarts = f" (restarted {self.restarts} times)" if self.restarts else ""
        return f"{where}: {self.reason}{restarts}" + (f": {self.message}" if self.message else "")


def ready(pods: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How many pods that should run are ready, and how many there are; finished ones do not count."""
    live = [pod for pod in pods if pod["status"].get("phase") != "Succeeded" and not _leaving(pod)]
    return sum(_condition(pod, "Ready") == "True" for pod in live), len(live)


def troubles(pods: Sequence[Mapping[str, Any]]) -> list[Trouble]:
    """Everything that keeps pods from being ready, sorted by pod."""
    found: list[Trouble] = []
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        if pod["status"].get("phase") == "Succeeded" or _condition(pod, "Ready") == "True" or _leaving(pod):
            continue
        found.extend(_of_pod(pod))
    return found


def warnings(events: Sequence[Mapping[str, Any]], pod: str) -> list[str]:
    """The last warnings about `pod`, oldest first, each reason once."""
    last: dict[str, str] = {}
    for event in events:
        if event.get("type") == "Warning" and event.get("involvedObject", {}).get("name") == pod:
            last[str(event.get("reason"))] = str(event.get("message", ""))
    return [f"{reason}: {message}" for reason, message in last.items()][-3:]


def _of_pod(pod: Mapping[str, Any]) -> Iterator[Trouble]:
    name = str(pod["metadata"]["name"])
    status = pod["status"]
    if _condition(pod, "PodScheduled") == "False":
        yield Trouble(name, "", "Unschedulable", _message(pod, "PodScheduled"))
        return
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    seen = False
    for container in containers:
        trouble = _of_container(name, container)
        if trouble is not None:
            seen = True
            yield trouble
    if not seen:
        yield Trouble(name, "", status.get("reason") or status.get("phase", "Unknown"), str(status.get("message", "")))


def _of_container(pod: str, container: Mapping[str, Any]) -> Trouble | None:
    name, restarts = str(container["name"]), int(container.get("restartCount", 0))
    state = container.get("state", {})
    if waiting := state.get("waiting"):
        if waiting.get("reason") in {"PodInitializing", "ContainerCreating"}:
            return None
        message = str(waiting.get("message", ""))
        ended = container.get("lastState", {}).get("terminated")
        if ended:
            message = f"it ended with exit code {ended.get('exitCode')} ({ended.get('reason')}); {message}"
        return Trouble(pod, name, str(waiting.get("reason", "Waiting")), message, restarts)
    if ended := state.get("terminated"):
        if ended.get("exitCode") == 0:
            return None
        code = f"exit code {ended.get('exitCode')}"
        return Trouble(pod, name, str(ended.get("reason", "Error")), code, restarts)
    if not container.get("ready", False):
        return Trouble(pod, name, "NotReady", "it runs, and its readiness or startup probe fails", restarts)
    return None


def _leaving(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _condition(pod: Mapping[str, Any], kind: str) -> str | None:
    return next((each["status"] for each in pod["status"].get("conditions", []) if each["type"] == kind), None)


def _message(pod: Mapping[str, Any], kind: str) -> str:
    return next(
        (str(each.get("message", "")) for each in pod["status"].get("conditions", []) if each["type"] == kind), ""
    )
