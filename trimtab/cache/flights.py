"""Single flight: callers that want the same thing at the same time share one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SingleFlight(Generic[Key, Result]):
    """`await flights.run(key, work)`: joins the work in progress for the key, or starts it.

    The work runs in a task of its own: a caller that is cancelled harms no other.
    """

    def __init__(self) -> None:
        self._flights: dict[Key, asyncio.Task[Result]] = {}

    async def run(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of the work, or its exception."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(work())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def leave(self, key: Key) -> None:
        """Let those who come from now on start anew: what is in progress may know less than they must."""
        self._flights.pop(key, None)

    def leave_all(self, chosen: Callable[[Key], bool]) -> None:
        """`leave` for every chosen key."""
        for key in [key for key in self._flights if chosen(key)]:
            del self._flights[key]

    def _land(self, key: Key, flight: asyncio.Task[Result]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen: every caller may be gone

    async def close(self) -> None:
        """Stop what is in progress."""
        flights: list[Awaitable[Any]] = []
        for flight in self._flights.values():
            flight.cancel()
            flights.append(flight)
        await asyncio.gather(*flights, return_exceptions=True)
