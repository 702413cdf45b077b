"""The way to the database: statements compiled once, run by the driver on a connection of the resizable pool.

A statement is written in SQLAlchemy Core and compiled when the module is imported; then its text is constant, so that
the driver and the pooler prepare it once. Its name stands before it as a comment, by which pg_stat_statements can be
joined with the routes. A read of one statement runs outside a transaction: one round trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.sql.expression import Executable
from sqlalchemy.util import greenlet_spawn

from services.api.settings import Settings
from trimtab.pool import ResizableAsyncPool

Row = Mapping[str, Any]
_DIALECT = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]


class Statement:
    """A compiled statement. `name` is `<feature>.<what>`; arguments are given by the names of its bind parameters."""

    def __init__(self, name: str, statement: Executable) -> None:
        compiled = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]  # every Executable of Core has it
        self.name = name
        self.text = f"/* {name} */ {compiled}"
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._constants: dict[str, Any] = {key: value for key, value in compiled.params.items() if value is not None}

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of $1, $2, ..."""
        constants = self._constants
        return [values[name] if name in values else constants[name] for name in self._names]


class Queries(Protocol):
    """What repositories need: a database, or a transaction of it."""

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Every row."""

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        """The first row, None where there is none."""


class Transaction:
    """Statements that take effect together, on one connection."""

    def __init__(self, driver: asyncpg.Connection, timeout_seconds: float) -> None:
        self._driver = driver
        self._timeout = timeout_seconds

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        rows: list[Row] = await self._driver.fetch(statement.text, *statement.arguments(values), timeout=self._timeout)
        return rows

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        row: Row | None = await self._driver.fetchrow(
            statement.text, *statement.arguments(values), timeout=self._timeout
        )
        return row


class Database:
    """Reads and transactions over a pool whose size may change at any time."""

    def __init__(self, engine: AsyncEngine, *, statement_timeout_seconds: float) -> None:
        self.engine = engine
        self._timeout = statement_timeout_seconds

    @classmethod
    def open(cls, settings: Settings) -> Database:
        """Nothing is connected yet: the pool opens connections when they are needed."""
        engine = create_async_engine(
            settings.database_url(),
            poolclass=ResizableAsyncPool,
            pool_size=settings.pool_size,
            pool_timeout=settings.checkout_timeout_seconds,
            connect_args={"timeout": settings.checkout_timeout_seconds},
        )
        return cls(engine, statement_timeout_seconds=settings.statement_timeout_seconds)

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Every row, in one round trip outside a transaction."""
        async with self._connection() as driver:
            return await Transaction(driver, self._timeout).all(statement, **values)

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        """The first row, in one round trip outside a transaction."""
        async with self._connection() as driver:
            return await Transaction(driver, self._timeout).first(statement, **values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """BEGIN, then COMMIT; ROLLBACK where the block raises."""
        async with self._connection() as driver, driver.transaction():
            yield Transaction(driver, self._timeout)

    async def close(self) -> None:
        """Close the pool's connections."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        """The driver's connection of a checked-out one.

        A request that is cancelled in the middle of a statement takes its connection along: the server might still
        be at work on it. So does one whose answer broke off, which the driver may report as an error of its own.
        """
        checked_out = await self.engine.raw_connection()
        try:
            yield checked_out.driver_connection
        except (asyncio.CancelledError, TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            await asyncio.shield(greenlet_spawn(checked_out.invalidate))
            raise
        finally:
            if checked_out.is_valid:
                await asyncio.shield(greenlet_spawn(checked_out.close))
