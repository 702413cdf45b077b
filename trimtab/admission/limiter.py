"""Admission: a ceiling on the requests in progress, a bounded queue before it, and an honest 503 beyond.

A service that lets everybody in answers nobody in time. Up to `limit` requests run; up to `queue_length` more wait,
each at most `queue_seconds`; whoever finds the queue full or waits longer is told to come back. The ceiling comes from
the knobs and may change at any time: who runs is never stopped, who waits profits from growth at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

DEFAULT_QUEUE_SECONDS = 1.0
DEFAULT_QUEUE_PER_LIMIT = 2
"""The queue holds this many times the limit where no length is given."""


class OverloadedError(Exception):
    """The request was not admitted. `retry_after_seconds` is what the client is told."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ConcurrencyLimiter:
    """At most `limit` holders at a time: `async with limiter: ...`. First come, first served; one event loop."""

    def __init__(
        self, limit: int, *, queue_length: int | None = None, queue_seconds: float = DEFAULT_QUEUE_SECONDS
    ) -> None:
        self._limit = _checked(limit)
        self._queue_length = queue_length
        self._queue_seconds = queue_seconds
        self._in_flight = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self.rejected = 0
        """How many were not admitted."""

    @property
    def limit(self) -> int:
        """The ceiling now in force."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """Holders at present."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def queue_length(self) -> int:
        """How many may wait."""
        return DEFAULT_QUEUE_PER_LIMIT * self._limit if self._queue_length is None else self._queue_length

    def set_limit(self, limit: int) -> None:
        """Change the ceiling, at least 1. Holders beyond a lower one finish."""
        self._limit = _checked(limit)
        self._admit_waiting()

    async def acquire(self) -> None:
        """Be admitted, or raise OverloadedError."""
        if self._in_flight < self._limit:
            self._in_flight += 1
            return
        if len(self._queue) >= self.queue_length:
            self._reject(f"{self._in_flight} requests run and {len(self._queue)} wait, as many as may")
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._queue.append(place)
        timer = loop.call_later(self._queue_seconds, _expire, place)
        try:
            await place
        except TimeoutError:
            self._queue.remove(place)
            self._reject(f"no place came free within {self._queue_seconds} s at a limit of {self._limit}")
        except asyncio.CancelledError:
            if place in self._queue:
                self._queue.remove(place)
            elif place.done() and not place.cancelled():
                self.release()  # admitted at the moment of the cancellation
            raise
        finally:
            timer.cancel()

    def release(self) -> None:
        """Give the place back."""
        self._in_flight -= 1
        self._admit_waiting()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _reject(self, why: str) -> None:
        self.rejected += 1
        raise OverloadedError(why, max(1, round(self._queue_seconds)))

    def _admit_waiting(self) -> None:
        admissible = [place for place in self._queue if not place.done()][: max(0, self._limit - self._in_flight)]
        for place in admissible:
            self._queue.remove(place)
            self._in_flight += 1
            place.set_result(None)


def _expire(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_exception(TimeoutError())


def _checked(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"the concurrency limit is {limit}, it must be at least 1")
    return limit
