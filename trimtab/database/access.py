"""Running statements: reads in one round trip outside a transaction, and transactions.

Each round trip is timed for the request that runs (trimtab.telemetry.request).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from time import perf_counter
from typing import Any, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import Pool

from trimtab.database.statement import Statement
from trimtab.pool import ResizablePool
from trimtab.telemetry.request import note_statement

R = TypeVar("R")

BEGIN, COMMIT, ROLLBACK = "transaction.begin", "transaction.commit", "transaction.rollback"
"""The names by which the round trips around a transaction are noted."""

ROLLBACK_SECONDS = 5.0


class Queries(Protocol):
    """What repositories need: a database, or a transaction of it."""

    async def all(self, statement: Statement[R], /, **values: Any) -> list[R]:
        """Every row."""

    async def first(self, statement: Statement[R], /, **values: Any) -> R | None:
        """The first row, None where there is none."""


class Transaction:
    """Statements on one connection that take effect together. `timeout_seconds` bounds each of them."""

    __slots__ = ("_driver", "_timeout")

    def __init__(self, driver: Any, timeout_seconds: float) -> None:
        self._driver = driver
        self._timeout = timeout_seconds

    async def all(self, statement: Statement[R], /, **values: Any) -> list[R]:
        """Every row."""
        return await _all(self._driver, self._timeout, statement, values)

    async def first(self, statement: Statement[R], /, **values: Any) -> R | None:
        """The first row, None where there is none."""
        return await _first(self._driver, self._timeout, statement, values)


class Database:
    """Reads and transactions over the pool of an engine, whose size may change at any time.

    A read of one statement runs outside a transaction: one round trip. A statement that is cancelled or takes longer
    than `statement_timeout_seconds` takes its connection along.
    """

    def __init__(self, engine: AsyncEngine, *, statement_timeout_seconds: float = 30.0) -> None:
        self.engine = engine
        self._sync_engine = engine.sync_engine
        self._timeout = statement_timeout_seconds
        self._pool_seen = self._sync_engine.pool
        self._pool = _resizable(self._pool_seen)

    async def all(self, statement: Statement[R], /, **values: Any) -> list[R]:
        """Every row, in one round trip outside a transaction."""
        async with self._connection() as driver:
            return await _all(driver, self._timeout, statement, values)

    async def first(self, statement: Statement[R], /, **values: Any) -> R | None:
        """The first row, in one round trip outside a transaction."""
        async with self._connection() as driver:
            return await _first(driver, self._timeout, statement, values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """BEGIN, then COMMIT; ROLLBACK where the block raises. TimeoutError out of COMMIT: nobody knows the outcome."""
        async with self._connection() as driver:
            transaction = driver.transaction()
            await _timed(BEGIN, transaction.start(), self._timeout)
            try:
                yield Transaction(driver, self._timeout)
            except BaseException:
                # For a pooler's sake even where the connection will be closed: it would close the server's, too. What
                # fails here is not what went wrong, and the pool hands on no connection with an open transaction.
                with suppress(Exception):
                    await _timed(ROLLBACK, transaction.rollback(), ROLLBACK_SECONDS)
                raise
            await _timed(COMMIT, transaction.commit(), self._timeout)

    async def close(self) -> None:
        """Close the pool's connections."""
        await self.engine.dispose()

    def _connection(self) -> AbstractAsyncContextManager[Any]:
        pool = self._sync_engine.pool
        if pool is not self._pool_seen:  # Engine.dispose() has replaced it
            self._pool_seen, self._pool = pool, _resizable(pool)
        return self._pool.connection()


def _resizable(pool: Pool) -> ResizablePool:
    if not isinstance(pool, ResizablePool):
        raise TypeError(
            f"the engine's pool is a {type(pool).__name__}, which gives no driver connections; "
            "remedy: create_async_engine(url, poolclass=ResizableAsyncPool, pool_size=...)"
        )
    return pool


async def _all(driver: Any, seconds: float, statement: Statement[R], values: Mapping[str, Any]) -> list[R]:
    started = perf_counter()
    try:
        records = await driver.fetch(statement.text, *statement.arguments(values), timeout=seconds)
    finally:
        note_statement(statement.name, perf_counter() - started)
    row = statement.row
    return records if row is None else [row(record) for record in records]


async def _first(driver: Any, seconds: float, statement: Statement[R], values: Mapping[str, Any]) -> R | None:
    started = perf_counter()
    try:
        record = await driver.fetchrow(statement.text, *statement.arguments(values), timeout=seconds)
    finally:
        note_statement(statement.name, perf_counter() - started)
    row = statement.row
    return record if record is None or row is None else row(record)


async def _timed(name: str, round_trip: Awaitable[object], seconds: float) -> None:
    """The driver's own round trips around a transaction wait for ever where an answer is lost."""
    started = perf_counter()
    try:
        async with asyncio.timeout(seconds):
            await round_trip
    finally:
        note_statement(name, perf_counter() - started)
