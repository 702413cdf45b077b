"""From what wrk prints, from samples and from counts to rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench import redis_killed, resize, stampede
from tests.bench.application import Side
from tests.bench.compare import Samples, result
from tests.bench.cores import Busy
from tests.bench.load import LoadError, Summary

OUTPUT = """Running 3s test @ http://127.0.0.1:1/
  1 threads and 32 connections
Requests/sec:   3000.00
BENCH {"requests": 9000, "microseconds": 3000000, "p50": 9000, "p99": 21500, "max": 40000, %s}
"""
NO_ERRORS = '"status": 0, "connect": 0, "read": 0, "write": 0, "timeout": 0'


def summary(p99: float = 10.0, failed: int = 0) -> Summary:
    return Summary(1000, 1.0, 5.0, p99, failed, f"status {failed}" if failed else "")


def test_a_summary_is_read_from_what_wrk_prints() -> None:
    read = Summary.parse(OUTPUT % NO_ERRORS)
    assert (read.requests_per_second, read.p50_milliseconds, read.p99_milliseconds) == (3000.0, 9.0, 21.5)
    assert (read.failed, read.failures) == (0, "")


def test_bad_statuses_and_broken_connections_are_failures() -> None:
    read = Summary.parse(OUTPUT % '"status": 3, "connect": 1, "read": 2, "write": 0, "timeout": 4')
    assert read.failed == 10
    assert read.failures == "status 3, connect 1, read 2, timeout 4"


def test_no_summary_is_an_error_that_shows_the_output() -> None:
    with pytest.raises(LoadError, match="unable to connect"):
        Summary.parse("unable to connect to 127.0.0.1:1")


def samples(requests: list[float], core: float = 99.0, **more: Any) -> Samples:
    rounds = len(requests)
    return Samples(requests, requests, [10.0] * rounds, [core] * rounds, [core] * rounds, [50.0] * rounds, **more)


def test_a_round_is_the_sum_of_its_slices() -> None:
    one, other = Samples(), (Summary(100, 1.0, 1.0, 5.0, 0, ""), Busy(90, 80, 50, application_seconds=0.5))
    one.add("ours", [other, (Summary(300, 1.0, 1.0, 9.0, 2, "read 2"), Busy(98, 96, 40, application_seconds=0.75))])
    assert (one.requests_per_second, one.requests_per_cpu_second) == ([200.0], [320.0])
    assert (one.p99_milliseconds, one.server_core_percent) == ([7.0], [94.0])
    assert one.failures == ["2 of 300 requests of ours failed (read 2)"]


def test_the_median_of_the_ratios_is_the_value() -> None:
    row = result("db_read_vs_guide_orm", samples([300, 100, 290]), samples([100, 50, 100]), "ours", "guide")
    assert row.value == 2.9
    assert list(row.runs) == [3.0, 2.0, 2.9]
    assert row.met
    assert row.details["ours"]["requestsPerSecondRuns"] == [300, 100, 290]


def test_failed_requests_spoil_a_ratio() -> None:
    failing = samples([300.0], failures=["7 of 300 requests of ours failed (status 7)"])
    row = result("db_read_vs_guide_orm", failing, samples([100.0]), "ours", "guide")
    assert not row.met
    assert row.problem == "7 of 300 requests of ours failed (status 7)"


def test_a_rival_that_waits_for_the_client_proves_nothing() -> None:
    row = result("db_read_vs_guide_orm", samples([300.0]), samples([100.0], core=60.0), "ours", "guide")
    assert not row.met
    assert "guide was busy for 60% only" in str(row.problem)
    # Ours idle is to our own loss.
    assert result("db_read_vs_guide_orm", samples([300.0], core=60.0), samples([100.0]), "ours", "guide").met


def test_failures_of_all_rounds_of_resizing_count() -> None:
    steady = [summary(10.0), summary(20.0), summary(10.0)]
    resizing = [summary(11.0), summary(60.0, failed=2), summary(12.0)]
    failed, p99 = resize.results(steady, resizing, 100)
    assert (failed.value, list(failed.runs), failed.met) == (2, [0, 2, 0], False)
    assert (p99.value, p99.met) == (1.2, True)
    assert not any(row.met for row in resize.results(steady, resizing, 99))


def test_reads_beyond_one_an_expiry_are_a_stampede() -> None:
    quiet = stampede.result([[1] * 6, [1] * 6], [6, 6], 0)
    assert (quiet.value, quiet.met) == (1.0, True)
    trampled = stampede.result([[1] * 6, [1, 1, 200, 1, 1, 1]], [6, 205], 0)
    assert (trampled.value, trampled.details["largest"], trampled.met) == (211 / 12, 200, False)


@pytest.mark.parametrize(
    ("sizes", "calls", "failed", "problem"),
    [
        ([[1, 1]], [2], 0, "fewer than 4 expiries"),  # whoever never reads again has no stampede either
        ([[]], [0], 0, "fewer than 4 expiries"),
        ([[1] * 6], [9], 0, "the database counted 9 reads, the application 6"),
        ([[1] * 6], [6], 1, "1 requests failed"),
    ],
)
def test_a_stampede_row_that_proves_nothing(
    sizes: list[list[int]], calls: list[int], failed: int, problem: str
) -> None:
    row = stampede.result(sizes, calls, failed)
    assert not row.met
    assert problem in str(row.problem)


def test_redis_must_come_back() -> None:
    assert redis_killed.result([summary()] * 5, [0.2] * 5).met
    assert redis_killed.result([summary(), summary(failed=3)], [0.2, 0.2]).value == 3
    gone = redis_killed.result([summary(), summary()], [0.2, None])
    assert not gone.met
    assert "saw no hits" in str(gone.problem)


def test_everybody_is_served_the_same_way() -> None:
    ours = Side("ours", "tests.bench.ours:database_reads", "/", is_factory=True).command(80)
    theirs = Side("raw", "tests.bench.baselines.raw_asyncpg:app", "/").command(80)
    assert [part for part in ours if part not in theirs] == ["tests.bench.ours:database_reads", "--factory"]
    assert [part for part in theirs if part not in ours] == ["tests.bench.baselines.raw_asyncpg:app"]
