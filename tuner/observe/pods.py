"""One pod of the workload as its newest scrape shows it. What the scrape lacks becomes an absence with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tuner.observation import (
    CHART_DEFAULTS,
    Absent,
    Acknowledgement,
    ApiPod,
    CacheTraffic,
    Maybe,
    PoolerPod,
    Saturated,
    present,
)
from tuner.observe.scrapes import Growth, Scrape
from tuner.workload import Pod

KNOBS_INFO = "trimtab_knobs_info"
GROUP_INFO = "trimtab_cache_group_info"
SERVED_FROM_CACHE = {"hit", "stale", "negative"}
WENT_TO_DATABASE = {"miss", "error"}
AUDITED = {"fresh", "stale"}
"""Results of an audit that says something; `error` is one that could not be made."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one pod's numbers. `recent` is how its counters grew up to the newest scrape; `since` the same
    since the previous look, absent when there was no new scrape: what is counted once must not be counted twice."""

    scrape: Maybe[Scrape]
    recent: Maybe[Growth]
    since: Maybe[Growth]

    def gauge(self, name: str) -> Maybe[float]:
        return self.scrape if isinstance(self.scrape, Absent) else self.scrape.gauge(name)

    def count(self, name: str) -> Maybe[int]:
        value = self.gauge(name)
        return value if isinstance(value, Absent) else round(value)

    def size(self, name: str) -> Maybe[int]:
        """A size in force; 0 would mean unlimited and is never believed."""
        value = self.count(name)
        return Absent(f"{name} is {value}") if not isinstance(value, Absent) and value < 1 else value

    def by_label(self, name: str, label: str) -> Maybe[dict[str, float]]:
        return self.scrape if isinstance(self.scrape, Absent) else self.scrape.by_label(name, label)

    def rate(self, name: str, chosen: Callable[[Mapping[str, str]], bool] = lambda _: True) -> Maybe[float]:
        return self.recent if isinstance(self.recent, Absent) else self.recent.rate(name, chosen)


def acknowledgement(pod: Pod, scrape: Maybe[Scrape]) -> Maybe[Acknowledgement]:
    """The document that this very pod (by UID) says it has applied."""
    if isinstance(scrape, Absent):
        return scrape
    claims = [dict(labels) for (name, labels), value in scrape.values.items() if name == KNOBS_INFO and value > 0]
    if not claims:
        return Absent(f"{KNOBS_INFO} is missing")
    mine = [claim for claim in claims if claim.get("pod_uid") == pod.uid]
    if not mine:
        return Absent("its metrics are still those of an earlier pod of the same name")
    return parse_claims(mine)


def is_of_another(pod: Pod, scrape: Scrape) -> bool:
    """Whether a pod with another UID speaks in `scrape`, alone or in the same sums: then no number in it is this pod's.

    Prometheus shows a StatefulSet's former pod under the new one's name until its series are marked stale.
    """
    claims = [dict(labels) for (name, labels), value in scrape.values.items() if name == KNOBS_INFO and value > 0]
    return any(claim.get("pod_uid", "") not in ("", pod.uid) for claim in claims)


def parse_claims(claims: list[dict[str, str]]) -> Maybe[Acknowledgement]:
    """One acknowledgement from the labels of `trimtab_knobs_info`; two that differ confirm nothing."""
    found = set()
    for claim in claims:
        try:
            generation = int(claim.get("generation") or 0)
        except ValueError:
            return Absent(f"{KNOBS_INFO} has generation {claim['generation']!r}, which is no number")
        found.add(Acknowledgement(claim.get("epoch", ""), generation) if generation else CHART_DEFAULTS)
    if len(found) > 1:
        return Absent(f"{KNOBS_INFO} names {len(found)} documents at once")
    return found.pop()


def api_pod(pod: Pod, measured: Measured, acknowledged: Maybe[Acknowledgement], objective_seconds: float) -> ApiPod:
    return ApiPod(
        name=pod.name,
        uid=pod.uid,
        ready=pod.ready and not pod.terminating,
        acknowledged=acknowledged,
        pool_size=measured.size("trimtab_pool_size"),
        checked_out=measured.gauge("trimtab_pool_checked_out"),
        checkout_wait_seconds_per_second=measured.rate("trimtab_pool_checkout_seconds_sum"),
        checkouts_per_second=measured.rate("trimtab_pool_checkout_seconds_count"),
        arrivals_per_second=measured.rate("http_request_duration_seconds_count"),
        bad_per_second=_bad_rate(measured.recent, objective_seconds),
        in_flight=measured.gauge("trimtab_admission_in_flight"),
        concurrency_limit=measured.size("trimtab_admission_limit"),
        cpu_cores=measured.rate("process_cpu_seconds_total"),
        cpu_limit_cores=measured.gauge("trimtab_cpu_limit_cores"),
        cache=_cache(measured),
    )


def pooler_pod(pod: Pod, measured: Measured, acknowledged: Maybe[Acknowledgement]) -> PoolerPod:
    clients = measured.by_label("trimtab_pooler_clients", "state")
    return PoolerPod(
        name=pod.name,
        uid=pod.uid,
        ready=pod.ready and not pod.terminating,
        acknowledged=acknowledged,
        pool_size=measured.size("trimtab_pooler_pool_size"),
        transactions_per_second=measured.rate("trimtab_pooler_xacts_total"),
        transaction_seconds_per_second=measured.rate("trimtab_pooler_xact_seconds_total"),
        queries_per_second=measured.rate("trimtab_pooler_queries_total"),
        query_seconds_per_second=measured.rate("trimtab_pooler_query_seconds_total"),
        wait_seconds_per_second=measured.rate("trimtab_pooler_wait_seconds_total"),
        assignments_per_second=measured.rate("trimtab_pooler_assignments_total"),
        max_wait_seconds=measured.gauge("trimtab_pooler_max_wait_seconds"),
        servers=measured.by_label("trimtab_pooler_servers", "state"),
        clients_active=_state(clients, "active"),
        clients_waiting=_state(clients, "waiting"),
        saturated=_saturated(measured.since),
    )


def _state(counts: Maybe[dict[str, float]], state: str) -> Maybe[float]:
    if isinstance(counts, Absent):
        return counts
    return counts.get(state, Absent(f"no clients in state {state} are exported"))


def _bad_rate(growth: Maybe[Growth], objective_seconds: float) -> Maybe[float]:
    """Requests/s that failed or took longer than the objective, without those that admission shed on purpose.

    bad = answered - (answered without a 5xx within the objective) - shed. The objective is read at the smallest bucket
    that is not below it.
    """
    if isinstance(growth, Absent):
        return growth
    answered = growth.total("http_request_duration_seconds_count")
    if isinstance(answered, Absent):
        return answered
    limits = {float(le): le for le in growth.by_label("http_request_duration_seconds_bucket", "le")}
    above = [bound for bound in limits if bound >= objective_seconds]
    if not above:
        return Absent("http_request_duration_seconds has no bucket at or above the objective")
    limit = limits[min(above)]
    good = growth.total(
        "http_request_duration_seconds_bucket",
        lambda labels: labels.get("le") == limit and not labels.get("status", "").startswith("5"),
    )
    if isinstance(good, Absent):
        return good
    shed = present(growth.total("trimtab_admission_rejected_total")) or 0.0
    return max(0.0, answered - good - shed) / growth.seconds


def _saturated(since: Maybe[Growth]) -> Maybe[tuple[Saturated, ...]]:
    if isinstance(since, Absent):
        return since
    seconds = since.by_label("trimtab_pooler_saturated_seconds_total", "size")
    transactions = since.by_label("trimtab_pooler_saturated_transactions_total", "size")
    return tuple(
        Saturated(int(size), spent, transactions.get(size, 0.0))
        for size, spent in sorted(seconds.items())
        if size.isdecimal() and int(size) > 0 and spent > 0
    )


def _cache(measured: Measured) -> Maybe[tuple[CacheTraffic, ...]]:
    growth = measured.recent
    if isinstance(growth, Absent):
        return growth
    lookups = "trimtab_cache_requests_total"
    if not growth.has(lookups):
        return Absent(f"{lookups} is missing")
    groups = sorted(growth.by_label(lookups, "group"))
    return tuple(_group(group, measured, growth) for group in groups if group)


def _group(group: str, measured: Measured, growth: Growth) -> CacheTraffic:
    def of(results: set[str], tier: str | None = None) -> Callable[[Mapping[str, str]], bool]:
        return lambda labels: (
            labels.get("group") == group
            and labels.get("result") in results
            and (tier is None or labels.get("tier") == tier)
        )

    lookups = "trimtab_cache_requests_total"
    since = measured.since
    audited: Maybe[float]
    stale: Maybe[float]
    if isinstance(since, Absent):
        audited = stale = since
    else:
        audited = since.total("trimtab_cache_audit_total", of(AUDITED))
        stale = since.total("trimtab_cache_audit_total", of({"stale"}))
    writes = growth.rate("trimtab_cache_writes_total", lambda labels: labels.get("group") == group)
    return CacheTraffic(
        group=group,
        hits_per_second=present(growth.rate(lookups, of(SERVED_FROM_CACHE))) or 0.0,
        misses_per_second=present(growth.rate(lookups, of(WENT_TO_DATABASE, _last_tier(growth, group)))) or 0.0,
        ttl_seconds=_of_group(measured.by_label("trimtab_cache_ttl_seconds", "group"), group),
        writes_per_second=writes,
        keys=_of_group(measured.by_label("trimtab_cache_keys", "group"), group),
        invalidation=_invalidation(measured.scrape, group),
        memory_seconds=_of_group(measured.by_label("trimtab_cache_l1_ttl_seconds", "group"), group),
        window_seconds=_of_group(measured.by_label("trimtab_cache_stale_window_seconds", "group"), group),
        stale_answers=stale,
        audited_answers=audited,
    )


def _invalidation(scrape: Maybe[Scrape], group: str) -> Maybe[str]:
    if isinstance(scrape, Absent):
        return scrape
    said = [dict(labels) for (name, labels), value in scrape.values.items() if name == GROUP_INFO and value > 0]
    found = {labels.get("invalidation", "") for labels in said if labels.get("group") == group}
    return found.pop() if len(found) == 1 else Absent(f"{GROUP_INFO} is missing or says several things")


def _last_tier(growth: Growth, group: str) -> str | None:
    """The tier behind which only the database is: a miss in an earlier one is a lookup in the next, not a read."""
    seen = {(dict(labels).get("group"), dict(labels).get("tier")) for _, labels in growth.amounts}
    return "redis" if (group, "redis") in seen else None


def _of_group(values: Maybe[dict[str, float]], group: str) -> Maybe[float]:
    if isinstance(values, Absent):
        return values
    return values.get(group, Absent("not exported for this group"))
