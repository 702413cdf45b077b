"""Single flight: callers that want the same thing at the same time share one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextvars import Context
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SingleFlight(Generic[Key, Result]):
    """`await flights.run(key, work)`: joins the work in progress for the key, or starts it.

    The work runs in a task of its own: a caller that is cancelled harms no other.
    """

    def __init__(self) -> None:
        self._flights: dict[Key, asyncio.Task[Result]] = {}
        self._left: set[asyncio.Task[Result]] = set()

    async def run(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of the work, or its exception."""
        flight = self._in_progress(key)
        if flight is None:
            flight = self._start(key, work, None)
        return await asyncio.shield(flight)

    def start(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> bool:
        """Start the work for nobody in particular, unless some is in progress for the key. Whether it was started.

        It runs outside the request that caused it: nothing that it does is accounted to that request.
        """
        if self._in_progress(key) is not None:
            return False
        self._start(key, work, Context())
        return True

    def leave(self, key: Key) -> None:
        """Let those who come from now on start anew: what is in progress may know less than they must."""
        flight = self._flights.pop(key, None)
        if flight is not None:
            self._left.add(flight)

    def leave_all(self, chosen: Callable[[Key], bool]) -> None:
        """`leave` for every chosen key."""
        for key in [key for key in self._flights if chosen(key)]:
            self.leave(key)

    def _in_progress(self, key: Key) -> asyncio.Task[Result] | None:
        """One that is done but has not landed yet is over: its result belongs to those who were in it."""
        flight = self._flights.get(key)
        return None if flight is None or flight.done() else flight

    def _start(
        self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]], context: Context | None
    ) -> asyncio.Task[Result]:
        flight = asyncio.get_running_loop().create_task(work(), context=context)
        self._flights[key] = flight
        flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    def _land(self, key: Key, flight: asyncio.Task[Result]) -> None:
        self._left.discard(flight)
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen: every caller may be gone

    async def close(self) -> None:
        """Stop what is in progress, also what was left."""
        flights: list[Awaitable[Any]] = []
        for flight in [*self._flights.values(), *self._left]:
            flight.cancel()
            flights.append(flight)
        await asyncio.gather(*flights, return_exceptions=True)
