"""The observer against a real Prometheus: what is there is right, what is not there is absent with its reason."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import pytest

from tests.integration.tuner.conftest import Watched, api_page, pooler_page
from tests.integration.tuner.exporter import growing
from tuner.observation import CHART_DEFAULTS, Absent, Observation, PoolerPod, present

PATIENCE_SECONDS = 30.0


async def until(watched: Watched, holds: Callable[[Observation], bool]) -> Observation:
    """The first observation for which `holds`; looks go on as ticks would."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        seen = await watched.look()
        if holds(seen):
            return seen
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s; last seen: {seen}"
        await asyncio.sleep(0.3)


def pooler(seen: Observation) -> PoolerPod:
    pods = present(seen.pooler_pods)
    assert pods is not None
    return pods[0]


def rate_known(seen: Observation) -> bool:
    return not isinstance(pooler(seen).transactions_per_second, Absent)


async def test_rates_are_differences_between_scrapes(watched: Watched) -> None:
    watched.exporter.pages["pooler-0"] = pooler_page(growing(200))
    watched.exporter.pages["api-0"] = api_page(growing(100), growing(90))
    watched.exporter.pages["postgres-0"] = {"pg_settings_max_connections": 100}
    both = await until(
        watched, lambda s: rate_known(s) and not isinstance((present(s.api_pods) or ())[0].bad_per_second, Absent)
    )
    api = (present(both.api_pods) or ())[0]
    # The counters grow by wall time and a scrape takes time too: a few percent, not more.
    assert pooler(both).transactions_per_second == pytest.approx(200, rel=0.25)
    assert api.arrivals_per_second == pytest.approx(100, rel=0.25)
    assert api.bad_per_second == pytest.approx(10, rel=0.5)
    assert pooler(both).pool_size == 6 and pooler(both).clients_waiting == 3
    assert pooler(both).acknowledged == CHART_DEFAULTS
    assert isinstance(pooler(both).wait_seconds_per_second, Absent)
    known = await until(watched, lambda s: not isinstance(s.database.max_connections, Absent))
    assert known.database.max_connections == 100
    assert isinstance(known.metrics_age_seconds, float) and known.metrics_age_seconds < 10


async def test_no_pod_is_measured_at_first_and_none_is_zero(watched: Watched) -> None:
    seen = await watched.look()
    assert isinstance(pooler(seen).transactions_per_second, Absent)
    assert isinstance(pooler(seen).pool_size, Absent)
    assert {absence.what for absence in seen.absences} == {"pod api-0", "pod pooler-0"}
    assert all("is it scraped" in absence.reason for absence in seen.absences)


@pytest.mark.long
async def test_a_value_that_is_no_number_is_absent_alone(watched: Watched) -> None:
    page = pooler_page(growing(200))
    page["trimtab_pooler_max_wait_seconds"] = math.nan
    watched.exporter.pages["pooler-0"] = page
    seen = await until(watched, rate_known)
    assert isinstance(pooler(seen).max_wait_seconds, Absent)
    assert pooler(seen).pool_size == 6


async def test_a_reset_counter_is_absent_for_one_interval_and_never_negative(watched: Watched) -> None:
    watched.exporter.pages["pooler-0"] = pooler_page(growing(200, start=1e6))
    await until(watched, rate_known)
    watched.exporter.pages["pooler-0"] = pooler_page(growing(50))
    reset = await until(watched, lambda s: not rate_known(s))
    reason = pooler(reset).transactions_per_second
    assert isinstance(reason, Absent) and "was reset" in reason.reason
    again = await until(watched, rate_known)
    assert pooler(again).transactions_per_second == pytest.approx(50, rel=0.5)


@pytest.mark.long
async def test_a_target_that_is_gone_leaves_no_stale_number(watched: Watched) -> None:
    watched.exporter.pages["pooler-0"] = pooler_page(growing(200))
    await until(watched, rate_known)
    del watched.exporter.pages["pooler-0"]
    gone = await until(watched, lambda s: not rate_known(s))
    assert isinstance(pooler(gone).pool_size, Absent)
    assert isinstance(pooler(gone).acknowledged, Absent)


async def test_a_prometheus_that_was_killed_is_a_reason_and_its_return_is_seen(watched: Watched) -> None:
    watched.exporter.pages["pooler-0"] = pooler_page(growing(200))
    await until(watched, rate_known)
    watched.server.kill()
    seen = await watched.look()
    assert isinstance(seen.metrics_age_seconds, Absent)
    assert "cannot be reached" in seen.metrics_age_seconds.reason
    assert isinstance(pooler(seen).transactions_per_second, Absent)
    assert "cannot be reached" in seen.absences[0].reason
    watched.server.start()
    await until(watched, rate_known)
