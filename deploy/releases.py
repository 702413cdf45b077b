"""Installing charts with Helm through pyhelm3, and saying which pods fail and why when one does not come up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyhelm3

from deploy import pods
from deploy.binaries import binary
from deploy.errors import CommandError, ReleaseError
from deploy.kubectl import Kubectl
from deploy.progress import say, step

# What failed is in the errors raised here; its log says it again, and says so for releases that are merely absent.
logging.getLogger("pyhelm3").setLevel(logging.CRITICAL)

POLL_SECONDS = 2.0
HOPELESS_SECONDS = 20.0
"""How long a pod may be in a state that cannot end by itself before the installation gives up."""

INSTALL_SECONDS = 600
UNINSTALL_SECONDS = 300


@dataclass(frozen=True)
class Release:
    """A chart with its values under a name in a namespace."""

    name: str
    namespace: str
    chart: Path
    values: Mapping[str, Any] = field(default_factory=dict)


def install(kubeconfig: Path, release: Release, *, timeout_seconds: int = INSTALL_SECONDS) -> None:
    """Install or upgrade `release` and wait until all of it is ready, with progress.

    Raises ReleaseError, with the failing pods, their reasons and last words, when it does not become ready.
    """
    if not (release.chart / "Chart.yaml").exists():
        raise ReleaseError(f"there is no chart at {release.chart}: the release {release.name} cannot be installed")
    with step(f"release {release.name}: installing {release.chart.name} into namespace {release.namespace}"):
        asyncio.run(_install(kubeconfig, release, timeout_seconds))


def uninstall(kubeconfig: Path, name: str, namespace: str, *, timeout_seconds: int = UNINSTALL_SECONDS) -> None:
    """Remove a release and wait until its objects are gone; nothing happens where there is none."""
    with step(f"release {name}: removing it from namespace {namespace}"):
        try:
            asyncio.run(
                _helm(kubeconfig).uninstall_release(name, namespace=namespace, timeout=f"{timeout_seconds}s", wait=True)
            )
        except pyhelm3.errors.Error as error:
            raise ReleaseError(f"release {name} cannot be removed: {str(error).strip()}") from error


def _helm(kubeconfig: Path) -> pyhelm3.Client:
    return pyhelm3.Client(executable=str(binary("helm")), kubeconfig=kubeconfig)


def _end_helm() -> None:
    """Ask a Helm that still runs to stop: cancelling pyhelm3 ends only the shell around it, then waits for Helm."""
    program = binary("helm").resolve()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if Path(child.exe()) == program:
                child.terminate()


async def _install(kubeconfig: Path, release: Release, timeout_seconds: int) -> None:
    helm, kubectl = _helm(kubeconfig), Kubectl(kubeconfig, binary("kubectl"))
    chart = await helm.get_chart(release.chart)
    await helm.get_proceedable_revision(release.name, namespace=release.namespace)
    installing = asyncio.create_task(
        helm.install_or_upgrade_release(
            release.name,
            chart,
            dict(release.values),
            namespace=release.namespace,
            timeout=f"{timeout_seconds}s",
            wait=True,
        )
    )
    watching = asyncio.create_task(_watch(kubectl, release))
    try:
        await asyncio.wait({installing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not installing.done():
            watching.result()  # raises what it found
        await installing
    except pyhelm3.errors.Error as error:
        raise ReleaseError(_failure(kubectl, release, str(error).strip())) from error
    except _HopelessError as error:
        raise ReleaseError(_failure(kubectl, release, str(error))) from error
    finally:
        _end_helm()
        for task in (installing, watching):
            task.cancel()
        await asyncio.gather(installing, watching, return_exceptions=True)


class _HopelessError(Exception):
    """A pod is in a state that waiting does not mend."""


async def _watch(kubectl: Kubectl, release: Release) -> None:
    """Say how many pods are ready whenever that changes; raise _HopelessError when waiting is of no use."""
    said: tuple[int, int] | None = None
    since: dict[str, float] = {}
    while True:
        await asyncio.sleep(POLL_SECONDS)
        try:
            found = await asyncio.to_thread(kubectl.items, "pods", release.namespace)
        except CommandError:
            continue  # Helm meets the same API server, and reports
        now, count = time.monotonic(), pods.ready(found)
        if count != said:
            said = count
            say(f"  {release.name}: {count[0]} of {count[1]} pods ready")
        hopeless = {str(each) for each in pods.troubles(found) if each.hopeless}
        since = {text: since.get(text, now) for text in hopeless}
        stuck = [text for text, first in since.items() if now - first >= HOPELESS_SECONDS]
        if stuck:
            raise _HopelessError(f"{stuck[0]} (for {HOPELESS_SECONDS:.0f} s; waiting does not mend this)")


def _failure(kubectl: Kubectl, release: Release, cause: str) -> str:
    """The cause, then every pod in trouble with its warnings and its containers' last words."""
    lines = [f"release {release.name} in namespace {release.namespace} did not become ready: {cause}"]
    try:
        found = kubectl.items("pods", release.namespace)
        events = kubectl.items("events", release.namespace)
    except CommandError as error:
        return "\n".join([*lines, f"and its pods cannot be listed: {error}"])
    for trouble in pods.troubles(found):
        lines.append(f"  {trouble}")
        lines += [f"    event {each}" for each in pods.warnings(events, trouble.pod)]
        if trouble.container:
            words = _last_words(kubectl, release.namespace, trouble)
            lines += [f"    log   {line[:200]}" for line in words]
    return "\n".join(lines)


def _last_words(kubectl: Kubectl, namespace: str, trouble: pods.Trouble) -> list[str]:
    """The last lines that a container wrote before it ended, or those of the running one; empty without any."""
    base = ["logs", trouble.pod, f"--namespace={namespace}", f"--container={trouble.container}", "--tail=8"]
    for previous in (["--previous"], []):
        try:
            text = kubectl.run(*base, *previous)
        except CommandError:
            continue
        if text.strip():
            return text.splitlines()
    return []
