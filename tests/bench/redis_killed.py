"""Redis killed under load and started again: reads that fail, and whether hits in Redis come back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.bench.application import Application, Side
from tests.bench.context import Context
from tests.bench.load import Load, Summary, finish, start
from tests.bench.rows import BY_NAME, Result

NAME = "redis_killed_failed_reads"
KEYS = 2_000
SECONDS = 7.0
KILL_AFTER_SECONDS = 1.5
DOWN_SECONDS = 2.0
BACK_SECONDS = 15.0
HITS = 'trimtab_cache_requests_total{group="item",result="hit",tier="redis"}'


def measure(context: Context) -> list[Result]:
    """The row."""
    environment = {**context.stack.direct(), "BENCH_TIER": "redis"}
    side = Side("ours", "tests.bench.ours:cached_reads", "/items/1", environment, is_factory=True)
    summaries: list[Summary] = []
    back: list[float | None] = []
    with Application(side, context.placement.server) as application:
        for number in range(context.rounds):
            process = start(Load("items", (str(number), str(KEYS))), application.url, SECONDS)
            time.sleep(KILL_AFTER_SECONDS)
            context.stack.redis.kill()
            time.sleep(DOWN_SECONDS)
            context.stack.redis.start()
            back.append(_seconds_until_hits(application))
            summaries.append(finish(process, SECONDS))
            context.say(
                f"Redis killed: round {number + 1}/{context.rounds}, {summaries[-1].requests:,} requests, "
                f"failed {summaries[-1].failed}, hits in Redis again after {back[-1] or BACK_SECONDS:.1f} s"
            )
    return [result(summaries, back)]


def result(summaries: Sequence[Summary], back: Sequence[float | None]) -> Result:
    """Failed reads are added up: a median would hide one bad round. Pure."""
    failed = [float(summary.failed) for summary in summaries]
    details = {
        "requests": [summary.requests for summary in summaries],
        "failures": [summary.failures for summary in summaries if summary.failures],
        "secondsUntilHitsAreBack": [None if seconds is None else round(seconds, 2) for seconds in back],
        "secondsDown": DOWN_SECONDS,
    }
    problem = None
    if None in back:
        problem = f"Redis was back and saw no hits within {BACK_SECONDS:g} s"
    return Result(BY_NAME[NAME], sum(failed), failed, details, problem)


def _seconds_until_hits(application: Application) -> float | None:
    """How long after Redis was back the first hit was counted in it; None: too long."""
    started, before = time.monotonic(), application.metric(HITS) or 0.0
    while time.monotonic() < started + BACK_SECONDS:
        if (application.metric(HITS) or 0.0) > before:
            return time.monotonic() - started
        time.sleep(0.1)
    return None
