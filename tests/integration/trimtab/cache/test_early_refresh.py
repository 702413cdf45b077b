"""Early refresh: near the end of its life an answer is made anew in the background, once, and nobody waits."""

from __future__ import annotations

import asyncio

from tests.integration.trimtab.cache.pods import Database, Pods, until, until_it_gives
from trimtab.cache import Cache
from trimtab.cache.filling import RETRY_AFTER_OTHERS_SECONDS

MAKING_SECONDS = 0.1


async def fill(cache: Cache, database: Database) -> None:
    """An answer that took MAKING_SECONDS to make."""
    database.rows["1"] = b"old"
    database.delay_seconds = MAKING_SECONDS
    await cache.get("search", "1", database.load("1"))
    database.rows["1"] = b"new"


async def test_readers_near_the_end_have_it_made_anew_once_for_all_pods(pods: Pods, database: Database) -> None:
    here, there = pods.new(), pods.new()
    await fill(here, database)
    await there.get("search", "1", database.load("1"))
    held = here.peek("search", "1")
    assert held is not None
    assert held.making_seconds >= MAKING_SECONDS - 0.01, "the entry knows how long it took"
    pods.clock.freeze()
    pods.clock.ahead += held.fresh_until - 2 * held.making_seconds - pods.clock()  # e^-2 of the reads draw
    database.gate = asyncio.Event()
    while database.reads == 1:
        for cache in (here, there):
            assert await cache.get("search", "1", database.load("1")) == b"old", "nobody waits"
        await asyncio.sleep(0)
    database.gate.set()
    await until(pods.is_idle)
    pods.clock.ahead += RETRY_AFTER_OTHERS_SECONDS
    for cache in (here, there):
        await until_it_gives(cache, "search", "1", database, b"new")
    assert database.reads == 2
    assert here.stats.requests["search", "memory", "miss"] == 1, "only the first reader ever waited"


async def test_peek_draws_too_and_leaves_the_making_to_get(pods: Pods, database: Database) -> None:
    cache = pods.new()
    await fill(cache, database)
    held = cache.peek("search", "1")
    assert held is not None
    pods.clock.freeze()
    pods.clock.ahead += held.fresh_until - held.making_seconds - pods.clock()
    while cache.peek("search", "1") is not None:
        pass  # one of e reads draws
    assert await cache.get("search", "1", database.load("1")) == b"old"
    await until(lambda: database.reads == 2)


async def test_in_the_first_half_of_its_life_nothing_is_made_anew(pods: Pods, database: Database) -> None:
    cache = pods.new()
    await fill(cache, database)
    cache.set_ttl("search", 1)
    held = cache.peek("search", "1")
    assert held is not None
    held.making_seconds = 1000.0  # longer than it lives: without the bound every read would draw
    cache.set_ttl("search", 1)
    pods.clock.freeze()
    pods.clock.ahead += held.written + 0.4 - pods.clock()
    for _ in range(100):
        assert cache.peek("search", "1") is held
    assert database.reads == 1
