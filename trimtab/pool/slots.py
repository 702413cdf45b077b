"""The bookkeeping of a pool: how many connections may be, how many are, and who waits. Knows no connections itself.

A slot is taken from before its connection is opened until after it is closed, so that the server never sees more
connections than `size` plus those that a shrink has yet to see returned (`draining`). Who waits gets, in order, either
a connection that came back (with its slot) or a free slot, in which it opens its own; so waiters profit from growth at
once, and a connection that could not be opened frees its slot for the next in line.

One event loop; everything happens between awaits, so that it needs no lock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy import exc

from trimtab.pool.interface import checked_size

C = TypeVar("C")


class Slots(Generic[C]):
    """`size` slots for connections of type C, and the queue before them.

    `taken` is the number of slots in use, `leaving` of those whose connection is being closed. `refused` gets what was
    given to a waiter that was cancelled in the same moment: a connection, never None.
    """

    __slots__ = ("_drain_waiters", "_refused", "_status", "_waiters", "leaving", "size", "taken", "timeouts")

    def __init__(self, size: int, refused: Callable[[C], None], status: Callable[[], str]) -> None:
        self.size = checked_size(size)
        self.taken = 0
        self.leaving = 0
        self.timeouts = 0
        self._refused = refused
        self._status = status
        self._waiters: deque[asyncio.Future[C | None]] = deque()
        self._drain_waiters: set[asyncio.Future[None]] = set()

    @property
    def draining(self) -> int:
        """Slots in use beyond the size."""
        return max(0, self.taken - self.size)

    @property
    def surplus(self) -> int:
        """Connections beyond the size of which nobody has begun to close one; negative: there is room."""
        return self.taken - self.leaving - self.size

    def waiting(self) -> int:
        """Who waits and has not been served."""
        return sum(not waiter.done() for waiter in self._waiters)

    def resize(self, size: int) -> None:
        """From now on so many. Waiters get what is new at once."""
        self.size = checked_size(size)
        self._serve()
        self._tell_drained()

    def take(self) -> bool:
        """Take a free slot. Whoever waits has been given those that came free, so nobody is overtaken."""
        if self.taken >= self.size:
            return False
        self.taken += 1
        return True

    def vacate(self) -> None:
        """Free a slot whose connection is gone."""
        self.taken -= 1
        self._serve()
        self._tell_drained()

    def hand_over(self, connection: C) -> bool:
        """Give a connection that came back, with its slot, to who waits longest. False: nobody waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    async def wait(self, seconds: float) -> C | None:
        """A connection that came back, or None with a slot taken for this task."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[C | None] = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_later(seconds, self._give_up, waiter, seconds)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Cancelled after it was served: what it was given goes to the next in line.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                gift = waiter.result()
                if gift is None:
                    self.vacate()
                else:
                    self._refused(gift)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
        finally:
            timer.cancel()

    async def drained(self) -> None:
        """Wait until no more slots are taken than there are."""
        if not self.draining:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drain_waiters.add(waiter)
        try:
            await waiter
        finally:
            self._drain_waiters.discard(waiter)

    def _serve(self) -> None:
        """Give free slots to the longest waiting."""
        while self._waiters and self.taken < self.size:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.taken += 1
                waiter.set_result(None)

    def _tell_drained(self) -> None:
        if self._drain_waiters and not self.draining:
            for waiter in self._drain_waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _give_up(self, waiter: asyncio.Future[C | None], seconds: float) -> None:
        if waiter.done():
            return
        self._waiters.remove(waiter)
        self.timeouts += 1
        waiter.set_exception(
            exc.TimeoutError(
                f"no database connection came free within {seconds} s ({self._status()}); "
                "raise the pool size, or pool_timeout, or make the transactions shorter"
            )
        )
