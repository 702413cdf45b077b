"""Every PromQL that the tuner sends, and every series that it reads, in one table.

Two queries a look, however many policies and pods there are: one over the pods, one over the database's exporter. Each
sums a list of series by the pod and by the few labels that matter, and carries the time of the scrape along, so that
values and their time come from one evaluation: differences of counters are then divided by the time that truly passed
between two scrapes. (`increase()` extrapolates to the window's edges; with scrapes of 5 s that is an error of 10%.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tuner.crds import SeriesLabels


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Series:
    """One series that is read: its unit, its meaning, and what follows where it is absent."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    when_absent: str
    labels: tuple[str, ...] = ()


def _counter(name: str, unit: str, meaning: str, when_absent: str, *labels: str) -> Series:
    return Series(name, Kind.COUNTER, unit, meaning, when_absent, labels)


def _gauge(name: str, unit: str, meaning: str, when_absent: str, *labels: str) -> Series:
    return Series(name, Kind.GAUGE, unit, meaning, when_absent, labels)


HOLD = "nothing that needs it moves"
NO_REPLICAS = "replicas stay"
NO_POOL = "the pool stays"
NO_TTL = "the group's TTL stays"

EVERY_POD = (
    Series(
        "trimtab_knobs_info", Kind.INFO, "1", "document that the pod has applied",
        "the pod has confirmed nothing: its document stays charged", ("pod_uid", "epoch", "generation"),
    ),
    _gauge("process_start_time_seconds", "s since the epoch", "start of the process", "resets are seen by a fall only"),
)  # fmt: skip

API_POD = (
    _counter("http_request_duration_seconds_count", "requests", "requests answered", NO_REPLICAS, "status"),
    _counter(
        "http_request_duration_seconds_bucket", "requests", "requests answered within `le`",
        "no change is verified by bad requests", "status", "le",
    ),
    _gauge("trimtab_pool_size", "connections", "limit of the pod's pool", HOLD),
    _gauge("trimtab_pool_checked_out", "connections", "connections in use", HOLD),
    _counter("trimtab_pool_checkout_seconds_sum", "s", "time spent waiting for a connection", "no verdict AppPool"),
    _counter("trimtab_pool_checkout_seconds_count", "checkouts", "connections handed out", "no verdict AppPool"),
    _gauge("trimtab_admission_limit", "requests", "ceiling of admission", "apiConcurrency stays"),
    _gauge("trimtab_admission_in_flight", "requests", "requests admitted now", HOLD),
    _counter("trimtab_admission_rejected_total", "requests", "requests shed on purpose", "counted as failed"),
    _counter("process_cpu_seconds_total", "core s", "CPU time used", NO_REPLICAS),
    _gauge("trimtab_cpu_limit_cores", "cores", "CPU limit of the container", "the verdict Replicas is Unknown"),
    _counter("trimtab_cache_requests_total", "lookups", "lookups in the cache", NO_TTL, "group", "tier", "result"),
    _counter("trimtab_cache_writes_total", "writes", "writes that invalidate", NO_TTL, "group"),
    _gauge("trimtab_cache_ttl_seconds", "s", "TTL in force", NO_TTL, "group"),
    _gauge("trimtab_cache_keys", "keys", "keys of the group that were read", "writes by key are unknown", "group"),
    Series("trimtab_cache_group_info", Kind.INFO, "1", "how the group learns of writes",
           "every write counts as one that makes entries stale", ("group", "invalidation")),
    _gauge("trimtab_cache_l1_ttl_seconds", "s", "longest life in memory beyond the TTL", "there is none", "group"),
    _gauge("trimtab_cache_stale_window_seconds", "s", "served beyond the TTL", "there is none", "group"),
    _counter("trimtab_cache_audit_total", "answers", "cached answers read again", "staleness is predicted only",
             "group", "result"),
)  # fmt: skip

