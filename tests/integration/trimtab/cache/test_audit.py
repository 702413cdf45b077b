"""The audit finds a stale answer, costs no more than it may, and is off while Redis or the database fail."""

from __future__ import annotations

import asyncio

from deploy.servers.redis import RedisServer
from tests.integration.conftest import OwnServer
from tests.integration.trimtab.cache.pods import Database, Pods, until, until_read
from trimtab.cache import Cache
from trimtab.cache.audit import AUDITS_PER_SECOND


def audits(cache: Cache, group: str) -> dict[str, int]:
    return {result: count for (of, result), count in cache.stats.audits.items() if of == group}


async def until_audited(cache: Cache, audited: int) -> None:
    await until(lambda: sum(cache.stats.audits.values()) == audited)


async def hit(cache: Cache, group: str, key: str, database: Database, *, result: str) -> None:
    """Hit until an audit more says so: they are spaced, so not every hit is audited."""
    before = audits(cache, group)[result]
    await until(lambda: cache._auditor.has_room())
    await cache.get(group, key, database.load(key))
    await until(lambda: audits(cache, group)[result] == before + 1)


async def test_a_planted_stale_answer_is_found_and_a_right_one_is_not_accused(pods: Pods, database: Database) -> None:
    cache = pods.new(audit_share=1.0)
    database.rows["1"] = b"one"
    await cache.get("search", "1", database.load("1"))
    assert sum(audits(cache, "search").values()) == 0, "what was just made proves nothing"
    await hit(cache, "search", "1", database, result="fresh")
    database.rows["1"] = b"changed behind the back of the cache"
    await hit(cache, "search", "1", database, result="stale")
    assert await cache.get("search", "1", database.load("1")) == b"one", "it measures, it does not repair"
    cache.clear_memory()
    await hit(cache, "search", "1", database, result="stale")
    assert cache.stats.requests["search", "redis", "hit"] == 1
    del database.rows["1"]
    await hit(cache, "search", "1", database, result="stale")
    assert audits(cache, "item") == {"fresh": 0, "stale": 0, "error": 0}


async def test_peek_leaves_a_share_of_the_hits_to_the_audit(pods: Pods, database: Database) -> None:
    cache = pods.new(audit_share=0.05)
    database.rows["1"] = b"one"
    await cache.get("search", "1", database.load("1"))
    left = 0
    for _ in range(2000):
        if cache.peek("search", "1") is None:
            left += 1
            await cache.get("search", "1", database.load("1"))
            await until_audited(cache, left)
            cache._auditor._next = 0.0  # as if the time between two audits had passed
    assert 50 <= left <= 170, "5% of 2000 in expectation, 10 in standard deviation"
    assert cache.stats.requests["search", "memory", "hit"] == 2000


async def test_audits_are_capped_by_the_second_and_at_a_time(pods: Pods, database: Database) -> None:
    cache = pods.new(audit_share=1.0)
    database.rows = {str(number): b"row" for number in range(50)}
    for key in database.rows:
        await cache.get("search", key, database.load(key))
    database.gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    began, reads = loop.time(), database.reads
    for key in database.rows:
        await cache.get("search", key, database.load(key))
        await asyncio.sleep(0)
    begun = database.reads - reads
    assert 1 <= begun <= 1 + (loop.time() - began) * AUDITS_PER_SECOND
    cache._auditor._next = 0.0
    await cache.get("search", "0", database.load("0"))
    cache._auditor._next = 0.0
    await cache.get("search", "1", database.load("1"))
    await asyncio.sleep(0)
    assert len(cache._auditor._tasks) == 2, "two at a time"
    held = [cache.peek("search", key) for key in database.rows]
    assert None not in held, "nothing is left to an audit for which there is no room"
    database.gate.set()


async def test_a_write_here_during_an_audit_makes_it_void(pods: Pods, database: Database) -> None:
    cache = pods.new(audit_share=1.0)
    database.rows["1"] = b"one"
    for void in (cache.invalidate("item", "1"), cache.invalidate_group("item")):
        await cache.get("item", "1", database.load("1"))
        database.gate = asyncio.Event()
        reads = database.reads
        cache._auditor._next = 0.0
        await cache.get("item", "1", database.load("1"))
        await until_read(database, reads + 1)
        database.rows["1"] += b" more"
        await void
        database.gate.set()
        await until(lambda: not cache._auditor._tasks)
        database.gate = None
    assert audits(cache, "item") == {"fresh": 0, "stale": 0, "error": 0}


async def test_no_audits_while_the_database_fails(pods: Pods, database: Database) -> None:
    cache = pods.new(audit_share=1.0)
    database.rows["1"] = b"one"
    await cache.get("search", "1", database.load("1"))
    database.fails = ConnectionError("away")
    for _ in range(3):
        await hit(cache, "search", "1", database, result="error")
    cache._auditor._next = 0.0  # as if the time between two audits had passed
    assert not cache._auditor.has_room()
    assert audits(cache, "search") == {"fresh": 0, "stale": 0, "error": 3}
    database.fails = None
    await cache.get("search", "2", database.load("2"))
    await hit(cache, "search", "1", database, result="fresh")


async def test_no_audits_while_redis_is_away(own_server: OwnServer, database: Database) -> None:
    server = own_server(RedisServer())
    pods = Pods(server.url)
    cache = pods.new(wait_seconds=0.2, audit_share=1.0)
    database.rows["1"] = b"one"
    await cache.get("search", "1", database.load("1"))
    await asyncio.to_thread(server.kill)
    await cache.invalidate("item", "7")
    assert cache.owed_invalidations == 1
    for _ in range(20):
        await cache.get("search", "1", database.load("1"))
        await asyncio.sleep(0)
    assert sum(audits(cache, "search").values()) == 0
    assert not cache._auditor._tasks
    await pods.close()
