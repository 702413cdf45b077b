"""The result of a load test as JSON-ready data. All latencies in milliseconds, rates per second, shares in percent."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from loadtests.plan import LoadPlan
from loadtests.recorder import OUTCOMES, Cell, Recorder, quantile

SCHEMA = 1


def summary(cell: Cell, seconds: float) -> dict[str, Any]:
    """Throughput counts good answers only: a rejected request is no work done."""
    requests = cell.requests
    return {
        "requests": requests,
        "failures": cell.failures,
        "requestsPerSecond": round(cell.outcomes["ok"] / seconds, 2),
        "p50Milliseconds": _rounded(quantile(cell.bins, 0.50)),
        "p95Milliseconds": _rounded(quantile(cell.bins, 0.95)),
        "p99Milliseconds": _rounded(quantile(cell.bins, 0.99)),
        "errorPercent": round(100 * cell.failures / requests, 3) if requests else None,
        "outcomes": {name: cell.outcomes[name] for name in OUTCOMES},
    }


def result(
    plan: LoadPlan, recorder: Recorder, started_at: str, generator: dict[str, Any], users_by_second: list[int]
) -> dict[str, Any]:
    """The whole result; `summary` and `endpoints` cover the hold phase, `seconds` the whole run."""
    first, last = plan.ramp_seconds, plan.total_seconds
    return {
        "schema": SCHEMA,
        "plan": asdict(plan),
        "startedAt": started_at,
        "summary": summary(recorder.total(first, last), last - first),
        "endpoints": {
            endpoint: summary(recorder.total(first, last, endpoint), last - first) for endpoint in recorder.endpoints()
        },
        "seconds": [_second(recorder, second, users_by_second) for second in range(last)],
        "errors": [{"what": what, "count": count} for what, count in recorder.errors.most_common(20)],
        "generator": generator,
    }


def _second(recorder: Recorder, second: int, users_by_second: list[int]) -> dict[str, Any]:
    cell = recorder.total(second, second + 1)
    return {
        "second": second,
        "users": users_by_second[second] if second < len(users_by_second) else None,
        "requests": cell.requests,
        "failures": cell.failures,
        "p50Milliseconds": _rounded(quantile(cell.bins, 0.50)),
        "p95Milliseconds": _rounded(quantile(cell.bins, 0.95)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
