"""A SQLAlchemy asyncio pool that is resized while it is in use.

    engine = create_async_engine(url, poolclass=ResizableAsyncPool, pool_size=8)
    await engine.pool.resize(20)

The pool counts slots: a slot is taken from before its connection is opened until after it is closed, so that the
server never sees more connections than `size` plus those that a shrink has yet to see returned (`draining`). A task
that waits gets either a connection that came back or a free slot, in which it opens its own; so it profits from
growth at once, and a connection that could not be opened frees its slot for the next in line.

Built on the extension points of `sqlalchemy.pool.Pool` (`_do_get`, `_do_return_conn`, `_create_connection`) rather than
on the insides of its queue pool. One event loop; all bookkeeping happens between awaits, so that it needs no lock.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from sqlalchemy import exc
from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.util import concurrency

from trimtab.pool.check import check_sqlalchemy

logger = logging.getLogger(__name__)

MAX_AGE_SECONDS = 120.0
"""Mean life of a connection: a new pooler pod gets its share of the connections within about this time."""

AGE_JITTER = 0.25
"""Each connection lives between (1 - jitter) and (1 + jitter) times the mean, so that they do not all renew at once."""

SWEEPS_PER_LIFE = 16
_RETIRE_AT = "trimtab_retire_at"


class ResizableAsyncPool(Pool):
    """At most `pool_size` connections, changed by `resize` at any time. There is no overflow.

    `timeout` is how many seconds a checkout waits for a connection before sqlalchemy.exc.TimeoutError.
    `max_age_seconds` is the mean life of a connection (+-25%): an older one is closed when it comes back, or when it
    is found idle. All of them can be given to create_async_engine (`timeout` as `pool_timeout`).
    """

    _is_asyncio = True

    def __init__(
        self,
        creator: Any,
        pool_size: int = 5,
        timeout: float = 30.0,
        max_age_seconds: float = MAX_AGE_SECONDS,
        **pool_arguments: Any,
    ) -> None:
        check_sqlalchemy()
        super().__init__(creator, **pool_arguments)
        self._size = _checked(pool_size)
        self._timeout = timeout
        self._max_age_seconds = max_age_seconds
        self._total = 0
        self._leaving = 0
        self._idle: deque[ConnectionPoolEntry] = deque()
        self._waiters: deque[asyncio.Future[ConnectionPoolEntry | None]] = deque()
        self._drain_waiters: set[asyncio.Future[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._disposed = False
        self.timeouts = 0
        """Checkouts that gave up waiting."""
        self.on_checkout: Callable[[float], None] | None = None
        """Called with the seconds that each checkout took, waiting and connecting together."""

    # What others may ask.

    def size(self) -> int:
        """The most connections that the pool keeps."""
        return self._size

    def checkedin(self) -> int:
        """Idle connections."""
        return len(self._idle)

    def checkedout(self) -> int:
        """Connections in use, being opened or being closed."""
        return self._total - len(self._idle)

    def waiting(self) -> int:
        """Checkouts that wait for a connection."""
        return sum(not waiter.done() for waiter in self._waiters)

    @property
    def draining(self) -> int:
        """Connections beyond the size: each is closed when it comes back."""
        return max(0, self._total - self._size)

    def timeout(self) -> float:
        """Seconds that a checkout waits at most."""
        return self._timeout

    def status(self) -> str:
        """One line for people."""
        return (
            f"size {self._size}, idle {self.checkedin()}, checked out {self.checkedout()}, "
            f"draining {self.draining}, waiting {self.waiting()}"
        )

    # Resizing.

    async def resize(self, size: int) -> None:
        """Make `size` the most connections of the pool, at least 1.

        When this returns, waiting checkouts have the new connections' slots and idle surplus is closed. Connections in
        use beyond the size close when they come back: see `drained`. The size holds even if this is cancelled.
        """
        self._size = _checked(size)
        self._serve_waiters()
        self._tell_drained()
        surplus = [self._idle.popleft() for _ in range(min(self._surplus, len(self._idle)))]
        for record in surplus:
            self._close_in_background(record)
        if self._closing:
            await asyncio.wait(set(self._closing))

    async def drained(self) -> None:
        """Wait until no more connections exist than the size allows."""
        if not self.draining:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drain_waiters.add(waiter)
        try:
            await waiter
        finally:
            self._drain_waiters.discard(waiter)

    # What SQLAlchemy calls, always within a greenlet that may await.

    def _do_get(self) -> ConnectionPoolEntry:
        started = time.perf_counter()
        try:
            record = self._idle_record()
            if record is None and not self._take_slot():
                record = concurrency.await_(self._wait())
            if record is None:
                record = self._open()
        finally:
            if self.on_checkout is not None:
                self.on_checkout(time.perf_counter() - started)
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if record.dbapi_connection is None:
            self._vacate_from_anywhere()
        elif self._disposed or self._surplus > 0 or self._is_old(record):
            self._close(record)
        else:
            self._hand_over(record)

    def recreate(self) -> ResizableAsyncPool:
        """An empty pool with the same settings and the present size: what Engine.dispose() leaves behind."""
        pool = self.__class__(
            self._creator,
            pool_size=self._size,
            timeout=self._timeout,
            max_age_seconds=self._max_age_seconds,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )
        pool.on_checkout, pool.timeouts = self.on_checkout, self.timeouts
        return pool

    def dispose(self) -> None:
        """Close what is idle now and everything else when it comes back. Those who wait are still served."""
        self._disposed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        while self._idle:
            self._close(self._idle.popleft())

    # Bookkeeping. `_total` is the number of taken slots, `_leaving` of those whose connection is being closed.

    @property
    def _surplus(self) -> int:
        """Connections beyond the size of which nobody has begun to close one; negative: there is room."""
        return self._total - self._leaving - self._size

    def _take_slot(self) -> bool:
        if self._total >= self._size:
            return False
        self._total += 1
        return True

    def _idle_record(self) -> ConnectionPoolEntry | None:
        """The idle connection used last, so that the others may be closed for their age undisturbed.

        One that the server has closed meanwhile (a restart) is dropped here, which costs no round trip.
        """
        while self._idle:
            record = self._idle.pop()
            if not _is_closed(record):
                return record
            self._close(record)
        return None

    def _open(self) -> ConnectionPoolEntry:
        """A new connection in a slot that is already taken."""
        self._loop = asyncio.get_running_loop()
        try:
            record = self._create_connection()
        except BaseException:
            self._vacate()
            raise
        self._set_age(record)
        return record

    def _close(self, record: ConnectionPoolEntry) -> None:
        """Close and free the slot, whatever happens.

        invalidate() rather than close(), because it bounds the wait for a server that does not answer.
        """
        self._leaving += 1
        self._finish_close(record)

    def _finish_close(self, record: ConnectionPoolEntry) -> None:
        try:
            record.invalidate()
        finally:
            self._leaving -= 1
            self._vacate()

    def _close_in_background(self, record: ConnectionPoolEntry) -> None:
        """In a task of its own, so that a cancelled caller leaves no surplus behind."""
        self._leaving += 1
        task = asyncio.get_running_loop().create_task(concurrency.greenlet_spawn(self._finish_close, record))
        self._closing.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a surplus connection did not close cleanly: %s", task.exception())

    def _hand_over(self, record: ConnectionPoolEntry) -> None:
        """Give a connection that came back to the longest waiting checkout, or keep it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(record)
                return
        self._idle.append(record)
        self._schedule_sweep()

    def _vacate(self) -> None:
        """Free a slot whose connection is gone."""
        self._total -= 1
        self._serve_waiters()
        self._tell_drained()

    def _tell_drained(self) -> None:
        if not self.draining:
            for waiter in self._drain_waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _vacate_from_anywhere(self) -> None:
        """The garbage collector may bring a lost connection back in another thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._vacate)
                return
        self._vacate()

    def _serve_waiters(self) -> None:
        """Give free slots to the longest waiting checkouts."""
        while self._waiters and self._total < self._size:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._total += 1
                waiter.set_result(None)

    async def _wait(self) -> ConnectionPoolEntry | None:
        """A connection that came back, or None with a slot taken for this task."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[ConnectionPoolEntry | None] = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_later(self._timeout, self._give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Cancelled after it was served: what it was given goes to the next in line.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                record = waiter.result()
                if record is None:
                    self._vacate()
                elif self._disposed or self._surplus > 0:
                    self._close_in_background(record)
                else:
                    self._hand_over(record)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
        finally:
            timer.cancel()

    def _give_up(self, waiter: asyncio.Future[ConnectionPoolEntry | None]) -> None:
        if waiter.done():
            return
        self._waiters.remove(waiter)
        self.timeouts += 1
        waiter.set_exception(
            exc.TimeoutError(
                f"no database connection came free within {self._timeout} s ({self.status()}); "
                "raise the pool size, or pool_timeout, or make the transactions shorter"
            )
        )

    # Age.

    def _set_age(self, record: ConnectionPoolEntry) -> None:
        life = self._max_age_seconds * random.uniform(1 - AGE_JITTER, 1 + AGE_JITTER)  # noqa: S311
        record.info[_RETIRE_AT] = time.monotonic() + life

    def _is_old(self, record: ConnectionPoolEntry) -> bool:
        retire_at = record.info.get(_RETIRE_AT)
        if retire_at is None:  # SQLAlchemy has renewed the connection within its slot.
            self._set_age(record)
            return False
        return bool(time.monotonic() >= retire_at)

    def _schedule_sweep(self) -> None:
        if self._sweep_timer is None:
            loop = asyncio.get_running_loop()
            self._sweep_timer = loop.call_later(self._max_age_seconds / SWEEPS_PER_LIFE, _sweep, weakref.ref(self))

    def _close_old_idle(self) -> None:
        self._sweep_timer = None
        old = [record for record in self._idle if self._is_old(record)]
        for record in old:
            self._idle.remove(record)
            self._close_in_background(record)
        if self._idle:
            self._schedule_sweep()


def _sweep(reference: weakref.ref[ResizableAsyncPool]) -> None:
    pool = reference()
    if pool is not None:
        pool._close_old_idle()


def _checked(size: Any) -> int:
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"the pool size is {size!r}, it must be an integer of at least 1 (0 would mean no limit)")
    return size


def _is_closed(record: ConnectionPoolEntry) -> bool:
    """Whether the driver already knows that the connection is closed (asyncpg: is_closed(), psycopg: closed)."""
    connection = record.driver_connection
    if connection is None:
        return True
    is_closed = getattr(connection, "is_closed", None)
    return bool(is_closed()) if callable(is_closed) else bool(getattr(connection, "closed", False))
