"""Two tiers: answers are made once, live as long as the TTL in force says, and are negative for a short time."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.trimtab.cache.pods import ITEM, SEARCH, Database, Pods
from trimtab.cache import Cache


async def test_an_answer_is_made_once_for_all_pods(pods: Pods, database: Database) -> None:
    database.rows["1"] = b"one"
    first, second = pods.new(), pods.new()
    for cache in (first, first, second, second):
        assert await cache.get("search", "1", database.load("1")) == b"one"
    assert database.reads == 1
    assert first.stats.requests["search", "memory", "hit"] == 1
    assert second.stats.requests["search", "redis", "hit"] == 1


async def test_callers_at_the_same_time_share_one_read(pods: Pods, database: Database) -> None:
    database.rows["1"] = b"one"
    database.gate = asyncio.Event()
    cache = pods.new()
    callers = [asyncio.create_task(cache.get("search", "1", database.load("1"))) for _ in range(50)]
    while not database.reads:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    database.gate.set()
    assert await asyncio.gather(*callers) == [b"one"] * 50
    assert database.reads == 1


async def test_that_there_is_nothing_is_remembered_for_a_short_time(pods: Pods, database: Database) -> None:
    cache, other = pods.new(), pods.new()
    for asking in (cache, cache, other):
        assert await asking.get("item", "9", database.load("9")) is None
    assert database.reads == 1
    assert other.stats.requests["item", "redis", "negative"] == 1
    pods.clock.ahead += 1.1
    database.rows["9"] = b"nine"
    assert await other.get("item", "9", database.load("9")) == b"nine"


async def test_a_lowered_ttl_binds_what_is_stored_in_both_tiers(pods: Pods, database: Database) -> None:
    database.rows["1"] = b"old"
    cache, other = pods.new(), pods.new()
    await cache.get("search", "1", database.load("1"))
    pods.clock.ahead += 20
    assert await cache.get("search", "1", database.load("1")) == b"old"
    database.rows["1"] = b"new"
    for asking in (cache, other):
        asking.set_ttl("search", 10)
        assert await asking.get("search", "1", database.load("1")) == b"new"
    assert database.reads == 2


async def test_a_raised_ttl_holds_for_what_is_stored_from_now_on(pods: Pods, database: Database) -> None:
    database.rows["1"] = b"old"
    cache = pods.new()
    await cache.get("search", "1", database.load("1"))
    cache.set_ttl("search", 600)
    pods.clock.ahead += 61
    database.rows["1"] = b"new"
    assert await cache.get("search", "1", database.load("1")) == b"new"
    pods.clock.ahead += 300
    assert await cache.get("search", "1", database.load("1")) == b"new"
    assert database.reads == 2


async def test_without_redis_the_process_caches_for_itself(database: Database) -> None:
    cache = Cache([SEARCH])
    database.rows["1"] = b"one"
    for _ in range(3):
        assert await cache.get("search", "1", database.load("1")) == b"one"
    assert database.reads == 1
    await cache.invalidate("search", "1")
    await cache.get("search", "1", database.load("1"))
    assert database.reads == 2


async def test_what_the_loader_raises_reaches_the_caller_and_is_not_stored(pods: Pods, database: Database) -> None:
    cache = pods.new()

    async def fail() -> bytes | None:
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await cache.get("item", "1", fail)
    database.rows["1"] = b"one"
    assert await cache.get("item", "1", database.load("1")) == b"one"


async def test_an_unknown_group_names_the_declared_ones() -> None:
    with pytest.raises(KeyError, match="no cache group 'items'; declared are item, search"):
        Cache([ITEM, SEARCH]).set_ttl("items", 5)
    with pytest.raises(ValueError, match="TTL of the cache group item is 0 s"):
        Cache([ITEM]).set_ttl("item", 0)
