"""Runs a plan with locust in this process.

Importing locust patches the standard library, so only `loadtests.run` does it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gevent
from locust.env import Environment

from loadtests.plan import LoadPlan
from loadtests.recorder import Recorder, quantile
from loadtests.result import result
from loadtests.run.catalog import catalog_user, sign_in
from loadtests.stream import Progress

SATURATED_CPU_PERCENT = 90
"""Above this share of one core the generator itself delays requests, and its latencies are not to be trusted."""


def run(plan: LoadPlan, on_progress: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
    """Run `plan` to its end and return the result (see `loadtests.result`).

    Raises ConnectionError when the target does not let the test accounts register before the start.
    """
    accounts = sign_in(plan)
    recorder = Recorder()
    clock = _Clock()
    user = catalog_user(plan, recorder, clock.second, accounts)
    environment = Environment(user_classes=[user], host=plan.url, catch_exceptions=True)
    runner = environment.create_local_runner()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    cpu_before = time.process_time()
    clock.start()
    runner.start(plan.users, spawn_rate=plan.users / max(1, plan.ramp_seconds))
    users_by_second: list[int] = []
    for second in range(plan.total_seconds):
        gevent.sleep(max(0.0, clock.started + second + 1 - time.monotonic()))
        users_by_second.append(runner.user_count)
        on_progress(_progress(plan, recorder, second, runner.user_count))
    wall = time.monotonic() - clock.started
    cpu_percent = 100 * (time.process_time() - cpu_before) / wall
    runner.quit()
    generator = {"cpuPercent": round(cpu_percent, 1), "saturated": cpu_percent > SATURATED_CPU_PERCENT}
    return result(plan, recorder, started_at, generator, users_by_second)


class _Clock:
    def __init__(self) -> None:
        self.started = 0.0

    def start(self) -> None:
        self.started = time.monotonic()

    def second(self) -> int:
        return int(time.monotonic() - self.started)


def _progress(plan: LoadPlan, recorder: Recorder, second: int, users: int) -> Progress:
    cell = recorder.total(second, second + 1)
    return Progress(
        done=second + 1,
        total=plan.total_seconds,
        users=users,
        requests_per_second=float(cell.outcomes["ok"]),
        p95_milliseconds=quantile(cell.bins, 0.95),
        failures=cell.failures,
    )
