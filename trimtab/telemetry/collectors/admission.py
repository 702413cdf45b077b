"""The limiter's state."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric

from trimtab.admission import ConcurrencyLimiter
from trimtab.telemetry.collectors.families import DescribedCollector, gauge


class AdmissionCollector(DescribedCollector):
    """The limiter's state. `trimtab_admission_limit` is the ceiling, because the tuner compares it with its knob."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter

    def collect(self) -> Iterable[Metric]:
        limiter = self._limiter
        rejected = CounterMetricFamily(
            "trimtab_admission_rejected", "Requests answered with 503 for overload", labels=["reason"]
        )
        for reason, number in limiter.refusals.items():
            rejected.add_metric([reason], number)
        return [
            gauge("trimtab_admission_limit", "Most requests in progress: the ceiling that was set", limiter.ceiling),
            gauge("trimtab_admission_limit_in_force", "Most requests in progress now", limiter.limit),
            gauge("trimtab_admission_in_flight", "Requests in progress", limiter.in_flight),
            gauge("trimtab_admission_waiting", "Requests that wait for a place", limiter.waiting),
            rejected,
        ]
