"""One of the processes of the stampede: many callers of one hot key, over several of its expiries.

    python -m tests.integration.trimtab.cache.stampeder URL CALLERS SECONDS WINDOW MAKING

The makings are written to the Redis list `makings`, each as the time at which it began.
"""

from __future__ import annotations

import asyncio
import sys
import time

from redis.asyncio import Redis

from trimtab.cache import Cache, CacheGroup

KEY = "makings"
PROCESSES = 2


async def run(url: str, callers: int, seconds: float, window_seconds: float, making_seconds: float) -> None:
    client = Redis.from_url(url)
    group = CacheGroup("hot", ttl_seconds=1, stale_seconds=window_seconds)
    cache = Cache([group], client, redis_wait_seconds=5.0, audit_share=0.0)
    await client.incr("ready")
    while int(await client.get("ready") or 0) < PROCESSES:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    end = time.time() + seconds

    async def load() -> bytes:
        await client.rpush(KEY, repr(time.time()))
        await asyncio.sleep(making_seconds)
        return b"hot"

    async def call() -> None:
        while time.time() < end:
            assert await cache.get("hot", "key", load) == b"hot"
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call())
    await cache.close()
    await client.aclose()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:])))
