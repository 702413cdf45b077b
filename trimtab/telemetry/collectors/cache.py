"""Requests, writes, TTLs and sizes of the cache by group."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from trimtab.cache import Cache
from trimtab.cache.stats import FILL_BUCKETS_SECONDS
from trimtab.telemetry.collectors.families import DescribedCollector
from trimtab.telemetry.histogram import cumulative


class CacheCollector(DescribedCollector):
    """Requests, writes, TTLs, sizes, audits and keys by group."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        cache, stats = self._cache, self._cache.stats
        requests = CounterMetricFamily(
            "trimtab_cache_requests", "Requests to each tier of the cache", labels=["group", "tier", "result"]
        )
        for request, count in list(stats.requests.items()):
            requests.add_metric(request, count)
        writes = CounterMetricFamily("trimtab_cache_writes", "Invalidations by this service", labels=["group"])
        fills = HistogramMetricFamily("trimtab_cache_fill_seconds", "Time to make an answer", labels=["group"])
        ttl = GaugeMetricFamily("trimtab_cache_ttl_seconds", "TTL in force", labels=["group"])
        size = GaugeMetricFamily("trimtab_cache_bytes", "Bytes held in this process", labels=["group"])
        l1 = GaugeMetricFamily("trimtab_cache_l1_ttl_seconds", "Life in this process at most", labels=["group"])
        window = GaugeMetricFamily("trimtab_cache_stale_window_seconds", "Served beyond the TTL", labels=["group"])
        info = GaugeMetricFamily(
            "trimtab_cache_group_info", "What a group is made of", labels=["group", "invalidation", "tables"]
        )
        for group in cache.groups:
            labels = [group.name]
            versioned = group.invalidation == "OnWrite"
            ttl_seconds = cache.ttl_seconds(group.name)
            writes.add_metric(labels, stats.writes[group.name])
            fill = stats.fills[group.name]
            fills.add_metric(labels, cumulative(FILL_BUCKETS_SECONDS, list(fill.counts)), fill.sum_seconds)
            ttl.add_metric(labels, ttl_seconds)
            size.add_metric(labels, cache.memory_bytes(group.name))
            l1.add_metric(labels, min(group.l1_seconds, ttl_seconds) if versioned else 0)
            window.add_metric(labels, cache.stale_window_seconds(group.name))
            info.add_metric([group.name, str(group.invalidation), ",".join(group.tables)], 1)
        return [requests, writes, fills, ttl, size, l1, window, info, *self._sampled()]

    def _sampled(self) -> list[Metric]:
        """The audit and the joint histogram of the keys; of a group without a complete window no keys are shown."""
        audits = CounterMetricFamily(
            "trimtab_cache_audit",
            "Answers from the cache that were made again and compared",
            labels=["group", "result"],
        )
        for audited, count in self._cache.stats.audits.items():
            audits.add_metric(audited, count)
        keys = GaugeMetricFamily(
            "trimtab_cache_keys",
            "Estimated keys by how often they were read and written in a window, in powers of two",
            labels=["group", "reads", "writes"],
        )
        windows = GaugeMetricFamily("trimtab_cache_keys_window_seconds", "Window of the key counts", labels=["group"])
        for group in self._cache.groups:
            histogram = self._cache.key_histogram(group.name)
            if histogram is None:
                continue
            windows.add_metric([group.name], histogram.window_seconds)
            for (reads, writes), count in sorted(histogram.keys.items()):
                keys.add_metric([group.name, str(reads), str(writes)], count)
        return [audits, keys, windows]