POOLER_POD = (
    _gauge("trimtab_pooler_pool_size", "connections", "servers that the pod may open", NO_POOL),
    _counter("trimtab_pooler_queries_total", "queries", "queries completed", NO_POOL),
    _counter("trimtab_pooler_query_seconds_total", "s", "time servers spent on queries", NO_POOL),
    _counter("trimtab_pooler_xacts_total", "transactions", "transactions completed", NO_POOL),
    _counter("trimtab_pooler_xact_seconds_total", "s", "time servers were held", NO_POOL),
    _counter("trimtab_pooler_wait_seconds_total", "s", "time clients waited for a server", NO_POOL),
    _counter("trimtab_pooler_assignments_total", "assignments", "servers assigned to clients", NO_POOL),
    _gauge("trimtab_pooler_servers", "connections", "server connections by state", NO_POOL, "state"),
    _gauge("trimtab_pooler_clients", "connections", "client connections by state", NO_POOL, "state"),
    _gauge("trimtab_pooler_max_wait_seconds", "s", "wait of the client that waits longest", NO_POOL),
    _counter("trimtab_pooler_saturated_seconds_total", "s", "time with a queue, by pool size", "nothing is learned",
             "size"),
    _counter("trimtab_pooler_saturated_transactions_total", "transactions", "transactions done in that time",
             "nothing is learned", "size"),
)  # fmt: skip

DATABASE = (
    _gauge("pg_settings_max_connections", "connections", "max_connections of the server",
           "spec.database.maxConnections is needed"),
    _gauge("pg_settings_superuser_reserved_connections", "connections", "reserved for superusers", "not compared"),
    _gauge("trimtab_pg_backends", "connections", "client backends by role", "a first budget needs the pods' sizes",
           "role"),
    _gauge("pg_roles_connection_limit", "connections", "CONNECTION LIMIT by role", "the fence is not compared",
           "rolname"),
    _counter("trimtab_pg_statement_calls_total", "calls", "executions", "the mix is unknown", "queryid"),
    _counter("trimtab_pg_statement_seconds_total", "s", "time of execution", "the mix is unknown", "queryid"),
)  # fmt: skip

PODS = EVERY_POD + API_POD + POOLER_POD
ALL = PODS + DATABASE
KIND_OF = {series.name: series.kind for series in ALL}

SIGNAL = "trimtab_signal"
"""Label that marks what is no plain sum: `scraped`, the time of the scrape; `lowest`, the least value of 5 minutes."""

SCRAPED = "scraped"
LOWEST = "lowest"


def _selector(names: Iterable[str], label: str, namespaces: Iterable[str]) -> str:
    """Series of these names in these namespaces. Both are of letters, digits, `_`, `-`: nothing is escaped."""
    return f'{{__name__=~"{"|".join(names)}",{label}=~"{"|".join(sorted(namespaces))}"}}'


def _marked(expression: str, signal: str) -> str:
    return f'label_replace({expression}, "{SIGNAL}", "{signal}", "", "")'


def _sums(table: tuple[Series, ...], labels: SeriesLabels, namespaces: Iterable[str]) -> str:
    by = [labels.namespace, labels.pod, *dict.fromkeys(label for series in table for label in series.labels)]
    selector = _selector((series.name for series in table), labels.namespace, namespaces)
    return f"sum by (__name__, {', '.join(by)}) ({selector})"


def _scraped(name: str, labels: SeriesLabels, namespaces: Iterable[str]) -> str:
    selector = _selector([name], labels.namespace, namespaces)
    return f"max by ({labels.namespace}, {labels.pod}) (timestamp({selector}))"


def pods_query(labels: SeriesLabels, namespaces: Iterable[str]) -> str:
    """All pods of these namespaces: the sums, and when each pod was scraped."""
    names = list(namespaces)
    scraped = " or ".join(_scraped(series.name, labels, names) for series in EVERY_POD)
    return f"{_sums(PODS, labels, names)} or {_marked(scraped, SCRAPED)}"


def database_query(labels: SeriesLabels, namespaces: Iterable[str]) -> str:
    """The databases' exporters in these namespaces."""
    names = list(namespaces)
    limit = _selector(["pg_settings_max_connections"], labels.namespace, names)
    lowest = f"min by ({labels.namespace}, {labels.pod}) (min_over_time({limit}[5m]))"
    scraped = _scraped("pg_settings_max_connections", labels, names)
    return f"{_sums(DATABASE, labels, names)} or {_marked(lowest, LOWEST)} or {_marked(scraped, SCRAPED)}"
