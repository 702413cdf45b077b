"""Starting, identifying and ending processes.

A process is identified by its id together with its start time, because ids are used again.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.commands import succeeds
from deploy.errors import NotReadyError

TERMINATE_SECONDS = 10.0
"""How long a process may take to end by itself before it is killed."""


@dataclass(frozen=True)
class Identity:
    """A process: its id and when it started, in seconds since 1970."""

    name: str
    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """The process, or None when it is gone or its id belongs to another one now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def identify(name: str, pid: int) -> Identity:
    """Raises psutil.NoSuchProcess when there is none."""
    return Identity(name, pid, psutil.Process(pid).create_time())


def start(command: Sequence[str], log: Path, *, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start `command` in its own session, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
        )


def end(identities: Iterable[Identity], *, seconds: float = TERMINATE_SECONDS) -> None:
    """Ask each process to end, wait together, then kill what is left."""
    processes = [process for identity in identities if (process := identity.process())]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=seconds)


def wait_ready(name: str, probe: Sequence[str], identity: Identity, log: Path, *, seconds: float) -> None:
    """Return when `probe` succeeds; raise NotReadyError when the process dies first or time is up."""
    deadline = time.monotonic() + seconds
    while not succeeds(probe, timeout_seconds=10):
        if identity.process() is None:
            raise NotReadyError(f"{name} ended before it was ready; the end of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise NotReadyError(f"{name} is not ready after {seconds:.0f} s; the end of {log}:\n{tail(log)}")
        time.sleep(0.2)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, indented; says so when there is none."""
    try:
        text = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return f"  ({log} does not exist)"
    return "\n".join(f"  {line[:400]}" for line in text) or "  (empty)"
