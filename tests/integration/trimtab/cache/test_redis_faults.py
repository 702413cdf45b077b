"""Redis killed, stopped and slow: bounded waits, capped direct reads, nothing lost, back by itself."""

from __future__ import annotations

import asyncio
import signal

import psutil

from deploy.servers.redis import RedisServer
from tests.integration.conftest import OwnServer
from tests.integration.trimtab.cache.pods import DEADLINE_SECONDS, Database, Pods


async def test_redis_killed_fails_no_read_and_loses_no_invalidation(own_server: OwnServer, database: Database) -> None:
    server = own_server(RedisServer())
    pods = Pods(server.url)
    cache = pods.new(wait_seconds=0.2)
    database.rows = {str(number): b"old" for number in range(20)}
    for key in database.rows:
        assert await cache.get("item", key, database.load(key)) == b"old"
    await asyncio.to_thread(server.kill)
    for round_ in range(3):
        for key in database.rows:
            database.rows[key] = f"new {round_}".encode()
            await cache.invalidate("item", key)
            assert await cache.get("item", key, database.load(key)) == database.rows[key]
    assert cache.owed_invalidations == 20
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while cache.owed_invalidations:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    other = pods.new()
    hits = cache.stats.requests["item", "redis", "hit"]
    async with asyncio.timeout(DEADLINE_SECONDS):
        while cache.stats.requests["item", "redis", "hit"] == hits:  # Redis is used again
            cache.clear_memory()
            assert await cache.get("item", "1", database.load("1")) == b"new 2"
    for key in database.rows:
        assert await other.get("item", key, database.load(key)) == b"new 2"
    await pods.close()


async def test_a_redis_that_does_not_answer_costs_a_bounded_wait_and_then_nothing(
    own_server: OwnServer, database: Database
) -> None:
    server = own_server(RedisServer())
    pods = Pods(server.url)
    cache = pods.new(wait_seconds=0.05)
    database.rows = {str(number): b"row" for number in range(60)}
    await cache.get("search", "0", database.load("0"))
    process = psutil.Process(server.pid)
    process.send_signal(signal.SIGSTOP)
    try:
        for key in database.rows:
            assert await asyncio.wait_for(cache.get("search", key, database.load(key)), DEADLINE_SECONDS) == b"row"
        errors = cache.stats.requests["search", "redis", "error"]
        assert errors >= 59
        assert cache._redis is not None
        assert cache._redis.is_down, "the breaker is open, so that most reads did not wait"
    finally:
        process.send_signal(signal.SIGCONT)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while cache.stats.requests["search", "redis", "hit"] < 3:
            cache.clear_memory()
            assert await cache.get("search", "1", database.load("1")) == b"row"
            await asyncio.sleep(0.01)
    await pods.close()
