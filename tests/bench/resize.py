"""Resizing under full load: requests that fail, and the 99th percentile beside that of steady load.

The pool's size goes up and down through the knobs document, as the tuner moves it, while all clients ask for rows
through PgBouncer. Rounds hold one steady and one resizing part in random order.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.bench.application import Application, Side
from tests.bench.context import Context
from tests.bench.figures import middle, order, ratios
from tests.bench.load import Load, Summary, finish, start
from tests.bench.rows import BY_NAME, Result
from tests.bench.stack import ITEMS
from trimtab.knobs.document import ApiKnobs, KnobsDocument, write

FAILED = "resize_under_load_failed_requests"
P99 = "resize_under_load_p99_ratio"
RESIZES = 100
SIZES = (4, 16)
STEADY_SIZE = 10
CONNECTIONS = 64
SECONDS = 5.0
RESIZE_SECONDS = 0.2
"""From one resize to the next: the watch of the file gathers events for 0.05 s."""

END_SECONDS = 0.8
"""The resizes end so long before their load does."""

APPLY_SECONDS = 10.0
EPOCH = "019b0000-0000-7000-8000-000000000000"


class Resizer:
    """Writes knobs documents and waits until the application has applied each."""

    def __init__(self, directory: Path) -> None:
        self.knobs = directory / "knobs" / "knobs.json"
        self.applied = directory / "applied"
        self.generation = 0
        self.count = 0
        self._random = Random(1)

    def resize(self, size: int) -> None:
        """Returns when the pool has the size; connections in use beyond it close when they come back."""
        self.generation += 1
        write(
            self.knobs,
            KnobsDocument(epoch=EPOCH, generation=self.generation, policy="bench", api=ApiKnobs(pool_size=size)),
        )
        deadline = time.monotonic() + APPLY_SECONDS
        while not self.applied.exists() or self.applied.read_text() != str(self.generation):
            if time.monotonic() > deadline:
                raise TimeoutError(f"generation {self.generation} was not applied within {APPLY_SECONDS:g} s")
            time.sleep(0.002)

    def resize_under(self, load: subprocess.Popen[str], seconds: float, times: int) -> None:
        """So many random sizes, evenly over the time; counted while the load lasts."""
        started = time.monotonic()
        for number in range(times):
            self.resize(self._random.randint(*SIZES))
            self.count += load.poll() is None
            time.sleep(max(0.0, started + (number + 1) * seconds / times - time.monotonic()))


def measure(context: Context) -> list[Result]:
    """Both rows."""
    times = math.ceil(RESIZES / context.rounds)
    seconds = math.ceil(max(SECONDS, times * RESIZE_SECONDS + END_SECONDS))
    steady: list[Summary] = []
    resizing: list[Summary] = []
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as name:
        resizer = Resizer(Path(name))
        resizer.knobs.parent.mkdir()
        environment = {
            **context.stack.pooled(),
            "TRIMTAB_KNOBS": str(resizer.knobs),
            "BENCH_APPLIED": str(resizer.applied),
        }
        side = Side("ours", "tests.bench.ours:database_reads", "/items/1", environment, is_factory=True)
        with Application(side, context.placement.server) as application:
            for number in range(-1, context.rounds):  # the first one warms up
                for part in order(["steady", "resizing"], number):
                    resizer.resize(STEADY_SIZE)
                    load = Load("items", (str(number), str(ITEMS)), connections=CONNECTIONS)
                    process = start(load, application.url, seconds)
                    if part == "resizing" and number >= 0:
                        resizer.resize_under(process, seconds - END_SECONDS, times)
                    summary = finish(process, seconds)
                    if number >= 0:
                        (resizing if part == "resizing" else steady).append(summary)
                        context.say(
                            f"resizing under load: round {number + 1}/{context.rounds}, {part} "
                            f"p99 {summary.p99_milliseconds:.1f} ms, failed {summary.failed}"
                        )
    return results(steady, resizing, resizer.count)


def results(steady: Sequence[Summary], resizing: Sequence[Summary], resizes: int) -> list[Result]:
    """The rows of the rounds. Failed requests are added up: a median would hide one bad round. Pure."""
    runs = ratios([one.p99_milliseconds for one in resizing], [one.p99_milliseconds for one in steady])
    failed = [float(one.failed) for one in resizing]
    details = {
        "resizes": resizes,
        "steadyP99Milliseconds": [round(one.p99_milliseconds, 2) for one in steady],
        "resizingP99Milliseconds": [round(one.p99_milliseconds, 2) for one in resizing],
        "steadyRequestsPerSecond": [round(one.requests_per_second) for one in steady],
        "resizingRequestsPerSecond": [round(one.requests_per_second) for one in resizing],
        "failures": [one.failures for one in resizing if one.failures],
    }
    problem = None if resizes >= RESIZES else f"only {resizes} of {RESIZES} resizes took place under load"
    if problem is None and any(one.failed for one in steady):
        problem = "requests failed under steady load too"
    return [
        Result(BY_NAME[FAILED], sum(failed), failed, details, problem),
        Result(BY_NAME[P99], middle(runs), runs, details, problem),
    ]
