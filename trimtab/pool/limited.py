"""The fallback for a SQLAlchemy that the resizable pool does not know: a fixed pool behind a limiter of its own.

Built on what SQLAlchemy promises: `AsyncAdaptedQueuePool`, its `connect()` and `recreate()`, pool events, and the two
functions with which dialects await (`greenlet_spawn`, and `await_` under any of its names).

Weaker than the resizable pool: what is limited is the number of connections in use. Idle ones stay open, up to
`max_size`, until they are older than `max_age_seconds` when they are next used; `draining` counts those in use only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from sqlalchemy import event, util
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, PoolProxiedConnection

from trimtab.knobs.document import MAX_CONNECTIONS_PER_POD
from trimtab.pool import age
from trimtab.pool.direct import breaks
from trimtab.pool.interface import checked_size
from trimtab.pool.slots import Slots

_SLOT = "trimtab_slot"
_await: Callable[[Any], Any] = getattr(util, "await_", None) or util.await_only


class LimitedAsyncPool(AsyncAdaptedQueuePool):
    """At most `pool_size` connections in use, changed by `resize` at any time up to `max_size`."""

    def __init__(
        self,
        creator: Any,
        pool_size: int = 5,
        timeout: float = 30.0,
        max_age_seconds: float = age.MAX_AGE_SECONDS,
        max_size: int | None = None,
        **pool_arguments: Any,
    ) -> None:
        self.max_size = MAX_CONNECTIONS_PER_POD if max_size is None else max_size
        self._slots: Slots[NoReturn] = Slots(self._within_bounds(pool_size), _nothing_to_refuse, self.status)
        self._seconds = timeout
        self.on_checkout: Callable[[float], None] | None = None
        pool_arguments |= {"max_overflow": 0, "use_lifo": True}
        if pool_arguments.get("recycle", -1) == -1:
            pool_arguments["recycle"] = max(1, round(max_age_seconds))
        super().__init__(creator, pool_size=self.max_size, timeout=timeout, **pool_arguments)
        event.listen(self, "checkin", _free_slot)
        event.listen(self, "detach", _free_slot)

    # What others may ask (documented in interface.py).

    def size(self) -> int:
        return self._slots.size

    def checkedin(self) -> int:
        return super().checkedin()

    def checkedout(self) -> int:
        return self._slots.taken

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

    def status(self) -> str:
        return (
            f"size {self.size()} of at most {self.max_size}, checked out {self.checkedout()}, "
            f"draining {self.draining}, waiting {self.waiting()}"
        )

    async def resize(self, size: int) -> None:
        """Make `size` the most connections in use. Waiting checkouts profit at once."""
        self._slots.resize(self._within_bounds(size))

    async def drained(self) -> None:
        await self._slots.drained()

    # Checkouts.

    def connect(self) -> PoolProxiedConnection:
        """For SQLAlchemy, which calls it within a greenlet."""
        started = time.perf_counter()
        try:
            if not self._slots.take():
                _await(self._slots.wait(self._seconds))
            return self._connect_in_slot()
        finally:
            self._note_checkout(started)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        started = time.perf_counter()
        try:
            if not self._slots.take():
                await self._slots.wait(self._seconds)
            proxied = await util.greenlet_spawn(self._connect_in_slot)
        finally:
            self._note_checkout(started)
        try:
            yield proxied.driver_connection
        except BaseException as error:
            if breaks(error):
                await asyncio.shield(util.greenlet_spawn(proxied.invalidate))
            raise
        finally:
            if proxied.is_valid:
                await asyncio.shield(util.greenlet_spawn(self._give_back, proxied))

    def _connect_in_slot(self) -> PoolProxiedConnection:
        """The slot goes with the record, and comes back by the events of its return."""
        try:
            proxied = super().connect()
            assert proxied.record_info is not None  # noqa: S101  # only a detached one has none
            proxied.record_info[_SLOT] = self._slots
        except BaseException:
            self._slots.vacate()
            raise
        return proxied

    def _give_back(self, proxied: PoolProxiedConnection) -> None:
        """SQLAlchemy rolls back only transactions that it has begun itself."""
        driver = proxied.driver_connection
        if driver is None or driver.is_closed():
            proxied.invalidate()
            return
        try:
            if driver.is_in_transaction():
                _await(driver.execute("ROLLBACK"))
        except BaseException:
            proxied.invalidate()
            raise
        proxied.close()

    def _note_checkout(self, started: float) -> None:
        if self.on_checkout is not None:
            self.on_checkout(time.perf_counter() - started)

    def _within_bounds(self, size: int) -> int:
        if checked_size(size) > self.max_size:
            raise ValueError(
                f"the pool size is {size}, the fixed pool of this engine has {self.max_size} connections; "
                "remedy: a larger max_size in create_async_engine"
            )
        return size

    def recreate(self) -> LimitedAsyncPool:
        """An empty pool with the same settings and the present size: what Engine.dispose() leaves behind."""
        pool = super().recreate()  # with the fixed pool's size as both
        assert isinstance(pool, LimitedAsyncPool)  # noqa: S101  # it makes one of its own class
        pool.max_size, pool._slots.size = self.max_size, self.size()
        pool.on_checkout, pool.timeouts = self.on_checkout, self.timeouts
        return pool


def _free_slot(connection: Any, record: ConnectionPoolEntry) -> None:
    """The events of a return; a checkout that failed halfway has no slot in its record."""
    slots: Slots[NoReturn] | None = None if record.record_info is None else record.record_info.pop(_SLOT, None)
    if slots is not None:
        slots.vacate()


def _nothing_to_refuse(connection: Any) -> None:
    raise AssertionError(f"a limiter hands over no connections, {connection!r} came from somewhere")
