"""The limiter's state."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from trimtab.admission import ConcurrencyLimiter
from trimtab.telemetry.collectors.families import DescribedCollector, counter, gauge


class AdmissionCollector(DescribedCollector):
    """The limiter's state."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter

    def collect(self) -> Iterable[Metric]:
        limiter = self._limiter
        return [
            gauge("trimtab_admission_limit", "Most requests in progress", limiter.limit),
            gauge("trimtab_admission_in_flight", "Requests in progress", limiter.in_flight),
            counter("trimtab_admission_rejected", "Requests answered with 503 for overload", limiter.rejected),
        ]
