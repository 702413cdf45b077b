"""The processes of a node that runs or once ran: the supervised ones, and the containers with their shims.

A shim outlives containerd by design, so ending the components is not enough. Ours are known by the address of our
containerd in their command line.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import psutil

from deploy.platforms.node import supervisor
from deploy.platforms.node.layout import CONTAINERD_SOCKET, PROCESSES
from deploy.platforms.node.processes import Identity, end

SHIM_SOCKETS = Path("/run/containerd/s")
"""Where containerd 1.6 puts its shims' sockets, whatever its configuration says."""

GRACE_SECONDS = 2.0
"""Enough to close files; nothing of the node outlives it, so there is nothing to save."""


def end_all() -> None:
    """End the supervisor first (it would restart the others), then the components, then every container."""
    recorded = supervisor.load(PROCESSES)
    if recorded is not None:
        end([recorded.supervisor.identity])
        recorded = supervisor.load(PROCESSES) or recorded  # it may have restarted one before it ended
        agents_last = sorted(recorded.identities, key=lambda identity: identity.name == "containerd")
        end(agents_last[:-1], seconds=GRACE_SECONDS)
    end_containers()
    if recorded is not None:
        end(recorded.identities, seconds=GRACE_SECONDS)
    end_containers()  # what containerd started while it ended


def end_containers() -> None:
    """Kill every container of our containerd and its shim; they hold nothing that outlives the node."""
    found: list[Identity] = []
    for shim in shims():
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [shim, *shim.children(recursive=True)]:
                found.append(Identity("container", process.pid, process.create_time()))
            _remove_socket(shim.cmdline())
    end(found, seconds=0)


def shims() -> list[psutil.Process]:
    """The shims of our containerd: `containerd-shim-runc-v2 -namespace N -id ID -address OUR_SOCKET`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command and "containerd-shim" in command[0] and str(CONTAINERD_SOCKET) in command:
            found.append(process)
    return found


def _remove_socket(command: list[str]) -> None:
    options = dict(zip(command[1::2], command[2::2], strict=False))
    place = f"{CONTAINERD_SOCKET}/{options.get('-namespace', '')}/{options.get('-id', '')}"
    (SHIM_SOCKETS / hashlib.sha256(place.encode()).hexdigest()).unlink(missing_ok=True)
