"""The pool's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import HistogramMetricFamily, Metric

from trimtab.pool import ResizablePool
from trimtab.telemetry.collectors.families import DescribedCollector, counter, gauge
from trimtab.telemetry.histogram import Observations

CHECKOUT_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


class PoolCollector(DescribedCollector):
    """The pool's state. `pool` is asked at each scrape, because Engine.dispose() replaces it."""

    def __init__(self, pool: Callable[[], ResizablePool]) -> None:
        self._pool = pool
        self._checkouts = Observations(CHECKOUT_BUCKETS_SECONDS)
        pool().on_checkout = self._checkouts.observe

    def collect(self) -> Iterable[Metric]:
        pool = self._pool()
        checkouts = HistogramMetricFamily(
            "trimtab_pool_checkout_seconds", "Time a checkout took, waiting and connecting together", labels=[]
        )
        checkouts.add_metric([], self._checkouts.cumulative(), self._checkouts.sum)
        return [
            gauge("trimtab_pool_size", "Most connections that the pool keeps", pool.size()),
            gauge("trimtab_pool_draining", "Connections beyond the size, to be closed", pool.draining),
            gauge("trimtab_pool_checked_out", "Connections in use, being opened or closed", pool.checkedout()),
            counter("trimtab_pool_timeouts", "Checkouts that gave up waiting", pool.timeouts),
            checkouts,
        ]
