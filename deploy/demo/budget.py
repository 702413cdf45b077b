"""Is the budget kept? The server's own count of the application's connections, sampled while everything else runs.

Promise 1 of the design: the connections that pooler pods open never exceed the budget
    F - slack,  F = max_connections - reservedConnections,  slack = max(2, F / 10).
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence

COUNT = "select count(*) from pg_stat_activity where usename = 'catalog_app'"


def allocatable(max_connections: int, reserved: int) -> int:
    """Connections that the tuner may hand out."""
    fence = max_connections - reserved
    return fence - max(2, fence // 10)


def watch_script(interval_seconds: float) -> str:
    """A shell loop that keeps one psql session and prints the count every `interval_seconds`."""
    return (
        f'while :; do echo "{COUNT};"; sleep {interval_seconds}; done'
        " | psql --no-psqlrc --quiet --tuples-only --no-align --dbname=catalog"
    )


class BudgetWatch:
    """Runs `command` (a psql loop inside the database pod) and remembers every count that it prints."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.counts: list[int] = []

    def __enter__(self) -> BudgetWatch:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._reader = threading.Thread(target=self._read, name="budget-watch", daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        for line in self._process.stdout:
            if line.strip().isdigit():
                self.counts.append(int(line))

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
        if self._reader is not None:
            self._reader.join(timeout=10)

    @property
    def largest(self) -> int:
        """The largest count seen. Raises RuntimeError when nothing was: an unwatched budget is not a kept one."""
        if not self.counts:
            raise RuntimeError("the database's connections could not be counted: the budget was not watched")
        return max(self.counts)
