"""Load by wrk, and what it says: requests, latencies, failures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.errors import MissingError
from deploy.platforms.node.requirements import require_packages

SCRIPTS = Path(__file__).parent / "scripts"
SUMMARY = re.compile(r"^BENCH (\{.*\})$", re.MULTILINE)
LATE_SECONDS = 30.0
TIMEOUT_SECONDS = 5
"""A request without an answer after this long counts as failed."""


class LoadError(Exception):
    """wrk could not be run, or said nothing."""


@dataclass(frozen=True)
class Load:
    """What is asked for. `arguments` are those of the script."""

    script: str
    arguments: tuple[str, ...] = ()
    path: str = "/"
    connections: int = 32


@dataclass(frozen=True)
class Summary:
    """What came of a run. Failed: an answer of 400 or more, or none."""

    requests: int
    seconds: float
    p50_milliseconds: float
    p99_milliseconds: float
    failed: int
    failures: str

    @property
    def requests_per_second(self) -> float:
        """Answers, failed ones too."""
        return self.requests / self.seconds if self.seconds else 0.0

    @classmethod
    def parse(cls, output: str) -> Self:
        """From what wrk prints with scripts/report.lua. Raises LoadError."""
        found = SUMMARY.search(output)
        if found is None:
            raise LoadError(f"wrk printed no summary:\n{output[-2000:]}")
        told = json.loads(found[1])
        failures = {name: told[name] for name in ("status", "connect", "read", "write", "timeout") if told[name]}
        return cls(
            requests=told["requests"],
            seconds=told["microseconds"] / 1e6,
            p50_milliseconds=told["p50"] / 1e3,
            p99_milliseconds=told["p99"] / 1e3,
            failed=sum(failures.values()),
            failures=", ".join(f"{name} {count}" for name, count in failures.items()),
        )


def require_wrk() -> None:
    """Install wrk with apt-get, visibly, where it is missing and may be. Raises MissingError with the remedy."""
    if shutil.which("wrk") is None:
        require_packages({"wrk": "wrk"})
    if shutil.which("wrk") is None:
        raise MissingError("wrk was installed but is not on PATH: add /usr/bin to it")


def start(load: Load, base_url: str, seconds: float) -> subprocess.Popen[str]:
    """wrk with one thread, running."""
    return subprocess.Popen(
        ["wrk", "--threads", "1", "--connections", str(load.connections), "--duration", f"{max(1, round(seconds))}s",
         "--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPTS / f"{load.script}.lua"),
         f"{base_url}{load.path}", "--", *load.arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "LUA_PATH": f"{SCRIPTS}/?.lua;;"},
    )  # fmt: skip


def finish(process: subprocess.Popen[str], seconds: float) -> Summary:
    """What a running wrk says at its end."""
    try:
        output, _ = process.communicate(timeout=seconds + LATE_SECONDS)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        raise LoadError(f"wrk ended with {process.returncode}:\n{output[-2000:]}")
    return Summary.parse(output)


def run(load: Load, base_url: str, seconds: float) -> Summary:
    """Load for so long; the summary."""
    return finish(start(load, base_url, seconds), seconds)


def run_all(load: Load, base_urls: Sequence[str], seconds: float) -> list[Summary]:
    """The same load on several servers at once."""
    processes = [start(load, url, seconds) for url in base_urls]
    return [finish(process, seconds) for process in processes]
