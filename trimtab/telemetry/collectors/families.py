"""Metrics without labels, and collectors that describe themselves."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class DescribedCollector(Collector):
    """A collector whose names the registry may ask for by collecting."""

    def describe(self) -> Iterable[Metric]:
        return self.collect()


def gauge(name: str, text: str, value: float) -> Metric:
    """A gauge of one series."""
    return GaugeMetricFamily(name, text, value=value)


def counter(name: str, text: str, value: float) -> Metric:
    """A counter of one series; Prometheus sees `name` with `_total`."""
    return CounterMetricFamily(name, text, value=value)
