"""The resizable pool: slots (slots.py) filled with SQLAlchemy's connection records.

Built on the extension points of `sqlalchemy.pool.Pool` (`_do_get`, `_do_return_conn`, `_create_connection`) rather than
on the insides of its queue pool. Two ways out of it share everything: SQLAlchemy's own, which runs in a greenlet and
wraps the connection (`engine.connect()`), and `connection()`, which gives the driver's connection as it is (direct.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlalchemy import util
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from trimtab.pool import age
from trimtab.pool.check import UnsupportedSQLAlchemyError, check_sqlalchemy
from trimtab.pool.closing import Closer
from trimtab.pool.direct import DirectCheckout, drivers_errors
from trimtab.pool.idle import Idle
from trimtab.pool.limited import LimitedAsyncPool
from trimtab.pool.slots import Slots

logger = logging.getLogger("trimtab.pool")


class ResizableAsyncPool(Pool):
    """At most `pool_size` connections, changed by `resize` at any time. There is no overflow.

    `timeout` is how many seconds a checkout waits for a connection before sqlalchemy.exc.TimeoutError.
    `max_age_seconds` is the mean life of a connection (+-25%): an older one is closed when it comes back, or when it
    is found idle. All of them can be given to create_async_engine (`timeout` as `pool_timeout`).

    Under a SQLAlchemy that lacks what this is built on, a LimitedAsyncPool of at most `max_size` connections is made
    instead, with a warning that says so.
    """

    _is_asyncio = True

    def __new__(cls, *arguments: Any, **named: Any) -> ResizableAsyncPool:
        try:
            check_sqlalchemy()
        except UnsupportedSQLAlchemyError as error:
            limited = LimitedAsyncPool(*arguments, **named)
            logger.warning(
                "%s. Until then the pool is a fixed one behind a limiter: requests follow the pool size, but up to %d "
                "connections stay open when they are idle",
                error,
                limited.max_size,
            )
            return limited  # type: ignore[return-value]  # satisfies the same ResizablePool
        return super().__new__(cls)

    def __init__(
        self,
        creator: Any,
        pool_size: int = 5,
        timeout: float = 30.0,
        max_age_seconds: float = age.MAX_AGE_SECONDS,
        max_size: int | None = None,
        **pool_arguments: Any,
    ) -> None:
        super().__init__(creator, **pool_arguments)
        self._slots: Slots[ConnectionPoolEntry] = Slots(pool_size, self._take_back, self.status)
        self._timeout = timeout
        self._max_age_seconds = max_age_seconds
        # For recreate(), which passes on the listeners that there are then.
        others = {name: value for name, value in pool_arguments.items() if name not in ("events", "_dispatch")}
        self._arguments = {"creator": creator, "max_size": max_size, **others}
        self._closer = Closer(self._slots)
        self._idle = Idle(self._closer, max_age_seconds)
        self._disposed = False
        self.on_checkout: Callable[[float], None] | None = None
        self._driver = getattr(self._dialect, "driver", "asyncpg")

    # What others may ask (documented in interface.py).

    def size(self) -> int:
        return self._slots.size

    def checkedin(self) -> int:
        return len(self._idle)

    def checkedout(self) -> int:
        return self._slots.taken - len(self._idle)

    def waiting(self) -> int:
        return self._slots.waiting()

    @property
    def draining(self) -> int:
        return self._slots.draining

    @property
    def timeouts(self) -> int:
        return self._slots.timeouts

    @timeouts.setter
    def timeouts(self, count: int) -> None:
        self._slots.timeouts = count

    def timeout(self) -> float:
        """Seconds that a checkout waits at most."""
        return self._timeout

    def status(self) -> str:
        return (
            f"size {self.size()}, idle {self.checkedin()}, checked out {self.checkedout()}, "
            f"draining {self.draining}, waiting {self.waiting()}"
        )

    async def resize(self, size: int) -> None:
        """Make `size` the most connections of the pool, at least 1.

        When this returns, waiting checkouts have the new connections' slots and idle surplus is closed. Connections in
        use beyond the size close when they come back: see `drained`. The size holds even if this is cancelled.
        """
        self._slots.resize(size)
        self._idle.close_surplus(self._slots.surplus)
        await self._closer.wait()

    async def drained(self) -> None:
        """Wait until no more connections exist than the size allows."""
        await self._slots.drained()

    async def closed(self) -> None:
        """Wait until the connections that are being closed now are closed."""
        await self._closer.wait()

    def connection(self) -> AbstractAsyncContextManager[Any]:
        if self._driver != "asyncpg":
            raise TypeError(f"connection() knows asyncpg, the engine's driver is {self._driver}; use engine.connect()")
        return DirectCheckout(self)

    # Checkouts. Of SQLAlchemy's the methods run within a greenlet, where only `util.await_` awaits.

    def _do_get(self) -> ConnectionPoolEntry:
        started = time.perf_counter()
        try:
            record = self._idle.take()
            if record is None and not self._slots.take():
                record = util.await_(self._slots.wait(self._timeout))
            if record is None:
                record = self._open()
        finally:
            if self.on_checkout is not None:
                self.on_checkout(time.perf_counter() - started)
        return record

    async def _get_directly(self) -> ConnectionPoolEntry:
        """The same for a plain task. Only opening a connection needs a greenlet."""
        started = time.perf_counter()
        try:
            record = self._idle.take()
            if record is None and not self._slots.take():
                record = await self._slots.wait(self._timeout)
            if record is None:
                record = await drivers_errors(util.greenlet_spawn(self._open))
            elif record._is_hard_or_soft_invalidated():  # type: ignore[attr-defined]  # see check.py
                record = await drivers_errors(util.greenlet_spawn(self._replace, record))
        finally:
            if self.on_checkout is not None:
                self.on_checkout(time.perf_counter() - started)
        return record

    def _open(self) -> ConnectionPoolEntry:
        """A new connection in a slot that is already taken."""
        self._closer.loop = asyncio.get_running_loop()
        try:
            record = self._create_connection()
        except BaseException:
            self._slots.vacate()
            raise
        age.begin_life(record, self._max_age_seconds)
        return record

    def _replace(self, record: ConnectionPoolEntry) -> ConnectionPoolEntry:
        """A new connection in the slot of one that SQLAlchemy has given up (a disconnect elsewhere)."""
        try:
            record.invalidate()
        except BaseException:
            self._slots.vacate()
            raise
        return self._open()

    # Returns.

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if record.dbapi_connection is None:
            self._closer.vacate()
        elif self._disposed or self._slots.surplus > 0 or age.is_old(record, self._max_age_seconds):
            self._closer.close(record)
        else:
            self._keep(record)

    def _take_back(self, record: ConnectionPoolEntry) -> None:
        """A return that never waits: what has to be closed is closed in the background."""
        if self._disposed or self._slots.surplus > 0 or age.is_old(record, self._max_age_seconds):
            self._closer.close_in_background(record)
        else:
            self._keep(record)

    def _keep(self, record: ConnectionPoolEntry) -> None:
        if not self._slots.hand_over(record):
            self._idle.put(record)

    # Engine.dispose() leaves a pool behind (recreate) and closes this one (dispose).

    def recreate(self) -> ResizableAsyncPool:
        """An empty pool with the same settings and the present size."""
        pool = self.__class__(
            pool_size=self.size(),
            timeout=self._timeout,
            max_age_seconds=self._max_age_seconds,
            **self._arguments,
            _dispatch=self.dispatch,
        )
        pool.on_checkout, pool.timeouts = self.on_checkout, self.timeouts
        return pool

    def dispose(self) -> None:
        """Close what is idle now and everything else when it comes back. Those who wait are still served."""
        self._disposed = True
        self._idle.close_all()
