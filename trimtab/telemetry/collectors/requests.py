"""Durations of requests."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric

from trimtab.telemetry.collectors.families import DescribedCollector
from trimtab.telemetry.histogram import Observations

REQUEST_BUCKETS_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0)
"""Dense around the usual objectives of 100 to 200 ms."""


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestHistogram(DescribedCollector):
    """`http_request_duration_seconds{method,route,status}`: `histogram.of["GET", "/items", 200].observe(0.1)`.

    `route` must be a template, so that its values are bounded; methods that are not known count together.
    """

    def __init__(self) -> None:
        self.of = _ObservationsByRequest()

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(
            "http_request_duration_seconds",
            "Time from the request's arrival to the last byte of its answer",
            labels=["method", "route", "status"],
        )
        for (method, route, status), observations in list(self.of.items()):
            family.add_metric([method, route, str(status)], observations.cumulative(), observations.sum)
        return [family]


class _ObservationsByRequest(dict[tuple[str, str, int], Observations]):
    """Made when they are first asked for. A dictionary, because that is what is quickest where they are there."""

    def __missing__(self, key: tuple[str, str, int]) -> Observations:
        method, route, status = key
        known = (method if method in METHODS else "other", route, status)
        return self.setdefault(known, Observations(REQUEST_BUCKETS_SECONDS))


def request_histogram(registry: CollectorRegistry) -> RequestHistogram:
    """`http_request_duration_seconds`, once a registry."""
    histogram = RequestHistogram()
    registry.register(histogram)
    return histogram
