"""How busy the cores were: whether the server was what bounded a measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from tests.bench.application import Application
from tests.bench.placement import Placement


@dataclass
class Busy:
    """Shares of wall time in percent: of the server's core in all and by the application itself, and of the others."""

    server_core: float = 0.0
    application: float = 0.0
    other_cores: float = 0.0
    application_seconds: float = 0.0
    """Processor time of the application."""


@contextmanager
def watch(placement: Placement, application: Application) -> Iterator[Busy]:
    """Fills what it yields when the block ends."""
    busy = Busy()
    before, used = psutil.cpu_times(percpu=True), application.cpu_seconds
    yield busy
    after, used = psutil.cpu_times(percpu=True), application.cpu_seconds - used
    shares = [_busy_percent(one, other) for one, other in zip(before, after, strict=True)]
    server = placement.server
    busy.server_core = shares[server]
    busy.application_seconds = max(used, 0.01)
    busy.application = 100 * used / max(1e-9, sum(after[server]) - sum(before[server]))
    busy.other_cores = sum(shares[core] for core in placement.others) / len(placement.others)


def _busy_percent(before: Any, after: Any) -> float:
    total = sum(after) - sum(before)
    idle = after.idle - before.idle + getattr(after, "iowait", 0) - getattr(before, "iowait", 0)
    return 100 * (1 - idle / total) if total > 0 else 0.0
