"""Differences of counters: by the scrapes' own times, never over a reset, never extrapolated."""

from __future__ import annotations

import math

from tuner.crds import SeriesLabels
from tuner.observation import Absent
from tuner.observe.prometheus import Sample, Vector
from tuner.observe.queries import ALL, KIND_OF, SCRAPED, SIGNAL, Kind, database_query, pods_query
from tuner.observe.scrapes import Growth, Scrape, growth, scrapes_by_pod

XACTS = ("trimtab_pooler_xacts_total", frozenset[tuple[str, str]]())
STARTED = ("process_start_time_seconds", frozenset[tuple[str, str]]())


def scrape(time: float, xacts: float, **more: float) -> Scrape:
    values = {XACTS: xacts}
    if "started" in more:
        values[STARTED] = more["started"]
    return Scrape(time, 1.0, values)


def test_a_rate_spans_the_time_between_two_scrapes() -> None:
    grown = growth(scrape(100.0, 1000), scrape(104.0, 1800), 60)
    assert isinstance(grown, Growth)
    assert grown.rate("trimtab_pooler_xacts_total") == 200.0


def test_one_scrape_tells_no_rate() -> None:
    assert isinstance(growth(None, scrape(1, 1), 60), Absent)


def test_the_same_scrape_twice_tells_no_rate() -> None:
    assert isinstance(growth(scrape(100, 5), scrape(100, 5), 60), Absent)


def test_a_counter_that_fell_was_reset() -> None:
    grown = growth(scrape(100, 1000), scrape(105, 10), 60)
    assert isinstance(grown, Absent) and "trimtab_pooler_xacts_total was reset" in grown.reason


def test_a_restart_is_seen_even_when_the_counter_has_grown_past_its_old_value() -> None:
    grown = growth(scrape(100, 10, started=1.0), scrape(160, 5000, started=130.0), 120)
    assert isinstance(grown, Absent) and "restarted" in grown.reason


def test_a_gap_that_is_too_long_is_no_interval() -> None:
    assert isinstance(growth(scrape(0, 1), scrape(61, 2), 60), Absent)


def test_a_series_that_appears_began_at_zero() -> None:
    new = ("http_request_duration_seconds_count", frozenset({("status", "500")}))
    after = Scrape(110, 0, {XACTS: 20, new: 7})
    grown = growth(scrape(100, 10), after, 60)
    assert isinstance(grown, Growth)
    assert grown.total("http_request_duration_seconds_count") == 7


def test_a_statement_that_enters_the_top_is_not_a_burst() -> None:
    def calls(**by: float) -> Scrape:
        return Scrape(
            by.pop("time"),
            0,
            {("trimtab_pg_statement_calls_total", frozenset({("queryid", q)})): n for q, n in by.items()},
        )

    grown = growth(calls(time=0, a=100, other=9000), calls(time=10, a=150, b=4000, other=5100), 60)
    assert isinstance(grown, Growth)
    assert grown.by_label("trimtab_pg_statement_calls_total", "queryid") == {"a": 50}


def test_nan_is_no_number_and_missing_is_not_zero() -> None:
    held = Scrape(0, 0, {("trimtab_pool_size", frozenset()): math.nan})
    assert isinstance(held.gauge("trimtab_pool_size"), Absent)
    assert isinstance(held.gauge("trimtab_pool_checked_out"), Absent)
    grown = growth(scrape(0, 1), scrape(10, 2), 60)
    assert isinstance(grown, Growth) and isinstance(grown.rate("trimtab_pooler_queries_total"), Absent)


def test_samples_are_sorted_by_pod_and_dated() -> None:
    labels = {"namespace": "shop", "pod": "a"}
    vector = Vector(
        1000.0,
        (
            Sample({**labels, "__name__": "trimtab_pool_size"}, 4),
            Sample({**labels, SIGNAL: SCRAPED}, 990.0),
            Sample({"namespace": "shop", "pod": "undated", "__name__": "trimtab_pool_size"}, 4),
        ),
    )
    scrapes = scrapes_by_pod(vector, SeriesLabels())
    assert set(scrapes) == {("shop", "a")}
    assert scrapes["shop", "a"].age_seconds == 10.0
    assert scrapes["shop", "a"].gauge("trimtab_pool_size") == 4


def test_the_number_of_queries_does_not_grow_with_namespaces() -> None:
    names = [f"team-{n}" for n in range(100)]
    assert "team-99" in pods_query(SeriesLabels(), names) and "team-0|" in database_query(SeriesLabels(), names)


def test_the_table_says_unit_meaning_and_absence_of_every_series() -> None:
    for series in ALL:
        assert series.unit and series.meaning and series.when_absent, series.name
        counter = series.name.endswith(("_total", "_sum", "_count", "_bucket"))
        assert (KIND_OF[series.name] is Kind.COUNTER) == counter, series.name
