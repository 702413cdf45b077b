"""Reads of one turn of the event loop are one command, and each gets what it asked for."""

from __future__ import annotations

import asyncio

import redis

from deploy.servers.redis import RedisServer
from tests.integration.trimtab.cache.pods import Database, Pods
from trimtab.cache.batch import MAX_ITEMS

KEYS = 2 * MAX_ITEMS + 10


def messages(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("commandstats").get("cmdstat_mget", {"calls": 0})["calls"])


async def test_reads_at_the_same_time_share_commands_and_get_their_own_answers(
    pods: Pods, database: Database, clean_redis: RedisServer
) -> None:
    first, second = pods.new(), pods.new()
    for key in map(str, range(KEYS)):
        database.rows[key] = f"row {key}".encode()
    known = [key for key in database.rows if key != "7"]
    await asyncio.gather(*(first.get(group, key, database.load(key)) for group in ("item", "search") for key in known))
    before, reads = messages(clean_redis), database.reads
    gone = asyncio.create_task(second.get("item", "0", database.load("0")))
    callers = [
        second.get(group, str(key), database.load(str(key))) for group in ("item", "search") for key in range(KEYS)
    ]
    answers = asyncio.gather(*callers)
    await asyncio.sleep(0)
    gone.cancel()
    assert await answers == [f"row {key}".encode() for _ in range(2) for key in range(KEYS)]
    assert database.reads == reads + 2, "only what no pod had read"
    assert messages(clean_redis) - before <= 10, "for 276 reads"
