"""The cache's series as the tuner reads them: keys summed, failed audits left out, how a group learns of writes."""

from __future__ import annotations

from tuner.observation import CHART_DEFAULTS, Absent, CacheTraffic, present
from tuner.observe.pods import Measured, api_pod
from tuner.observe.scrapes import Growth, Scrape, SeriesKey, growth
from tuner.workload import Pod

POD = Pod("catalog", "catalog-api-0", "uid", ready=True, terminating=False, created_at=0.0, ready_at=1.0)


def series(name: str, **labels: str) -> SeriesKey:
    return f"trimtab_cache_{name}", frozenset(labels.items())


def seen(after: dict[SeriesKey, float]) -> dict[str, CacheTraffic]:
    """What is read of a pod whose counters were all at 0 in the scrape before."""
    scrapes = Scrape(100.0, 1.0, dict.fromkeys(after, 0.0)), Scrape(105.0, 1.0, after)
    grown = growth(*scrapes, 60.0)
    assert isinstance(grown, Growth)
    pod = api_pod(POD, Measured(scrapes[1], grown, grown), CHART_DEFAULTS, 0.15)
    return {traffic.group: traffic for traffic in present(pod.cache) or ()}


HITS = {series("requests_total", group=g, tier="memory", result="hit"): 50.0 for g in ("item", "search")}


def test_an_audit_that_could_not_be_made_is_no_audit() -> None:
    audits = {series("audit_total", group="item", result=r): n for r, n in (("fresh", 7), ("stale", 2), ("error", 40))}
    item = seen(HITS | audits)["item"]
    assert (item.audited_answers, item.stale_answers) == (9.0, 2.0)


def test_the_number_of_keys_is_the_sum_of_their_histogram() -> None:
    bins = {
        series("keys", group="item", reads="1", writes="0"): 800.0,
        series("keys", group="item", reads="8", writes="2"): 30.0,
        series("keys", group="search", reads="1", writes="0"): 5.0,
    }
    assert seen(HITS | bins)["item"].keys == 830.0


def test_how_a_group_learns_of_writes() -> None:
    said = {
        series("group_info", group="item", invalidation="OnWrite"): 1.0,
        series("group_info", group="search", invalidation="None"): 1.0,
        series("l1_ttl_seconds", group="item"): 1.0,
        series("stale_window_seconds", group="search"): 3.0,
    }
    groups = seen(HITS | said)
    assert (groups["item"].invalidation, groups["item"].memory_seconds) == ("OnWrite", 1.0)
    assert (groups["search"].invalidation, groups["search"].window_seconds) == ("None", 3.0)
    assert isinstance(groups["item"].window_seconds, Absent)
    assert isinstance(seen(HITS)["item"].invalidation, Absent)
