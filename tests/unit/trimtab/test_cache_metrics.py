"""What the cache's collector exports of the audit, the window and the keys."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from trimtab.cache import Cache, CacheGroup
from trimtab.cache.keys import WINDOW_SECONDS
from trimtab.telemetry import CacheCollector, metric_value


async def test_audit_window_and_keys_are_exported_and_never_a_key() -> None:
    now = 1000.0
    cache = Cache([CacheGroup("search", ttl_seconds=60, stale_seconds=90)], clock=lambda: now, audit_share=0.0)
    registry = CollectorRegistry()
    registry.register(CacheCollector(cache))

    async def load() -> bytes:
        return b"x"

    def value(name: str, **labels: str) -> float | None:
        return metric_value(registry, name, {"group": "search", **labels})

    for key, reads in (("private a", 1), ("private b", 3)):
        for _ in range(reads):
            await cache.get("search", key, load)
    assert value("trimtab_cache_stale_window_seconds") == 60
    cache.set_ttl("search", 600)
    assert value("trimtab_cache_stale_window_seconds") == 90
    assert [value("trimtab_cache_audit_total", result=result) for result in ("fresh", "stale", "error")] == [0, 0, 0]
    assert value("trimtab_cache_keys_window_seconds") is None, "no window is complete: absent, not zero"
    now += WINDOW_SECONDS
    assert value("trimtab_cache_keys_window_seconds") == WINDOW_SECONDS
    assert value("trimtab_cache_keys", reads="1", writes="0") == 1
    assert value("trimtab_cache_keys", reads="2", writes="0") == 1
    await cache.get("search", "private b", load)
    now += 600
    await cache.get("search", "private b", load)
    assert value("trimtab_cache_keys", reads="1", writes="0") is None, "the last window had no traffic"
    assert value("trimtab_cache_requests_total", tier="memory", result="stale") == 1
    assert b"private" not in generate_latest(registry)
    await cache.close()
