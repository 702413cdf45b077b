"""Whose numbers they are, and how long they are kept."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.unit.tuner_core.build import EPOCH, policy
from tests.unit.tuner_shell.memory_platform import WORKLOAD
from tuner.crds import Bottleneck, SeriesLabels
from tuner.decide.memory import Memory
from tuner.decide.situation import survey
from tuner.model.beliefs import Beliefs, learn
from tuner.observation import Absent, Saturated, Store
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


def pooler_scrape(time: float, index: int = 0, **more: float) -> Scrape:
    """Of a pod with 5 waiting clients, saturated ever since 0, that does 100 transactions/s."""
    at_size = frozenset({("size", "2")})
    values = {
        SIZE: 2.0,
        XACTS: 100 * time,
        ("trimtab_pooler_assignments_total", frozenset()): 100 * time,
        ("trimtab_pooler_clients", frozenset({("state", "waiting")})): 5.0,
        ("trimtab_pooler_saturated_seconds_total", at_size): time,
        ("trimtab_pooler_saturated_transactions_total", at_size): 100 * time,
        ("trimtab_knobs_info", frozenset({("pod_uid", f"p{index}"), ("epoch", ""), ("generation", "0")})): 1.0,
    }
    return Scrape(time, more.get("age", 1.0), values)


def two_poolers() -> Workload:
    pods = tuple(
        Pod("catalog", f"catalog-pooler-{i}", f"p{i}", ready=True, terminating=False, created_at=NOW - 60, ready_at=NOW)
        for i in range(2)
    )
    return Workload("catalog", (), pods, WORKLOAD.target, Store(EPOCH))


def scraped_at(*times: float) -> Look:
    limit = {("pg_settings_max_connections", frozenset[tuple[str, str]]()): 100.0}
    return Look(
        {("catalog", f"catalog-pooler-{i}"): pooler_scrape(time, i) for i, time in enumerate(times)},
        {("catalog", "postgres-0"): Scrape(max(times), 1.0, limit, lowest=100.0)},
    )


async def test_a_look_without_a_new_scrape_repeats_the_last_verdict_and_is_no_evidence() -> None:
    observer, beliefs, verdicts = Observer(), Beliefs(), []
    for turn, times in enumerate([(100.0, 101.0), (105.0, 106.0), (110.0, 111.0), (110.0, 111.0), (110.0, 116.0)]):
        seen = await observer.observe(policy().spec, two_poolers(), scraped_at(*times), NOW + 5 * turn)
        learned = learn(beliefs, seen, max_pods=2)
        assert seen.news is (turn < 3)
        assert seen.news or learned == beliefs
        beliefs = learned
        verdicts.append(survey(policy(), seen, beliefs, Memory(), NOW + 5 * turn).verdict)
    assert [v.bottleneck for v in verdicts[2:]] == [Bottleneck.POOLER] * 3
    assert len(set(verdicts[2:])) == 1, "the same numbers in the same sentence"


async def test_the_next_news_span_everything_since_the_last() -> None:
    observer = Observer()
    for times in [(100.0, 101.0), (105.0, 106.0), (110.0, 106.0)]:
        await observer.observe(policy().spec, two_poolers(), scraped_at(*times), NOW)
    seen = await observer.observe(policy().spec, two_poolers(), scraped_at(115.0, 116.0), NOW)
    assert seen.news and not isinstance(seen.pooler_pods, Absent)
    saturated = [pod.saturated for pod in seen.pooler_pods]
    assert saturated == [(Saturated(2, 10.0, 1000.0),)] * 2, "10 s each, 5 of the first from the look without news"


async def test_a_pod_that_is_not_scraped_any_more_holds_up_no_news() -> None:
    observer = Observer()
    for times in [(100.0, 101.0), (105.0, 106.0)]:
        await observer.observe(policy().spec, two_poolers(), scraped_at(*times), NOW)
    look = scraped_at(155.0, 106.0)
    assert not isinstance(look.pods, Absent)
    look.pods[("catalog", "catalog-pooler-1")] = pooler_scrape(106.0, 1, age=50.0)
    seen = await observer.observe(policy().spec, two_poolers(), look, NOW)
    assert seen.news and not isinstance(seen.pooler_pods, Absent)
    assert isinstance(seen.pooler_pods[1].pool_size, Absent), "older than staleAfterSeconds"


async def test_limits_of_the_database_count_at_once() -> None:
    observer = Observer()
    await observer.observe(policy().spec, two_poolers(), scraped_at(100.0, 101.0), NOW)
    look = scraped_at(100.0, 101.0)
    look = replace(look, databases={("catalog", "postgres-0"): Scrape(105.0, 1.0, {}, lowest=50.0)})
    seen = await observer.observe(policy().spec, two_poolers(), look, NOW)
    assert not seen.news and seen.database.max_connections == 50


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
