"""The middleware's histogram, the collectors' names, and the metrics port."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI, Response
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from starlette.types import Message, Receive, Scope, Send

from trimtab import telemetry
from trimtab.cache import Cache, CacheGroup, Invalidation
from trimtab.knobs.document import ApiKnobs
from trimtab.knobs.watch import KnobsWatcher
from trimtab.service import Trimtab
from trimtab.telemetry import (
    REQUEST_BUCKETS_SECONDS,
    TelemetryMiddleware,
    metric_value,
    new_registry,
    request_histogram,
    start_metrics_server,
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def get(registry: CollectorRegistry) -> Callable[..., Awaitable[httpx.Response]]:
    app = FastAPI()
    app.add_middleware(TelemetryMiddleware, registry=registry)

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> Response:
        if item_id == 500:
            raise RuntimeError("broken")
        return Response(status_code=200)

    async def call(path: str, method: str = "GET") -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path)

    return call


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/items/1", {"method": "GET", "route": "/items/{item_id}", "status": "200"}),
        ("GET", "/items/x", {"method": "GET", "route": "/items/{item_id}", "status": "422"}),
        ("GET", "/items/500", {"method": "GET", "route": "/items/{item_id}", "status": "500"}),
        ("GET", "/wp-login.php", {"method": "GET", "route": "unmatched", "status": "404"}),
        ("BREW", "/pot", {"method": "other", "route": "unmatched", "status": "404"}),
    ],
)
async def test_requests_are_timed_by_bounded_labels(
    get: Callable[..., Awaitable[httpx.Response]],
    registry: CollectorRegistry,
    method: str,
    path: str,
    labels: dict[str, str],
) -> None:
    for _ in range(2):
        await get(path, method)
    assert metric_value(registry, "http_request_duration_seconds_count", labels) == 2
    samples = [s for m in registry.collect() for s in m.samples if s.name.endswith("_count")]
    assert len(samples) == 1


@pytest.mark.parametrize(("given", "cores"), [("1500", 1.5), ("", None), ("0", None), ("many", None)])
def test_the_cpu_limit_is_exported_only_where_there_is_one(given: str, cores: float | None) -> None:
    registry = new_registry({"TRIMTAB_CPU_LIMIT_MILLICORES": given})
    assert metric_value(registry, "trimtab_cpu_limit_cores") == cores


async def test_a_whole_service_exports_the_names_of_the_contract() -> None:
    cache = Cache([CacheGroup("item", 30, Invalidation.ON_WRITE, ("items", "stock")), CacheGroup("search", 20)])
    watcher = KnobsWatcher(None, api=ApiKnobs(concurrency=7), pod_uid="u")
    tunable = Trimtab(cache=cache, concurrency=7, metrics_port=0, registry=CollectorRegistry(), watcher=watcher)

    async def load() -> bytes:
        return b"x"

    assert not tunable.ready
    async with tunable.lifespan():
        await watcher.until_acknowledged()
        assert tunable.ready
        for _ in range(2):
            await cache.get("item", "1", load)
        await cache.invalidate("item", "1")

        def value(name: str, **labels: str) -> float | None:
            return metric_value(tunable.registry, name, labels)

        assert value("trimtab_knobs_info", pod_uid="u", epoch="", generation="0") == 1
        assert value("trimtab_knobs_errors_total") == 0
        assert value("trimtab_admission_limit") == 7
        assert value("trimtab_admission_in_flight") == 0
        assert value("trimtab_admission_limit_in_force") == 7
        assert value("trimtab_admission_waiting") == 0
        assert value("trimtab_admission_rejected_total", reason="full") == 0
        assert value("trimtab_admission_rejected_total", reason="late") == 0
        assert value("trimtab_cache_requests_total", group="item", tier="memory", result="miss") == 1
        assert value("trimtab_cache_requests_total", group="item", tier="memory", result="hit") == 1
        assert value("trimtab_cache_fill_seconds_count", group="item") == 1
        assert value("trimtab_cache_writes_total", group="item") == 1
        assert value("trimtab_cache_ttl_seconds", group="search") == 20
        assert value("trimtab_cache_bytes", group="item") == 0
        assert value("trimtab_cache_l1_ttl_seconds", group="item") == 1
        assert value("trimtab_cache_stale_window_seconds", group="item") == 0
        assert value("trimtab_cache_group_info", group="item", invalidation="OnWrite", tables="items,stock") == 1
        assert value("trimtab_cache_group_info", group="search", invalidation="None", tables="") == 1
        tunable.drain.begin()
        assert not tunable.ready


def test_the_metrics_port_answers_and_closes() -> None:
    registry = new_registry({"TRIMTAB_CPU_LIMIT_MILLICORES": "2000"})
    server = start_metrics_server(0, registry, "127.0.0.1")
    url = f"http://127.0.0.1:{server.port}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as answer:
            text = answer.read().decode()
    finally:
        server.stop()
    assert "trimtab_cpu_limit_cores 2.0" in text
    assert "process_cpu_seconds_total" in text
    with pytest.raises(OSError, match="refused"):
        opener.open(url, timeout=20)


async def test_a_service_without_an_engine_says_so() -> None:
    with pytest.raises(RuntimeError, match="made without an engine"):
        _ = Trimtab(metrics_port=None, registry=CollectorRegistry(), watcher=KnobsWatcher(None)).pool


def test_the_record_of_a_request_needs_nothing_of_the_library() -> None:
    """It lies beneath the rooms that tell of their statements; the other names are loaded when they are asked for."""
    code = (
        "import sys, trimtab.telemetry.request;"
        "print(*sorted(name for name in sys.modules if name.startswith(('trimtab', 'prometheus'))))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == ["trimtab", "trimtab.telemetry", "trimtab.telemetry.request"]


def test_every_name_of_the_package_is_there() -> None:
    assert [name for name in telemetry.__all__ if not hasattr(telemetry, name)] == []
    with pytest.raises(AttributeError, match="has no attribute 'TelemetryMiddlewear'"):
        _ = telemetry.TelemetryMiddlewear


async def test_a_request_is_timed_to_its_last_byte_and_not_to_the_end_of_what_comes_after(
    registry: CollectorRegistry,
) -> None:
    """What a background task of the application takes is not what the client waited for."""
    messages: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (True, False):
            await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": b"x", "more_body": part})
        await asyncio.sleep(0.3)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    started = time.perf_counter()
    await TelemetryMiddleware(app, registry=registry)(scope, receive, send)
    whole = time.perf_counter() - started
    labels = {"method": "GET", "route": "unmatched", "status": "200"}
    measured = metric_value(registry, "http_request_duration_seconds_sum", labels)
    assert measured is not None
    assert 0.09 <= measured <= whole - 0.29
    assert len(messages) == 3


async def test_a_client_that_left_before_the_answer_is_counted_as_gone(registry: CollectorRegistry) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(asyncio.CancelledError):
        await TelemetryMiddleware(app, registry=registry)({"type": "http", "method": "GET"}, receive, send)
    labels = {"method": "GET", "route": "unmatched", "status": "499"}
    assert metric_value(registry, "http_request_duration_seconds_count", labels) == 1


@given(st.lists(st.sampled_from([*REQUEST_BUCKETS_SECONDS, 0.0, 0.007, 0.35, 7.0])))
def test_the_histogram_is_that_of_the_prometheus_client(values: list[float]) -> None:
    registry, reference = CollectorRegistry(), CollectorRegistry()
    ours = request_histogram(registry)
    theirs = Histogram(
        "http_request_duration_seconds", "", ["method", "route", "status"],
        buckets=REQUEST_BUCKETS_SECONDS, registry=reference,
    )  # fmt: skip
    for value in values:
        ours.of["GET", "/", 200].observe(value)
        theirs.labels("GET", "/", "200").observe(value)

    def samples(registry: CollectorRegistry) -> list[tuple[str, dict[str, str], float]]:
        families = [sample for metric in registry.collect() for sample in metric.samples]
        return [(s.name, s.labels, s.value) for s in families if not s.name.endswith("_created")]

    assert [s[:2] for s in samples(registry)] == [s[:2] for s in samples(reference)]
    assert [s[2] for s in samples(registry)] == pytest.approx([s[2] for s in samples(reference)])
