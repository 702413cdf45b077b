"""The stampede: how often the database is read when the entry that everybody asks for expires.

Two processes, 200 clients, one key with a TTL of a second, made by an aggregate over some thousand items (a few
milliseconds, in which unprotected clients would all find it missing). Each making is noted with its time; makings that
follow each other within half a TTL belong to one expiry. The database's own count of the statement must agree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.application import Application, Side
from tests.bench.context import Context
from tests.bench.figures import bursts
from tests.bench.load import Load, Summary, run_all
from tests.bench.rows import BY_NAME, Result

NAME = "stampede_db_reads_per_expiry"
PROCESSES = 2
CLIENTS = 200
TTL_SECONDS = 1.0
SECONDS = 6.0
LEAST_EXPIRIES = 4
"""In SECONDS, with a TTL of 1 s, jitter and a stale window of at most the TTL."""

CALLS = "SELECT coalesce(sum(calls), 0)::int FROM pg_stat_statements WHERE query LIKE '/* bench.report */%'"


def measure(context: Context) -> list[Result]:
    """The row."""
    stack, sizes_by_round, calls, failed = context.stack, [], [], 0
    load = Load("path", path="/report", connections=CLIENTS // PROCESSES)
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as name, ExitStack() as running:
        loads = Path(name) / "loads"
        loads.touch()
        environment = {**stack.direct(), "BENCH_LOADS": str(loads)}
        applications = [
            running.enter_context(
                Application(
                    Side(f"ours {number}", "tests.bench.ours:hot_report", "/ready", environment, is_factory=True),
                    context.placement.server,
                )
            )
            for number in range(1, PROCESSES + 1)
        ]
        for number in range(context.rounds):
            stack.redis.flush()
            before, seen = _calls(context), len(_times(loads))
            summaries = run_all(load, [application.url for application in applications], SECONDS)
            sizes_by_round.append(bursts(_times(loads)[seen:], TTL_SECONDS / 2))
            calls.append(_calls(context) - before)
            failed += sum(summary.failed for summary in summaries)
            context.say(f"stampede: round {number + 1}/{context.rounds}, {_said(sizes_by_round[-1], summaries)}")
    return [result(sizes_by_round, calls, failed)]


def result(sizes_by_round: Sequence[Sequence[int]], calls: Sequence[int], failed: int) -> Result:
    """All reads by all expiries: a median would hide one stampede. Pure."""
    reads, expiries = sum(map(sum, sizes_by_round)), sum(map(len, sizes_by_round))
    runs = [sum(sizes) / len(sizes) if sizes else 0.0 for sizes in sizes_by_round]
    problem = None
    if min(map(len, sizes_by_round)) < LEAST_EXPIRIES:
        problem = f"a round of {SECONDS:g} s saw fewer than {LEAST_EXPIRIES} expiries at a TTL of {TTL_SECONDS:g} s"
    elif sum(calls) != reads:
        problem = f"the database counted {sum(calls)} reads, the application {reads}"
    elif failed:
        problem = f"{failed} requests failed"
    details = {
        "reads": reads,
        "expiries": expiries,
        "readsPerTtl": round(reads * TTL_SECONDS / (SECONDS * len(sizes_by_round)), 3),
        "largest": max((size for sizes in sizes_by_round for size in sizes), default=0),
        "databaseCalls": list(calls),
        "clients": CLIENTS,
        "processes": PROCESSES,
    }
    return Result(BY_NAME[NAME], reads / expiries if expiries else 0.0, runs, details, problem)


def _said(sizes: Sequence[int], summaries: Sequence[Summary]) -> str:
    total = sum(summary.requests for summary in summaries)
    return f"{total:,} requests, {sum(sizes)} reads at {len(sizes)} expiries"


def _times(loads: Path) -> list[float]:
    return [float(line) for line in loads.read_text().split()]


def _calls(context: Context) -> int:
    postgres = context.stack.postgres
    rows = postgres.execute(CALLS, database=postgres.login().database)
    return int(str(rows[0][0]))
