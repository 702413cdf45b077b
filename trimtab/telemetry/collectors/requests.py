"""Durations of requests."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric

from trimtab.telemetry.collectors.families import DescribedCollector
from trimtab.telemetry.histogram import Observations

REQUEST_BUCKETS_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0)
"""Dense around the usual objectives of 100 to 200 ms."""


class RequestHistogram(DescribedCollector):
    """`http_request_duration_seconds{method,route,status}`."""

    def __init__(self) -> None:
        self._observations: dict[tuple[str, str, int], Observations] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` must be a template, so that its values are bounded."""
        key = (method, route, status)
        observations = self._observations.get(key)
        if observations is None:
            observations = self._observations[key] = Observations(REQUEST_BUCKETS_SECONDS)
        observations.observe(seconds)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(
            "http_request_duration_seconds",
            "Time from the request's arrival to the last byte of its answer",
            labels=["method", "route", "status"],
        )
        for (method, route, status), observations in list(self._observations.items()):
            family.add_metric([method, route, str(status)], observations.cumulative(), observations.sum)
        return [family]


def request_histogram(registry: CollectorRegistry) -> RequestHistogram:
    """`http_request_duration_seconds`, once a registry."""
    histogram = RequestHistogram()
    registry.register(histogram)
    return histogram
