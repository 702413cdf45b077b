"""What the tests of the cache work with: pods over one Redis, a clock that can be moved, a database that counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import redis
from redis.asyncio import Redis

from trimtab.cache import Cache, CacheGroup, Invalidation

DEADLINE_SECONDS = 30.0
PATIENT_SECONDS = 5.0
ITEM = CacheGroup("item", ttl_seconds=60, invalidation=Invalidation.ON_WRITE, l1_seconds=0.05)
SEARCH = CacheGroup("search", ttl_seconds=60)
GROUPS = (ITEM, SEARCH)


class Clock:
    """The wall clock, which a test can move on or let run faster."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.rate = 1.0
        self._began = time.time()

    def freeze(self) -> None:
        """Let it stand, but for what it is moved on."""
        self.ahead = self() - self._began
        self.rate = 0.0

    def __call__(self) -> float:
        return self._began + self.rate * (time.time() - self._began) + self.ahead


class Database:
    """A row for each key, read with a delay; counts its reads. While `fails` is set reads raise it."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.reads = 0
        self.delay_seconds = 0.0
        self.gate: asyncio.Event | None = None
        self.fails: Exception | None = None

    def load(self, key: str) -> Callable[[], asyncio.Future[bytes | None]]:
        async def read() -> bytes | None:
            self.reads += 1
            row = self.rows.get(key)
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(self.delay_seconds)
            if self.fails is not None:
                raise self.fails
            return row

        return lambda: asyncio.ensure_future(read())


class Pods:
    """Caches of several processes over one Redis. They audit nothing unless told to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: list[tuple[Cache, Redis]] = []
        self.clock = Clock()

    def new(
        self,
        wait_seconds: float = PATIENT_SECONDS,
        *,
        groups: Sequence[CacheGroup] = GROUPS,
        audit_share: float = 0.0,
        direct_reads: int = 64,
    ) -> Cache:
        client = Redis.from_url(self._url, socket_timeout=None)  # the cache bounds its waits itself
        cache = Cache(
            groups,
            client,
            redis_wait_seconds=wait_seconds,
            clock=self.clock,
            audit_share=audit_share,
            direct_reads=direct_reads,
        )
        self._open.append((cache, client))
        return cache

    def client(self, cache: Cache) -> Redis:
        """The client that a cache was made with."""
        return next(client for each, client in self._open if each is cache)

    def scripts_run(self) -> int:
        """Scripts that Redis has run: each look at a lease and each store is one."""
        with redis.Redis.from_url(self._url) as client:
            return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])

    def is_idle(self) -> bool:
        """Whether no pod is making an answer."""
        return not any(cache._flights._flights for cache, _ in self._open)

    async def close(self) -> None:
        for cache, client in self._open:
            await cache.close()
            await client.aclose()


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds; fail after DEADLINE_SECONDS."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def until_read(database: Database, reads: int) -> None:
    """Wait until the database was read so often."""
    await until(lambda: database.reads >= reads)


async def until_it_gives(cache: Cache, group: str, key: str, database: Database, answer: bytes) -> None:
    """Ask until it does; fail after DEADLINE_SECONDS."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await cache.get(group, key, database.load(key)) != answer:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
