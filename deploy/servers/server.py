"""One server as a process: start, readiness, stop, kill, restart.

A server has a directory (data, configuration, log), a port on 127.0.0.1, and a user that is not root. It becomes ready
when its own process listens on the port and answers in its protocol; whoever else listens there is never taken for it.
It ends with the Python process that started it, however that one ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import psutil

from deploy.servers import ports
from deploy.servers.errors import PortTakenError, ServerFailedError
from deploy.servers.installation import ENVIRONMENT, Installation
from deploy.servers.rootfs import find_or_make

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.02
LOG_LINES = 20
PORT_DRAWS = 3

# The kernel's parent death signal is tied to the thread that forked. Servers may be started from any thread, so one
# thread that lives as long as the interpreter forks them all.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers-spawner")


class Server(ABC):
    """Base of the servers. `with` starts it and, at the end, stops it and removes a directory that it made itself."""

    name: ClassVar[str]
    program: ClassVar[str]
    user: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(
        self,
        *,
        installation: Installation | None = None,
        directory: Path | None = None,
        port: int | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        self.installation = installation or find_or_make()
        self._owns_directory = directory is None
        self.directory = Path(tempfile.mkdtemp(prefix=f"trimtab-{self.name}-")) if directory is None else directory
        self.directory = self.directory.absolute()
        self._asked_port = port
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._start_timeout_seconds = start_timeout_seconds
        self.shares: list[Path] = [self.directory]
        if self._owns_directory:
            atexit.register(self.close)

    # What a server defines.

    @abstractmethod
    def _prepare(self) -> None:
        """Write data and configuration; called before each start."""

    @abstractmethod
    def _arguments(self) -> Sequence[str]:
        """The program's arguments."""

    def _environment(self) -> Mapping[str, str]:
        """Additions to the environment."""
        return {}

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it answers in its protocol. May raise OSError for no."""

    def _after_start(self) -> None:  # noqa: B027  # most servers need nothing
        """What is left to do once it answers."""

    # What callers use.

    @property
    def host(self) -> str:
        return ports.HOST

    @property
    def port(self) -> int:
        """Kept over restarts."""
        if self._port is None:
            raise ServerFailedError(f"{self.name} has no port before its first start")
        return self._port

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailedError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.name}.log"

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """The last lines of the log."""
        try:
            text = self.log_path.read_text(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises PortTakenError, or ServerFailedError with the last lines of the log; nothing runs afterwards.
        """
        if self.running:
            return self
        for draws_left in reversed(range(PORT_DRAWS)):
            if self._port is None:
                self._port = ports.draw()
            elif not ports.is_free(self._port):
                raise PortTakenError(
                    f"{self.name} cannot listen on {self.host}:{self._port}: something else does. "
                    "Remedy: stop it, or start without a port to get a free one"
                )
            try:
                self._launch()
                return self
            except ServerFailedError:
                if self._asked_port is not None or draws_left == 0 or ports.is_free(self._port):
                    raise
                self._port = None  # another process took the port between the draw and the start
        raise AssertionError("the last draw returns or raises")

    def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Ask it to end, wait, and kill it when it does not. Does nothing when it is not running."""
        process = self._process
        if process is None:
            return
        descendants = self._descendants()
        if process.poll() is None:
            process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_seconds)
        self._end(process, descendants)

    def kill(self) -> None:
        """End it and its children at once, as a crash of the machine would."""
        if self._process is not None:
            self._end(self._process, self._descendants())

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server's main process."""
        os.kill(self.pid, number)

    def close(self) -> None:
        """Stop it, and remove its directory when it was made for it."""
        self.stop()
        if self._owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)
            atexit.unregister(self.close)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # How it is done.

    def _launch(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.give(self.directory)
        self._prepare()
        arguments = self.installation.argv(
            self.program, self._arguments(), user=self.user, shares=self.shares, death_signal=self.death_signal
        )
        environment = {**ENVIRONMENT, "HOME": str(self.directory), **self._environment()}
        self._process = _spawner.submit(self._spawn, arguments, environment).result()
        try:
            self._wait_until_ready(self._process)
            self._after_start()
        except BaseException:
            self.kill()
            raise

    def _spawn(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                arguments, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is for the caller, who stops servers in order
            )  # fmt: skip

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout_seconds
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerFailedError(
                    f"{self.name} ended with {process.returncode} while starting on {self.host}:{self.port}; "
                    f"the end of {self.log_path}:\n{self.log_tail()}"
                )
            with contextlib.suppress(OSError):
                if self._listens(process.pid) and self._answers():
                    return
            time.sleep(POLL_SECONDS)
        raise ServerFailedError(
            f"{self.name} did not answer on {self.host}:{self.port} within {self._start_timeout_seconds:g} s; "
            f"the end of {self.log_path}:\n{self.log_tail()}"
        )

    def _listens(self, pid: int) -> bool:
        """Whether the process itself, not somebody else, listens on the port."""
        try:
            sockets = psutil.Process(pid).net_connections(kind="tcp")
        except psutil.Error:
            return False
        return any(s.status == psutil.CONN_LISTEN and s.laddr.port == self.port for s in sockets)

    def _descendants(self) -> list[psutil.Process]:
        """PostgreSQL's backends have sessions of their own, so no process group holds them."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            return []

    def _end(self, process: subprocess.Popen[bytes], descendants: list[psutil.Process]) -> None:
        if process.poll() is None:
            process.kill()
        process.wait()
        for child in descendants:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(descendants, timeout=5)
        self._process = None

    def give(self, path: Path) -> None:
        """Make `path` the property of the server's user."""
        account = self.installation.account(self.user)
        if account is not None:
            os.chown(path, *account)
