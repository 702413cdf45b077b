"""The pooler pod's metrics (CONTRACTS.md), made from the last sample when Prometheus asks.

While PgBouncer cannot be seen the gauges are absent, since absent is not zero; counters stay, they are history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from services.pooler.accounting import Sample, Totals


@dataclass(frozen=True)
class Snapshot:
    """What the agent knows: `sample` is None before the first one and while PgBouncer cannot be seen."""

    totals: Totals
    sample: Sample | None


class PoolerCollector(Collector):
    """Renders whatever `snapshot` returns; it may be called from another thread, hence one immutable value."""

    def __init__(self, snapshot: Callable[[], Snapshot | None]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        if snapshot is None:
            return
        yield from _counters(snapshot.totals)
        if snapshot.sample is not None:
            yield from _gauges(snapshot.sample)


def _counters(totals: Totals) -> Iterator[Metric]:
    stats = totals.stats
    for name, text, value in (
        ("queries", "Queries completed.", stats.queries),
        ("query_seconds", "Time servers spent executing queries.", stats.query_seconds),
        ("xacts", "Transactions completed.", stats.transactions),
        ("xact_seconds", "Time servers were held by transactions.", stats.transaction_seconds),
        ("wait_seconds", "Time clients waited for a server; credited when the wait ends.", stats.wait_seconds),
        ("assignments", "Servers assigned to clients.", stats.assignments),
    ):
        yield CounterMetricFamily(f"trimtab_pooler_{name}", text, value=value)
    seconds = CounterMetricFamily(
        "trimtab_pooler_saturated_seconds",
        "Time with at least a quarter as many clients waiting as the pool has servers, by pool size.",
        labels=["size"],
    )
    transactions = CounterMetricFamily(
        "trimtab_pooler_saturated_transactions", "Transactions completed in that time, by pool size.", labels=["size"]
    )
    for size, saturation in totals.saturated.items():
        seconds.add_metric([str(size)], saturation.seconds)
        transactions.add_metric([str(size)], saturation.transactions)
    yield seconds
    yield transactions


def _gauges(sample: Sample) -> Iterator[Metric]:
    servers = GaugeMetricFamily("trimtab_pooler_servers", "Server connections by state.", labels=["state"])
    for state, count in sample.pool.servers.items():
        servers.add_metric([state], count)
    yield servers
    clients = GaugeMetricFamily("trimtab_pooler_clients", "Client connections by state.", labels=["state"])
    for state, count in sample.pool.clients.items():
        clients.add_metric([state], count)
    yield clients
    yield GaugeMetricFamily(
        "trimtab_pooler_max_wait_seconds",
        "How long the client that waits longest has waited.",
        value=sample.pool.max_wait_seconds,
    )
    if sample.size > 0:
        yield GaugeMetricFamily(
            "trimtab_pooler_pool_size", "Server connections that PgBouncer may open now.", value=sample.size
        )
