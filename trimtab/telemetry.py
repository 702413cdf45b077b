"""What a tunable service says about itself to Prometheus. The names are the contract with the tuner.

Collectors read the parts when they are scraped, so that a request pays for plain counters only. The metrics have a port
of their own, answered by a thread: they can be read while the service is busy, and no ingress shows them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client import start_http_server as _start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.admission import ConcurrencyLimiter
from trimtab.cache import Cache
from trimtab.cache.stats import FILL_BUCKETS_SECONDS
from trimtab.pool import ResizableAsyncPool

REQUEST_BUCKETS_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0)
"""Dense around the usual objectives of 100 to 200 ms."""

CHECKOUT_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
CPU_LIMIT_VARIABLE = "TRIMTAB_CPU_LIMIT_MILLICORES"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
CLIENT_GONE = 499
"""Status of a request whose client left before the answer began (nginx's number for it)."""


def new_registry(environment: Mapping[str, str] | None = None) -> CollectorRegistry:
    """A registry with the process, platform, garbage collection and CPU limit collectors."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(CPULimitCollector(environment))
    return registry


def start_metrics_server(port: int, registry: CollectorRegistry, address: str = "0.0.0.0") -> MetricsServer:
    """Serve the registry at /metrics. Port 0: any free one."""
    server, thread = _start_http_server(port, addr=address, registry=registry)
    return MetricsServer(server, thread)


class MetricsServer:
    """A running metrics port."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_port)

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TelemetryMiddleware:
    """Pure ASGI: `http_request_duration_seconds{method,route,status}`, until the last byte of the answer is sent.

    `route` is the path template that matched, so that its values are bounded; `unmatched` where none did.
    """

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry, histogram: Histogram | None = None) -> None:
        self._app = app
        self._histogram = histogram or request_histogram(registry)
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        except Exception:
            status = status or 500
            raise
        finally:
            self._observe(scope, status or CLIENT_GONE, time.perf_counter() - started)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", UNMATCHED)
        observe = self._observers.get((method, route, status))
        if observe is None:
            observe = self._histogram.labels(method, route, str(status)).observe
            self._observers[method, route, status] = observe
        observe(seconds)


def request_histogram(registry: CollectorRegistry) -> Histogram:
    """`http_request_duration_seconds`, once a registry."""
    return Histogram(
        "http_request_duration_seconds",
        "Time from the request's arrival to the last byte of its answer",
        ["method", "route", "status"],
        buckets=REQUEST_BUCKETS_SECONDS,
        registry=registry,
    )


class _Described(Collector):
    """A collector whose names the registry may ask for by collecting."""

    def describe(self) -> Iterable[Metric]:
        return self.collect()


class CPULimitCollector(_Described):
    """`trimtab_cpu_limit_cores`: the container's CPU limit, from the downward API. Absent without a limit."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = (os.environ if environment is None else environment).get(CPU_LIMIT_VARIABLE, "")
        self._millicores = int(given) if given.isdigit() else 0

    def collect(self) -> Iterable[Metric]:
        cores = GaugeMetricFamily("trimtab_cpu_limit_cores", "CPU limit of the container")
        if self._millicores > 0:
            cores.add_metric([], self._millicores / 1000)
        return [cores]


class PoolCollector(_Described):
    """The pool's state. `pool` is asked at each scrape, because Engine.dispose() replaces it."""

    def __init__(self, pool: Callable[[], ResizableAsyncPool], registry: CollectorRegistry) -> None:
        self._pool = pool
        checkout = Histogram(
            "trimtab_pool_checkout_seconds",
            "Time a checkout took, waiting and connecting together",
            buckets=CHECKOUT_BUCKETS_SECONDS,
            registry=registry,
        )
        pool().on_checkout = checkout.observe

    def collect(self) -> Iterable[Metric]:
        pool = self._pool()
        return [
            _gauge("trimtab_pool_size", "Most connections that the pool keeps", pool.size()),
            _gauge("trimtab_pool_draining", "Connections beyond the size, to be closed", pool.draining),
            _gauge("trimtab_pool_checked_out", "Connections in use, being opened or closed", pool.checkedout()),
            _counter("trimtab_pool_timeouts", "Checkouts that gave up waiting", pool.timeouts),
        ]


class AdmissionCollector(_Described):
    """The limiter's state."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter

    def collect(self) -> Iterable[Metric]:
        limiter = self._limiter
        return [
            _gauge("trimtab_admission_limit", "Most requests in progress", limiter.limit),
            _gauge("trimtab_admission_in_flight", "Requests in progress", limiter.in_flight),
            _counter("trimtab_admission_rejected", "Requests answered with 503 for overload", limiter.rejected),
        ]


class CacheCollector(_Described):
    """Requests, writes, TTLs and sizes by group."""

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
            fills.add_metric(labels, _cumulative(stats.fills[group.name].counts), stats.fills[group.name].sum_seconds)
            ttl.add_metric(labels, ttl_seconds)
            size.add_metric(labels, cache.memory_bytes(group.name))
            l1.add_metric(labels, min(group.l1_seconds, ttl_seconds) if versioned else 0)
            window.add_metric(labels, 0)
            info.add_metric([group.name, str(group.invalidation), ",".join(group.tables)], 1)
        return [requests, writes, fills, ttl, size, l1, window, info]


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip([*map(str, FILL_BUCKETS_SECONDS), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def metric_value(registry: CollectorRegistry, name: str, labels: dict[str, Any] | None = None) -> float | None:
    """The present value of one series, None where there is none: for tests and readiness checks."""
    return registry.get_sample_value(name, labels or {})
