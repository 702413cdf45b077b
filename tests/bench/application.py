"""An application under test: a process of its own on the server's core."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from deploy.servers import ports

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 20.0
UVICORN = (
    "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning", "--no-proxy-headers",
    "--no-server-header", "--timeout-keep-alive", "75",
)  # fmt: skip
"""The same for everybody: the fastest loop and parser, and nothing that only some would pay for."""


class ApplicationError(Exception):
    """The application did not start, or ended."""


@dataclass(frozen=True)
class Side:
    """One of the applications that a row compares.

    `app` is what uvicorn serves (`module:attribute`, a factory for ours); None: the reference API, which serves itself.
    `ready_path` answers 200 when it can serve.
    """

    name: str
    app: str | None
    ready_path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    is_factory: bool = False

    def command(self, port: int) -> list[str]:
        """How to start it."""
        if self.app is None:
            return [sys.executable, "-m", "services.api"]
        factory = ["--factory"] if self.is_factory else []
        where = ["--host", "127.0.0.1", "--port", str(port)]
        return [sys.executable, "-m", "uvicorn", self.app, *factory, *where, *UVICORN]


class Application:
    """A running side. `with` starts it, waits until it serves, and ends it."""

    def __init__(self, side: Side, core: int) -> None:
        self.side = side
        self.port = ports.draw()
        self.metrics_port = ports.draw()
        self.url = f"http://127.0.0.1:{self.port}"
        self._core = core
        self._log: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the process
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("API_", "TRIMTAB_"))},
            **self.side.environment,
            "METRICS_PORT": str(self.metrics_port),
            "API_HOST": "127.0.0.1",
            "API_PORT": str(self.port),
            "API_METRICS_PORT": str(self.metrics_port),
        }
        command = ["taskset", "--cpu-list", str(self._core), "setpriv", "--pdeathsig", "KILL", "--"]
        self._process = subprocess.Popen(
            [*command, *self.side.command(self.port)], cwd=ROOT, env=environment,
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it has used."""
        times = psutil.Process(self._running.pid).cpu_times()
        return float(times.user + times.system)

    def metric(self, series: str) -> float | None:
        """The present value of a series (name with labels in the exposition's order), None where there is none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                name, _, value = line.rpartition(" ")
                if name == series:
                    return float(value)
        return None

    def log(self) -> str:
        """The end of what it printed."""
        self._log.seek(0)
        return self._log.read()[-3000:]

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ApplicationError(f"{self.side.name} is not running:\n{self.log()}")
        return self._process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ApplicationError(f"{self.side.name} ended with {process.returncode}:\n{self.log()}")
            if self._serves():
                return
            time.sleep(0.05)
        raise ApplicationError(f"{self.side.name} does not serve after {START_SECONDS:g} s:\n{self.log()}")

    def _serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{self.side.ready_path}", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:  # URLError and HTTPError are among them
            return False

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
