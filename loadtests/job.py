"""A load test as a Job in the cluster: made, followed by its log, its result collected, taken away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client, config

from loadtests.plan import LoadPlan
from loadtests.stream import Progress, read_line

POD_START_SECONDS = 120
GRACE_SECONDS = 60


class JobError(RuntimeError):
    """A Job that gave no result. The message names the Job and what was last seen of it."""


def manifest(name: str, namespace: str, image: str, plan: LoadPlan) -> dict[str, Any]:
    """The Job: one pod, never retried, stopped by the cluster when it outlives its plan."""
    mix = ",".join(f"{kind}={share}" for kind, share in plan.mix.percent.items())
    arguments = {
        "--url": plan.url,
        "--users": plan.users,
        "--ramp-seconds": plan.ramp_seconds,
        "--hold-seconds": plan.hold_seconds,
        "--think-milliseconds": plan.think_milliseconds,
        "--items": plan.items,
        "--zipf-percent": plan.zipf_percent,
        "--seed": plan.seed,
        "--sign-in-seconds": plan.sign_in_seconds,
        "--mix": mix,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "loadtest", "app.kubernetes.io/part-of": "trimtab"},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": plan.total_seconds + POD_START_SECONDS + GRACE_SECONDS,
            "ttlSecondsAfterFinished": 3600,
            "template": {
                "metadata": {
                    "labels": {
                        "app.kubernetes.io/name": "loadtest",
                        "app.kubernetes.io/instance": name,
                        "app.kubernetes.io/part-of": "trimtab",
                    }
                },
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 2,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 10001,
                        "runAsGroup": 10001,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "locust",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["python", "-m", "loadtests", "run", "--stream"],
                            "args": [str(part) for pair in arguments.items() for part in pair],
                            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the pod
                        }
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
                },
            },
        },
    }


def run(
    kubeconfig: Path,
    name: str,
    namespace: str,
    image: str,
    plan: LoadPlan,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Run `plan` in the cluster and return its result. The Job is deleted again, also when this is interrupted.

    Raises JobError when the pod does not start, fails, or ends without a result.
    """
    api: Any = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call] # the client has no types
    batch: Any = client.BatchV1Api(api)
    core: Any = client.CoreV1Api(api)
    _delete(batch, name, namespace)
    batch.create_namespaced_job(namespace, manifest(name, namespace, image, plan))
    try:
        pod = _wait_for_start(core, name, namespace)
        return _follow(core, pod, name, namespace, plan, on_progress)
    finally:
        _delete(batch, name, namespace)


def _delete(batch: Any, name: str, namespace: str) -> None:
    try:
        batch.delete_namespaced_job(name, namespace, propagation_policy="Foreground")
    except client.ApiException as error:
        if error.status != 404:
            raise
        return
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        try:
            batch.read_namespaced_job(name, namespace)
        except client.ApiException as error:
            if error.status == 404:
                return
            raise
        time.sleep(0.5)
    raise JobError(f"job {namespace}/{name} is still there {GRACE_SECONDS} s after its deletion")


def _wait_for_start(core: Any, name: str, namespace: str) -> str:
    seen = "no pod was made"
    deadline = time.monotonic() + POD_START_SECONDS
    while time.monotonic() < deadline:
        pods = core.list_namespaced_pod(namespace, label_selector=f"batch.kubernetes.io/job-name={name}").items
        for pod in pods:
            if pod.status.phase in ("Running", "Succeeded", "Failed"):
                return str(pod.metadata.name)
            seen = _waiting_reason(pod)
        time.sleep(0.5)
    raise JobError(f"job {namespace}/{name} did not start within {POD_START_SECONDS} s: {seen}")


def _waiting_reason(pod: Any) -> str:
    for status in pod.status.container_statuses or []:
        waiting = status.state.waiting
        if waiting:
            return f"{pod.metadata.name}: {waiting.reason} {waiting.message or ''}".strip()
    return f"{pod.metadata.name}: {pod.status.phase}"


def _follow(
    core: Any,
    pod: str,
    name: str,
    namespace: str,
    plan: LoadPlan,
    on_progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """Read the pod's log to its end. A log stream that breaks off is taken up where the next one begins."""
    tail: list[str] = []
    deadline = time.monotonic() + plan.total_seconds + POD_START_SECONDS + GRACE_SECONDS
    while time.monotonic() < deadline:
        stream = core.read_namespaced_pod_log(pod, namespace, follow=True, _preload_content=False)
        buffer = b""
        for chunk in stream.stream(amt=None):
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                message = read_line(text)
                if isinstance(message, Progress):
                    on_progress(message)
                elif message is not None:
                    return message
                else:
                    tail = [*tail[-9:], text]
        phase = core.read_namespaced_pod(pod, namespace).status.phase
        if phase in ("Succeeded", "Failed"):
            raise JobError(f"job {namespace}/{name} ended ({phase}) without a result; its last lines: {tail}")
    raise JobError(f"job {namespace}/{name} gave no result within its time; its last lines: {tail}")
