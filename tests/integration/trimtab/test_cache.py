"""The cache on a real Redis: TTLs, single flight, invalidation against slow readers, Redis killed and stopped."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import psutil
import pytest
from redis.asyncio import Redis

from deploy.servers.redis import RedisServer
from tests.integration.conftest import OwnServer
from trimtab.cache import Cache, CacheGroup, Invalidation

DEADLINE_SECONDS = 30.0
PATIENT_SECONDS = 5.0
ITEM = CacheGroup("item", ttl_seconds=60, invalidation=Invalidation.ON_WRITE, l1_seconds=0.05)
SEARCH = CacheGroup("search", ttl_seconds=60)


class Clock:
    """The wall clock, which a test can move on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Database:
    """A row for each key, read with a delay; counts its reads."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.reads = 0
        self.gate: asyncio.Event | None = None

    def load(self, key: str) -> Callable[[], asyncio.Future[bytes | None]]:
        async def read() -> bytes | None:
            self.reads += 1
            row = self.rows.get(key)
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            return row

        return lambda: asyncio.ensure_future(read())


class Pods:
    """Caches of several processes over one Redis."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: list[tuple[Cache, Redis]] = []
        self.clock = Clock()

    def new(self, wait_seconds: float = PATIENT_SECONDS) -> Cache:
        client = Redis.from_url(self._url, socket_timeout=None)  # the cache bounds its waits itself
        cache = Cache([ITEM, SEARCH], client, redis_wait_seconds=wait_seconds, clock=self.clock)
        self._open.append((cache, client))
        return cache

    async def close(self) -> None:
        for cache, client in self._open:
            await cache.close()
            await client.aclose()


@pytest.fixture
async def pods(clean_redis: RedisServer) -> AsyncIterator[Pods]:
    pods = Pods(clean_redis.url)
    yield pods
    await pods.close()


@pytest.fixture
def database() -> Database:
    return Database()


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


async def test_a_write_is_seen_here_at_once_and_elsewhere_within_the_l1_bound(pods: Pods, database: Database) -> None:
    database.rows["1"] = b"old"
    here, there = pods.new(), pods.new()
    for cache in (here, there):
        await cache.get("item", "1", database.load("1"))
    database.rows["1"] = b"new"
    await here.invalidate("item", "1")
    assert await here.get("item", "1", database.load("1")) == b"new"
    pods.clock.ahead += ITEM.l1_seconds
    assert await there.get("item", "1", database.load("1")) == b"new"


async def test_a_whole_group_can_be_invalidated(pods: Pods, database: Database) -> None:
    database.rows["1"] = b"old"
    here, there = pods.new(), pods.new()
    for cache in (here, there):
        await cache.get("item", "1", database.load("1"))
    database.rows["1"] = b"new"
    await here.invalidate_group("item")
    pods.clock.ahead += ITEM.l1_seconds
    for cache in (here, there):
        assert await cache.get("item", "1", database.load("1")) == b"new"


@pytest.mark.parametrize("writer_elsewhere", [False, True])
async def test_a_reader_slower_than_a_write_stores_nothing_old(
    pods: Pods, database: Database, writer_elsewhere: bool
) -> None:
    reader = pods.new()
    writer = pods.new() if writer_elsewhere else reader
    database.rows["1"] = b"old"
    database.gate = asyncio.Event()
    slow = asyncio.create_task(reader.get("item", "1", database.load("1")))
    while not database.reads:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    database.rows["1"] = b"new"
    await writer.invalidate("item", "1")
    gate, database.gate = database.gate, None
    assert await pods.new().get("item", "1", database.load("1")) == b"new"
    gate.set()
    assert await slow == b"old", "it began before the write"
    if not writer_elsewhere:
        assert await reader.get("item", "1", database.load("1")) == b"new", "this process knows of its own write"
    reads = database.reads
    assert await pods.new().get("item", "1", database.load("1")) == b"new"
    assert database.reads == reads, "the old answer displaced the new one"
    pods.clock.ahead += ITEM.l1_seconds
    for cache in (reader, writer, pods.new()):
        assert await cache.get("item", "1", database.load("1")) == b"new"


async def test_no_old_answer_after_a_write_under_concurrency(pods: Pods, database: Database) -> None:
    """Readers and writers of a few keys in three pods: after a write nobody gets an older number, bounds apart."""
    dice = random.Random(11)
    caches = [pods.new() for _ in range(3)]
    keys = ["a", "b"]
    database.rows = dict.fromkeys(keys, b"0")
    stop = False
    checked = 0

    async def load(key: str) -> bytes | None:
        row = database.rows[key]
        await asyncio.sleep(dice.random() * 0.01)
        return row

    async def write() -> None:
        number = 0
        while not stop:
            number += 1
            key = dice.choice(keys)
            database.rows[key] = str(number).encode()
            await dice.choice(caches).invalidate("item", key)
            await asyncio.sleep(dice.random() * 0.02)

    async def read() -> None:
        nonlocal checked
        while not stop:
            key = dice.choice(keys)
            await dice.choice(caches).get("item", key, partial(load, key))
            checked += 1
            await asyncio.sleep(dice.random() * 0.002)

    tasks = [asyncio.create_task(write()), *(asyncio.create_task(read()) for _ in range(12))]
    for _ in range(10):
        while checked < 300:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        checked = 0
    stop = True
    await asyncio.gather(*tasks)
    pods.clock.ahead += ITEM.l1_seconds
    for key in keys:
        for cache in [*caches, pods.new()]:
            assert await cache.get("item", key, partial(load, key)) == database.rows[key]


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
