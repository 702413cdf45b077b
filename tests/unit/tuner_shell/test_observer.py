"""Whose numbers they are, and how long they are kept."""

from __future__ import annotations

import math

import pytest

from tests.unit.tuner_core.build import EPOCH, policy
from tests.unit.tuner_shell.memory_platform import WORKLOAD
from tuner.crds import SeriesLabels
from tuner.observation import Absent, Store
from tuner.observe.observer import Observer
from tuner.observe.prometheus import Prometheus, Vector
from tuner.observe.scrapes import Growth, Scrape, growth
from tuner.observe.source import FORGOTTEN_AFTER_SECONDS, Look, Source
from tuner.workload import Pod, Workload

NOW = 1_000_000.0
SIZE = ("trimtab_pooler_pool_size", frozenset[tuple[str, str]]())
XACTS = ("trimtab_pooler_xacts_total", frozenset[tuple[str, str]]())


def info(uid: str, generation: int = 7) -> tuple[str, frozenset[tuple[str, str]]]:
    return (
        "trimtab_knobs_info",
        frozenset({("pod_uid", uid), ("epoch", EPOCH), ("generation", str(generation))}),
    )


def with_pooler(uid: str) -> Workload:
    pod = Pod("catalog", "catalog-pooler-0", uid, ready=True, terminating=False, created_at=NOW - 60, ready_at=NOW - 50)
    return Workload("catalog", (), (pod,), WORKLOAD.target, Store(EPOCH))


def look(time: float, *uids: str, size: int = 30) -> Look:
    scrape = Scrape(time, 1.0, {SIZE: size, XACTS: 10 * time} | {info(uid): 1.0 for uid in uids})
    return Look({("catalog", "catalog-pooler-0"): scrape}, {})


@pytest.mark.parametrize("uids", [("old",), ("old", "new")])
async def test_what_a_former_pod_of_the_name_said_is_not_the_new_ones(uids: tuple[str, ...]) -> None:
    seen = await Observer().observe(policy().spec, with_pooler("new"), look(100.0, *uids), NOW)
    assert not isinstance(seen.pooler_pods, Absent)
    (pod,) = seen.pooler_pods
    assert isinstance(pod.pool_size, Absent) and "earlier pod" in pod.pool_size.reason
    assert any("catalog-pooler-0" in absence.what for absence in seen.absences)


async def test_a_pod_that_was_not_told_its_uid_is_measured_all_the_same() -> None:
    for uid in ("", "new"):
        seen = await Observer().observe(policy().spec, with_pooler("new"), look(100.0, uid), NOW)
        assert not isinstance(seen.pooler_pods, Absent)
        assert seen.pooler_pods[0].pool_size == 30


async def test_exporters_that_are_gone_are_forgotten() -> None:
    observer = Observer()
    for turn in range(20):
        time = 100.0 + 60 * turn
        databases = {("catalog", f"exporter-{turn}"): Scrape(time, 1.0, {})}
        await observer.observe(policy().spec, WORKLOAD, Look({}, databases), NOW + time)
    assert len(observer._tracks) <= 2


async def test_namespaces_that_nobody_asks_for_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 0.0, []

    class Recording(Prometheus):
        async def query(self, promql: str) -> Vector:
            asked.append(promql)
            return Vector(now, ())

    source = Source(Recording("http://127.0.0.1:9"), SeriesLabels(), monotonic=lambda: now)
    await source.look("gone")
    now = FORGOTTEN_AFTER_SECONDS + 1
    await source.look("catalog")
    assert "gone" in asked[0] and "gone" not in asked[-1]


def test_a_counter_that_was_no_number_before_teaches_nothing() -> None:
    grown = growth(Scrape(100, 1, {XACTS: math.nan}), Scrape(105, 1, {XACTS: 5.0}), 60)
    assert isinstance(grown, Growth) and isinstance(grown.rate(XACTS[0]), Absent)
