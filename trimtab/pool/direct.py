"""`pool.connection()`: the driver's connection of a checked-out one, without greenlet and proxy objects on the way.

An idle connection is taken and given back without waiting for anything, so the event loop does nothing else between.
What SQLAlchemy would do at a return is done here only where it is needed: a rollback where a transaction is open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.pool import ConnectionPoolEntry

if TYPE_CHECKING:
    from trimtab.pool.resizable import ResizableAsyncPool

ROLLBACK_SECONDS = 5.0
"""How long a rollback of what a block left open may take; after that the connection is closed instead."""

_BREAKING = ("InterfaceError", "InternalClientError")

T = TypeVar("T")

logger = logging.getLogger("trimtab.pool")


class DirectCheckout:
    """A connection for as long as the block lasts."""

    __slots__ = ("_driver", "_pool", "_record")
    _record: ConnectionPoolEntry
    _driver: Any

    def __init__(self, pool: ResizableAsyncPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Any:
        self._record = record = await self._pool._get_directly()
        self._driver = driver = record.driver_connection
        return driver

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        driver = self._driver
        if driver.is_closed() or (error is not None and breaks(error)):
            self._pool._closer.close_in_background(self._record)
        elif driver.is_in_transaction():
            # Shielded: a caller that is cancelled now must not leave the connection halfway.
            await asyncio.shield(self._roll_back())
        else:
            self._pool._take_back(self._record)

    async def _roll_back(self) -> None:
        try:
            await self._driver.execute("ROLLBACK", timeout=ROLLBACK_SECONDS)
        except BaseException as error:
            logger.warning("a transaction that was left open could not be rolled back: %s", type(error).__name__)
            self._pool._closer.close_in_background(self._record)
            if not isinstance(error, Exception):
                raise
        else:
            self._pool._take_back(self._record)


async def drivers_errors(opening: Awaitable[T]) -> T:
    """Opening a connection, with the driver's own error where it fails: SQLAlchemy translates it, up to twice."""
    try:
        return await opening
    except Exception as error:
        first: BaseException = error
        while first.__cause__ is not None and type(first).__module__.startswith("sqlalchemy."):
            first = first.__cause__
        if first is error:
            raise
        raise first  # noqa: B904  # it keeps the cause that it has


def breaks(error: BaseException) -> bool:
    """Whether a connection may be in an unknown state after this error.

    A statement that was cancelled or timed out may still be at work on the server. An answer that broke off is an
    OSError, or one of the errors that asyncpg raises about itself. What the server says in full (PostgresError) leaves
    the connection as good as new.
    """
    if not isinstance(error, Exception) or isinstance(error, (TimeoutError, OSError)):
        return True
    return any(base.__name__ in _BREAKING for base in type(error).__mro__)
