"""The window after the TTL: served while one caller makes the answer anew or fails to; never beyond it."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.trimtab.cache.pods import DEADLINE_SECONDS, Database, Pods, until, until_it_gives, until_read
from trimtab.cache import CacheGroup, Invalidation
from trimtab.cache.background import RETRY_AFTER_FAILURE_SECONDS

TTL_SECONDS = 60
WINDOW_SECONDS = 10
SEARCH = CacheGroup("search", ttl_seconds=TTL_SECONDS, stale_seconds=WINDOW_SECONDS)
ITEM = CacheGroup(
    "item", ttl_seconds=TTL_SECONDS, stale_seconds=WINDOW_SECONDS, invalidation=Invalidation.ON_WRITE, l1_seconds=0.05
)
GROUPS = (SEARCH, ITEM)


async def test_within_the_window_the_old_answer_is_given_at_once_and_one_caller_makes_it_anew(
    pods: Pods, database: Database
) -> None:
    here, there = pods.new(groups=GROUPS), pods.new(groups=GROUPS)
    database.rows["1"] = b"old"
    for cache in (here, there):
        await cache.get("search", "1", database.load("1"))
    pods.clock.ahead += TTL_SECONDS
    database.rows["1"] = b"new"
    database.gate = asyncio.Event()
    assert here.peek("search", "1") is None, "get is to begin the refresh"
    for _ in range(20):
        for cache in (here, there):
            assert await cache.get("search", "1", database.load("1")) == b"old", "nobody waits"
    await until(lambda: database.reads == 2)
    held = here.peek("search", "1")
    assert held is not None, "while it is being made anew peek gives it too"
    assert held.payload == b"old"
    assert here.stats.requests["search", "memory", "stale"] == 21
    database.gate.set()
    for cache in (here, there):
        await until_it_gives(cache, "search", "1", database, b"new")
    assert database.reads == 2, "one making for all pods"


async def test_another_pod_serves_what_redis_has_within_the_window(pods: Pods, database: Database) -> None:
    database.rows["1"] = b"old"
    await pods.new(groups=GROUPS).get("search", "1", database.load("1"))
    pods.clock.ahead += TTL_SECONDS
    late = pods.new(groups=GROUPS)
    database.rows["1"] = b"new"
    database.gate = asyncio.Event()
    assert await late.get("search", "1", database.load("1")) == b"old"
    assert late.stats.requests["search", "redis", "stale"] == 1
    database.gate.set()
    await until_it_gives(late, "search", "1", database, b"new")


@pytest.mark.parametrize("tier", ["memory", "redis"])
async def test_after_the_window_nobody_gets_it(pods: Pods, database: Database, tier: str) -> None:
    cache = pods.new(groups=GROUPS)
    database.rows["1"] = b"old"
    await cache.get("search", "1", database.load("1"))
    if tier == "redis":
        cache.clear_memory()
    pods.clock.ahead += TTL_SECONDS + WINDOW_SECONDS
    database.rows["1"] = b"new"
    assert cache.peek("search", "1") is None
    assert await cache.get("search", "1", database.load("1")) == b"new"


async def test_a_window_is_no_longer_than_the_ttl_and_a_lowered_ttl_binds_it_at_once(
    pods: Pods, database: Database
) -> None:
    cache, other = pods.new(groups=GROUPS), pods.new(groups=GROUPS)
    database.rows["1"] = b"old"
    for each in (cache, other):
        await each.get("search", "1", database.load("1"))
    other.clear_memory()
    pods.clock.ahead += 9
    database.rows["1"] = b"new"
    for each in (cache, other):
        assert each.stale_window_seconds("search") == WINDOW_SECONDS
        each.set_ttl("search", 4)
        assert each.stale_window_seconds("search") == 4
        assert await each.get("search", "1", database.load("1")) == b"new", "4 s and a window of 4 s are over"


async def test_a_group_on_write_gives_no_older_version_within_the_window(pods: Pods, database: Database) -> None:
    reader, writer = pods.new(groups=GROUPS), pods.new(groups=GROUPS)
    database.rows["1"] = b"old"
    await reader.get("item", "1", database.load("1"))
    pods.clock.ahead += TTL_SECONDS
    assert await reader.get("item", "1", database.load("1")) == b"old", "not written since, and within the window"
    for invalidate in (writer.invalidate("item", "1"), writer.invalidate_group("item")):
        await until(pods.is_idle)
        pods.clock.ahead += TTL_SECONDS
        database.rows["1"] = b"new" if database.rows["1"] == b"old" else b"newer"
        await invalidate
        assert await reader.get("item", "1", database.load("1")) == database.rows["1"]


async def test_while_the_making_fails_the_old_answer_is_given_until_the_window_ends(
    pods: Pods, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    cache = pods.new(groups=GROUPS)
    database.rows["1"] = b"old"
    await cache.get("search", "1", database.load("1"))
    database.fails = ConnectionError("the database is away")
    pods.clock.freeze()
    pods.clock.ahead += TTL_SECONDS
    for tries in (1, 2, 3):
        assert await cache.get("search", "1", database.load("1")) == b"old"
        await until_read(database, 1 + tries)
        await until(pods.is_idle)
        for _ in range(20):
            assert await cache.get("search", "1", database.load("1")) == b"old"
            await asyncio.sleep(0.001)
        await until(pods.is_idle)
        assert database.reads == 1 + tries, "tried again now and then, not for each request"
        pods.clock.ahead += RETRY_AFTER_FAILURE_SECONDS
    assert caplog.text.count("could not be made anew") == 1, "not a line for each failure"
    assert "search" in caplog.text
    assert "the database is away" in caplog.text
    pods.clock.ahead += WINDOW_SECONDS
    with pytest.raises(ConnectionError):
        await cache.get("search", "1", database.load("1"))
    database.fails, database.rows["1"] = None, b"new"
    assert await cache.get("search", "1", database.load("1")) == b"new"


async def test_what_does_not_exist_has_no_window(pods: Pods, database: Database) -> None:
    cache = pods.new(groups=GROUPS)
    assert await cache.get("search", "9", database.load("9")) is None
    pods.clock.ahead += SEARCH.negative_seconds
    database.rows["9"] = b"nine"
    assert cache.peek("search", "9") is None
    assert await cache.get("search", "9", database.load("9")) == b"nine"


async def test_redis_keeps_an_entry_for_its_life_and_its_window(pods: Pods, database: Database) -> None:
    cache = pods.new(groups=[CacheGroup("search", ttl_seconds=TTL_SECONDS, stale_seconds=TTL_SECONDS)])
    database.rows["1"] = b"one"
    await cache.get("search", "1", database.load("1"))
    seconds = await pods.client(cache).pttl("trimtab:entry:search:1") / 1000
    assert 1.9 * TTL_SECONDS - DEADLINE_SECONDS < seconds <= 2 * TTL_SECONDS
