"""Keeps the node's processes running: starts them in order, restarts one that dies, and says so.

`python -m deploy.platforms.node.supervisor` reads the components from `supervision.json` and keeps `processes.json` up
to date: who runs under which id since when, how often it was restarted and why. It never ends its children: `down`
does, with the help of that file, and so a supervisor that was killed loses nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from deploy.platforms.node.controlplane import Component
from deploy.platforms.node.processes import Identity, identify, start, wait_ready

POLL_SECONDS = 0.25
READY_SECONDS = 120.0
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A component that has run for so long starts anew with the shortest pause."""


class Supervision(BaseModel):
    """What to supervise, in the order of starting."""

    components: list[Component]
    logs: Path
    processes: Path


class Supervised(BaseModel):
    """One component as it is now. `last_exit` tells the latest unexpected end, empty when there was none."""

    name: str
    pid: int
    started: float
    restarts: int = 0
    last_exit: str = ""

    @property
    def identity(self) -> Identity:
        return Identity(self.name, self.pid, self.started)


class Processes(BaseModel):
    """The file that tells who runs. `complete` when every component has been started; `failure` when one could not."""

    supervisor: Supervised
    components: list[Supervised] = []
    complete: bool = False
    failure: str = ""

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".new")
        temporary.write_text(self.model_dump_json(indent=1))
        temporary.replace(path)

    @property
    def identities(self) -> list[Identity]:
        return [each.identity for each in self.components]


def load(path: Path) -> Processes | None:
    """What runs, or None when nothing was started."""
    try:
        return Processes.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None


def pause_seconds(restarts: int, ran_seconds: float) -> float:
    """How long to wait before starting again: 0.5 s, doubled at each restart, capped; short after a healthy run."""
    if ran_seconds >= HEALTHY_SECONDS:
        return 0.5
    return float(min(LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(restarts, 10)))


class Supervisor:
    """Owns the children of this process."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._due: dict[str, float] = {}
        own = identify("supervisor", os.getpid())
        self._processes = Processes(supervisor=Supervised(name=own.name, pid=own.pid, started=own.started))

    def run(self) -> None:
        """Start everything in order, then watch for ever."""
        self._save()
        try:
            for component in self._supervision.components:
                self._start(component)
                if component.ready:
                    identity = self._of(component.name).identity
                    log = self._log(component.name)
                    wait_ready(component.name, component.ready, identity, log, seconds=READY_SECONDS)
        except Exception as error:
            self._processes.failure = str(error)
            self._save()
            raise
        self._processes.complete = True
        self._save()
        while True:
            self._look_after(time.monotonic())
            time.sleep(POLL_SECONDS)

    def _look_after(self, now: float) -> None:
        for component in self._supervision.components:
            name = component.name
            if name in self._due:
                if now >= self._due[name]:
                    del self._due[name]
                    self._start(component)
            elif (status := self._children[name].poll()) is not None:
                self._report_death(name, status, now)

    def _report_death(self, name: str, status: int, now: float) -> None:
        record = self._of(name)
        why = f"signal {-status}" if status < 0 else f"status {status}"
        record.last_exit = f"{datetime.now(UTC):%H:%M:%S} with {why}"
        record.restarts += 1
        self._due[name] = now + pause_seconds(record.restarts, time.time() - record.started)
        self._save()
        print(f"{name} ended {record.last_exit}, restart {record.restarts}", flush=True)

    def _start(self, component: Component) -> None:
        child = start(component.command, self._log(component.name))
        self._children[component.name] = child
        identity = identify(component.name, child.pid)
        existing = [each for each in self._processes.components if each.name == component.name]
        if existing:
            existing[0].pid, existing[0].started = identity.pid, identity.started
        else:
            self._processes.components.append(
                Supervised(name=identity.name, pid=identity.pid, started=identity.started)
            )
        self._save()

    def _of(self, name: str) -> Supervised:
        return next(each for each in self._processes.components if each.name == name)

    def _log(self, name: str) -> Path:
        return self._supervision.logs / f"{name}.log"

    def _save(self) -> None:
        self._processes.save(self._supervision.processes)


def main(path: str) -> None:
    Supervisor(Supervision.model_validate_json(Path(path).read_bytes())).run()


if __name__ == "__main__":
    main(sys.argv[1])
