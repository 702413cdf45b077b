"""Writes: seen here at once and elsewhere within the bound, whatever slow readers do."""

from __future__ import annotations

import asyncio

import pytest

from deploy.servers.redis import RedisServer
from tests.integration.trimtab.cache.pods import DEADLINE_SECONDS, ITEM, Database, Pods, until


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


async def test_a_reader_slower_than_a_write_stores_nothing_old_even_if_redis_loses_all_keys(
    pods: Pods, database: Database, clean_redis: RedisServer
) -> None:
    """Without the marks a key that was written would look like one that never was, which is what the reader noted."""
    reader, writer = pods.new(), pods.new()
    database.rows["1"] = b"old"
    database.gate = asyncio.Event()
    slow = asyncio.create_task(reader.get("item", "1", database.load("1")))
    await until(lambda: database.reads)
    database.rows["1"] = b"new"
    await writer.invalidate("item", "1")
    await asyncio.to_thread(clean_redis.flush)
    database.gate.set()
    assert await slow == b"old"
    assert await pods.new().get("item", "1", database.load("1")) == b"new"


@pytest.mark.parametrize("whole_group", [False, True])
async def test_a_reader_after_a_write_does_not_wait_for_one_before_it(
    pods: Pods, database: Database, whole_group: bool
) -> None:
    """The lease of the slow one is under the old version, so it is worth nothing."""
    slow, writer, late = pods.new(), pods.new(), pods.new()
    database.rows["1"] = b"old"
    database.gate = gate = asyncio.Event()
    began = asyncio.create_task(slow.get("item", "1", database.load("1")))
    await until(lambda: database.reads)
    database.rows["1"], database.gate = b"new", None
    await (writer.invalidate_group("item") if whole_group else writer.invalidate("item", "1"))
    scripts = pods.scripts_run()
    assert await late.get("item", "1", database.load("1")) == b"new"
    assert pods.scripts_run() == scripts + 2, "the lease at the first asking, then the storing"
    gate.set()
    await began


@pytest.mark.parametrize("group", ["item", "search"])
async def test_a_reader_after_a_write_here_does_not_join_one_before_it(
    pods: Pods, database: Database, group: str
) -> None:
    cache = pods.new()
    database.rows["1"] = b"old"
    database.gate = gate = asyncio.Event()
    began = asyncio.create_task(cache.get(group, "1", database.load("1")))
    await until(lambda: database.reads)
    database.rows["1"], database.gate = b"new", None
    await cache.invalidate(group, "1")
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await cache.get(group, "1", database.load("1")) == b"new"
    gate.set()
    await began


async def test_peek_does_not_answer_beyond_the_l1_bound_and_not_after_a_write_here(
    pods: Pods, database: Database
) -> None:
    database.rows["1"] = b"old"
    here, there = pods.new(), pods.new()
    for cache in (here, there):
        await cache.get("item", "1", database.load("1"))
        held = cache.peek("item", "1")
        assert held is not None
        assert held.payload == b"old"
    await here.invalidate("item", "1")
    assert here.peek("item", "1") is None
    pods.clock.ahead += ITEM.l1_seconds
    assert there.peek("item", "1") is None


async def test_what_was_found_in_redis_just_before_it_knew_of_a_write_is_not_kept(
    pods: Pods, database: Database
) -> None:
    cache = pods.new()
    database.rows["1"] = b"old"
    await cache.get("item", "1", database.load("1"))
    await pods.client(cache).client_pause(60_000, all=False)  # writes wait, reads do not
    database.rows["1"] = b"new"
    invalidating = asyncio.create_task(cache.invalidate("item", "1"))
    await until(lambda: cache.peek("item", "1") is None)
    assert await cache.get("item", "1", database.load("1")) == b"old", "the write is not told yet"
    await pods.client(cache).client_unpause()
    await invalidating
    assert await cache.get("item", "1", database.load("1")) == b"new"
