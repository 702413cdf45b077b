"""Closing connections: the slot of one is freed when it is closed, whatever happens on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy import util
from sqlalchemy.pool import ConnectionPoolEntry

from trimtab.pool.slots import Slots

logger = logging.getLogger("trimtab.pool")


class Closer:
    """Closes connections of a pool and vacates their slots.

    By invalidate() rather than close(), because it bounds the wait for a server that does not answer, and outside a
    greenlet does not wait at all.
    """

    __slots__ = ("_slots", "_tasks", "loop")

    def __init__(self, slots: Slots[ConnectionPoolEntry]) -> None:
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop of the pool, once it has opened a connection."""

    def close(self, record: ConnectionPoolEntry) -> None:
        """Close here and now: politely within a greenlet, at once outside of one."""
        self._slots.leaving += 1
        self._finish(record)

    def close_in_background(self, record: ConnectionPoolEntry) -> None:
        """In a task of its own, so that a cancelled caller leaves nothing behind. Beyond the event loop's life: now."""
        if not self._on_loop(self._start, record):
            self.close(record)

    def vacate(self) -> None:
        """Free the slot of a connection that is gone already."""
        if not self._on_loop(self._slots.vacate):
            self._slots.vacate()

    async def wait(self) -> None:
        """Until those that are being closed now are closed."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> bool:
        """Have it called on the event loop: the garbage collector may bring a lost connection back in any thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self.loop is None or self.loop.is_closed():
                return False
            self.loop.call_soon_threadsafe(call, *arguments)
        else:
            call(*arguments)
        return True

    def _start(self, record: ConnectionPoolEntry) -> None:
        self._slots.leaving += 1
        task = asyncio.get_running_loop().create_task(util.greenlet_spawn(self._finish, record))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _finish(self, record: ConnectionPoolEntry) -> None:
        try:
            record.invalidate()
        finally:
            self._slots.leaving -= 1
            self._slots.vacate()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a connection of the pool did not close cleanly: %s", task.exception())
