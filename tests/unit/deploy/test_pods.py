from __future__ import annotations

from typing import Any

from deploy import pods
from deploy.pods import Trouble


def pod(name: str, *, ready: bool = False, phase: str = "Running", **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": {"name": name}, "status": {"phase": phase, "conditions": conditions, **status}}


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "main", "state": state, "restartCount": 0, **more}


def test_finished_and_leaving_pods_do_not_count() -> None:
    leaving = pod("old")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = [pod("a", ready=True), pod("b"), pod("job", phase="Succeeded"), leaving]
    assert pods.ready(found) == (1, 2)
    assert [each.pod for each in pods.troubles(found)] == ["b"]


def test_an_image_that_is_not_there_is_hopeless() -> None:
    waiting = {"waiting": {"reason": "ErrImageNeverPull", "message": "image x is not present"}}
    (trouble,) = pods.troubles([pod("a", phase="Pending", containerStatuses=[container(waiting)])])
    assert trouble == Trouble("a", "main", "ErrImageNeverPull", "image x is not present")
    assert trouble.hopeless


def test_a_crash_tells_its_exit_code_and_may_recover() -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    crashing = container(waiting, lastState=ended, restartCount=2)
    (trouble,) = pods.troubles([pod("a", containerStatuses=[crashing])])
    assert not trouble.hopeless
    assert (
        str(trouble) == "a/main: CrashLoopBackOff (restarted 2 times): it ended with exit code 3 (Error); back-off 10s"
    )


def test_a_failing_init_container_is_named_rather_than_those_that_wait_for_it() -> None:
    failed = container({"terminated": {"exitCode": 1, "reason": "Error"}}) | {"name": "configure"}
    waits = container({"waiting": {"reason": "PodInitializing"}})
    found = pods.troubles([pod("a", initContainerStatuses=[failed], containerStatuses=[waits])])
    assert [(each.container, each.message) for each in found] == [("configure", "exit code 1")]


def test_a_container_whose_probe_fails_is_not_ready() -> None:
    (trouble,) = pods.troubles([pod("a", containerStatuses=[container({"running": {}}, ready=False)])])
    assert trouble.reason == "NotReady"


def test_a_pod_without_a_place_says_what_the_scheduler_said() -> None:
    found = pod("a", phase="Pending")
    found["status"]["conditions"].append({"type": "PodScheduled", "status": "False", "message": "Insufficient cpu"})
    assert pods.troubles([found]) == [Trouble("a", "", "Unschedulable", "Insufficient cpu")]


def test_warnings_are_the_pods_own_each_reason_once() -> None:
    def event(name: str, reason: str, message: str, kind: str = "Warning") -> dict[str, Any]:
        return {"type": kind, "reason": reason, "message": message, "involvedObject": {"name": name}}

    events = [
        event("a", "Failed", "1"),
        event("b", "Failed", "2"),
        event("a", "Failed", "3"),
        event("a", "X", "4", "Normal"),
    ]
    assert pods.warnings(events, "a") == ["Failed: 3"]
