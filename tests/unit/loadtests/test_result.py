from __future__ import annotations

import math
from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.__main__ import parser, plan_of
from loadtests.job import manifest
from loadtests.mix import Mix
from loadtests.plan import LoadPlan
from loadtests.recorder import Recorder, bin_of, quantile
from loadtests.result import result
from loadtests.stream import Progress, progress_line, read_line, result_line

PLAN = LoadPlan(url="http://api:8000", users=2, ramp_seconds=1, hold_seconds=2)


@given(st.lists(st.floats(0.06, 100_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_one_percent_of_the_nearest_rank(latencies: list[float], q: float) -> None:
    bins = Counter(bin_of(latency) for latency in latencies)
    exact = sorted(latencies)[max(1, math.ceil(q * len(latencies))) - 1]
    measured = quantile(bins, q)
    assert measured is not None
    assert abs(measured / exact - 1) <= 0.0101


def test_no_sample_has_no_quantile() -> None:
    assert quantile(Counter(), 0.5) is None


def recorded() -> Recorder:
    recorder = Recorder()
    recorder.record(0, "read", 1000.0, "ok")  # while ramping: not measured
    for _ in range(6):
        recorder.record(1, "read", 10.0, "ok")
    recorder.record(2, "read", 10.0, "rejected")
    recorder.record(2, "order", 20.0, "server", "500 on POST /orders")
    return recorder


def test_the_summary_covers_the_hold_phase_and_counts_good_answers_only() -> None:
    outcome = result(PLAN, recorded(), "2026-01-01T00:00:00+00:00", {}, [1, 2, 2])
    summary = outcome["summary"]
    assert summary["requests"] == 8
    assert summary["requestsPerSecond"] == 3.0
    assert summary["errorPercent"] == 25.0
    assert summary["outcomes"] == {"ok": 6, "rejected": 1, "connection": 0, "server": 1, "client": 0}
    assert summary["p99Milliseconds"] < 25
    assert outcome["endpoints"]["order"]["failures"] == 1
    assert [second["requests"] for second in outcome["seconds"]] == [1, 6, 2]
    assert {"what": "order: 500 on POST /orders", "count": 1} in outcome["errors"]


def test_the_result_survives_the_log() -> None:
    outcome = result(PLAN, recorded(), "2026-01-01T00:00:00+00:00", {}, [1, 2, 2])
    assert read_line(result_line(outcome)) == outcome
    progress = Progress(done=1, total=3, users=1, requests_per_second=2.0, p95_milliseconds=None, failures=0)
    assert read_line(progress_line(progress)) == progress
    assert read_line("[INFO] locust: Ramping to 2 users") is None
    assert read_line("{not json") is None


def test_percentiles_are_of_their_rank() -> None:
    recorder = Recorder()
    for milliseconds in range(1, 101):
        recorder.record(1, "read", float(milliseconds), "ok")
    summary = result(PLAN, recorder, "2026-01-01T00:00:00+00:00", {}, [1, 2, 2])["summary"]
    found = [summary[f"p{percent}Milliseconds"] for percent in (50, 95, 99)]
    assert found == [pytest.approx(rank, rel=0.0101) for rank in (50, 95, 99)]


def test_the_job_runs_the_whole_plan() -> None:
    plan = LoadPlan(
        url="http://api:8000", users=3, ramp_seconds=2, hold_seconds=7, think_milliseconds=11, items=13,
        zipf_percent=70, seed=17, sign_in_seconds=19, mix=Mix({"read": 75, "report": 25}),
    )  # fmt: skip
    assert all(getattr(plan, field.name) != field.default for field in fields(plan)), "a default would not show"
    (container,) = manifest("loadtest", "catalog", "image", plan)["spec"]["template"]["spec"]["containers"]
    arguments = [*container["command"][3:], *container["args"]]
    assert plan_of(parser().parse_args(arguments)) == plan


def test_the_job_is_never_retried_and_runs_restricted() -> None:
    spec = manifest("loadtest", "catalog", "localhost/trimtab/loadtests:x", PLAN)["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["activeDeadlineSeconds"] > PLAN.total_seconds
    pod = spec["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    container = pod["containers"][0]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["args"][2:4] == ["--users", "2"]
