"""What the tests of the pool share: an engine over it, tasks that use it in both ways, and waiting for what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Login, Postgres
from trimtab.pool import ResizableAsyncPool, ResizablePool

DEADLINE_SECONDS = 30.0

Way = Literal["engine", "connection"]
WAYS: tuple[Way, Way] = ("engine", "connection")


@asynccontextmanager
async def engine_of(login: Login, **arguments: Any) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(login.url("postgresql+asyncpg"), poolclass=ResizableAsyncPool, **arguments)
    try:
        yield engine
    finally:
        await engine.dispose()


def pool_of(engine: AsyncEngine) -> ResizablePool:
    pool = engine.sync_engine.pool
    assert isinstance(pool, ResizablePool)
    return pool


def backends(postgres: Postgres, database: str) -> int:
    """Connections that the server sees."""
    rows = postgres.execute(
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend'"
    )
    count = rows[0][0]
    assert isinstance(count, int)
    return count


def seen_by(postgres: Postgres, pgbouncer: PgBouncer, login: Login, database: str) -> Callable[[], int]:
    """Counts the connections at the other end of the pool, whichever it is."""
    if login.port == postgres.port:
        return lambda: backends(postgres, database)
    return lambda: sum(client["user"] == login.user for client in pgbouncer.console("SHOW CLIENTS"))


async def eventually(holds: Callable[[], bool] | Callable[[], Awaitable[bool]], what: Callable[[], str]) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while True:
        result = holds()
        if result if isinstance(result, bool) else await result:
            return
        assert asyncio.get_running_loop().time() < deadline, what()
        await asyncio.sleep(0.02)


async def use(engine: AsyncEngine, way: Way, seconds: float = 0.002) -> None:
    """One short request."""
    if way == "engine":
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
    else:
        async with pool_of(engine).connection() as driver:
            await driver.fetchval("SELECT pg_sleep($1)", seconds)


class Load:
    """Tasks that make short requests all the time, every other one in the other way, and count what happens."""

    def __init__(self, engine: AsyncEngine, tasks: int, ways: tuple[Way, ...] = WAYS) -> None:
        self._engine = engine
        self._ways = ways
        self._number = tasks
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.done = 0
        self.errors: list[BaseException] = []

    async def _work(self, way: Way) -> None:
        while not self._stopping:
            try:
                await use(self._engine, way)
                self.done += 1
            except Exception as error:
                self.errors.append(error)
                await asyncio.sleep(0.01)

    async def more(self, requests: int) -> None:
        """Wait until so many more have been done."""
        goal = self.done + requests
        await eventually(lambda: self.done >= goal, lambda: f"only {self.done} of {goal} done, {self.errors[:3]}")

    async def __aenter__(self) -> Load:
        ways = [self._ways[number % len(self._ways)] for number in range(self._number)]
        self._tasks = [asyncio.create_task(self._work(way)) for way in ways]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)
