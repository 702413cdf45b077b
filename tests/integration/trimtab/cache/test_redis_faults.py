"""Redis killed, stopped and slow: bounded waits, capped direct reads, nothing lost, back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from deploy.servers.redis import RedisServer
from tests.integration.conftest import OwnServer
from tests.integration.trimtab.cache.pods import DEADLINE_SECONDS, Database, Pods, until
from trimtab.cache import Cache, CacheGroup

STALE = CacheGroup("stale", ttl_seconds=60, stale_seconds=30)


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


async def test_a_process_passes_redis_by_for_what_it_owes(pods: Pods, database: Database) -> None:
    """Redis reads but does not write: without that the process would get its own old answer back."""
    cache, other = pods.new(wait_seconds=0.1), pods.new()
    database.rows["1"] = b"old"
    await cache.get("item", "1", database.load("1"))
    await pods.client(other).client_pause(60_000, all=False)
    try:
        database.rows["1"] = b"new"
        await cache.invalidate("item", "1")
        assert cache.owed_invalidations == 1
        assert await cache.get("item", "1", database.load("1")) == b"new"
    finally:
        await pods.client(other).client_unpause()
    await until(lambda: not cache.owed_invalidations)
    assert await other.get("item", "1", database.load("1")) == b"new"


@pytest.fixture
async def stopped(own_server: OwnServer) -> AsyncIterator[tuple[Pods, psutil.Process]]:
    """Pods over a Redis of their own, and its process, to be stopped with SIGSTOP."""
    server = own_server(RedisServer())
    pods, process = Pods(server.url), psutil.Process(server.pid)
    yield pods, process
    process.send_signal(signal.SIGCONT)
    await pods.close()


async def test_without_redis_no_more_answers_are_made_at_a_time_than_allowed(
    stopped: tuple[Pods, psutil.Process], database: Database
) -> None:
    pods, process = stopped
    cache = pods.new(wait_seconds=0.05, groups=[STALE], direct_reads=3)
    database.rows = {str(number): b"row" for number in range(40)}
    for key in ("0", "1", "2", "3", "4", "5"):
        await cache.get("stale", key, database.load(key))
    process.send_signal(signal.SIGSTOP)
    pods.clock.ahead += STALE.ttl_seconds  # so that those six are made anew in the background
    before, database.gate = database.reads, asyncio.Event()
    callers = [asyncio.create_task(cache.get("stale", key, database.load(key))) for key in database.rows]
    await until(lambda: cache.stats.requests["stale", "redis", "error"] >= 34)
    assert sum(caller.done() for caller in callers) == 6, "within the window nobody waits, with Redis or without"
    assert database.reads - before == 3
    database.gate.set()
    assert await asyncio.wait_for(asyncio.gather(*callers), DEADLINE_SECONDS) == [b"row"] * 40
    await until(pods.is_idle)
    assert database.reads - before == 40


async def test_the_holder_of_a_lease_answers_although_redis_stops_meanwhile(
    stopped: tuple[Pods, psutil.Process], database: Database
) -> None:
    """And so do those who wait for it: nothing is lost with the lease but a second making."""
    pods, process = stopped
    first, second = pods.new(wait_seconds=0.1), pods.new(wait_seconds=0.1)
    database.rows, database.gate = {"0": b"zero", "1": b"one"}, asyncio.Event()
    making = asyncio.create_task(first.get("search", "1", database.load("1")))
    await until(lambda: database.reads)
    waiting = asyncio.create_task(second.get("search", "1", database.load("1")))
    await until(lambda: second.stats.requests["search", "redis", "miss"])
    process.send_signal(signal.SIGSTOP)
    database.gate.set()
    assert await asyncio.wait_for(making, DEADLINE_SECONDS) == b"one"
    assert await asyncio.wait_for(waiting, DEADLINE_SECONDS) == b"one"
    assert database.reads == 2
    process.send_signal(signal.SIGCONT)
    await until_redis_hits(first, database)


async def test_a_redis_that_takes_500_ms_costs_each_caller_a_bounded_wait(
    own_server: OwnServer, database: Database
) -> None:
    """The breaker opens; now and then one call tries; when Redis is quick again it is used again."""
    server = own_server(RedisServer())
    async with SlowPort(server.port) as port:
        pods = Pods(f"redis://:{server.password}@127.0.0.1:{port.number}/0")
        cache = pods.new(wait_seconds=0.05)
        database.rows = {str(number): b"row" for number in range(200)}
        await until_redis_hits(cache, database)
        port.delay_seconds = 0.5
        for key in database.rows:
            assert await cache.get("search", key, database.load(key)) == b"row"
        assert cache._redis is not None
        assert cache._redis.is_down
        waited = cache.stats.requests["search", "redis", "miss"]
        for _ in range(200):
            cache.clear_memory()
            assert await cache.get("search", "0", database.load("0")) == b"row"
        assert cache.stats.requests["search", "redis", "miss"] <= waited + 1
        port.delay_seconds = 0.0
        await until_redis_hits(cache, database)
        await pods.close()


async def until_redis_hits(cache: Cache, database: Database) -> None:
    """Ask, without the memory, until Redis has answered again."""
    hits = cache.stats.requests["search", "redis", "hit"]
    async with asyncio.timeout(DEADLINE_SECONDS):
        while cache.stats.requests["search", "redis", "hit"] < hits + 2:
            cache.clear_memory()
            assert await cache.get("search", "0", database.load("0")) == database.rows.get("0")
            await asyncio.sleep(0.01)


class SlowPort:
    """A port in front of another that passes each piece of an answer on only after a delay."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay_seconds = 0.0

    async def __aenter__(self) -> SlowPort:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.number = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink, is_answer in ((reader, behind_writer, False), (behind_reader, writer, True)):
            task = asyncio.get_running_loop().create_task(self._pass_on(source, sink, is_answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                if is_answer and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                sink.write(piece)
                await sink.drain()
        sink.close()
