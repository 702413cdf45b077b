"""Admission: a limit on the requests in progress, a bounded queue before it, and a refusal beyond.

A service that lets everybody in answers nobody in time. Up to `limit` requests run; up to `queue_length` more wait,
each at most `queue_seconds`; whoever finds the queue full or waits longer is told to come back. The ceiling comes from
the knobs and may change at any time: who runs is never stopped, who waits profits from growth at once. Below the
ceiling the limit moves by itself while the database is slow (aimd.py).

One event loop; all bookkeeping happens between awaits, so that it needs no lock. Every operation is O(1), amortised:
who leaves the queue before its turn is only marked, and skipped when its turn comes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType

from trimtab.admission.aimd import Aimd, AimdRule
from trimtab.admission.retry_after import retry_after_seconds

logger = logging.getLogger(__name__)

QUEUE_SECONDS = 1.0
QUEUE_PER_CEILING = 2
"""The queue holds this many times the ceiling where no length is given. Not the limit: lowering that one shall turn
requests that run into requests that wait, before it turns any away."""

_SMOOTHING = 1 / 16


class Refusal(StrEnum):
    """Why a request was not admitted."""

    FULL = "full"
    LATE = "late"


class OverloadedError(Exception):
    """The request was not admitted. `retry_after_seconds` is what the client is told."""

    def __init__(self, message: str, retry_after_seconds: int, reason: Refusal) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.reason = reason


class Place:
    """A place in the queue. `admitted` gives the time of admission, or raises OverloadedError. See `leave`."""

    __slots__ = ("admitted", "timer")

    def __init__(self, admitted: asyncio.Future[float]) -> None:
        self.admitted = admitted
        self.timer: asyncio.TimerHandle | None = None


class ConcurrencyLimiter:
    """At most `limit` holders at a time: `async with limiter: ...`. First come, first served; one event loop.

    `rule` says how the limit moves below the ceiling; None: it does not. Holders whose time of admission is not handed
    to `release` are not judged by it.
    """

    def __init__(
        self,
        ceiling: int,
        *,
        queue_length: int | None = None,
        queue_seconds: float = QUEUE_SECONDS,
        rule: AimdRule | None = AimdRule(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._aimd = Aimd(_checked(ceiling), rule)
        self._limit = ceiling
        self._lowered = False
        self.watching = False
        """Whether somebody had to wait lately, so that completions are judged."""
        self._queue_length = queue_length
        self._queue_seconds = queue_seconds
        self._clock = clock
        self._service_seconds = queue_seconds
        self._in_flight = 0
        self._queue: deque[Place] = deque()
        self._waiting = 0
        self.refusals: dict[Refusal, int] = dict.fromkeys(Refusal, 0)
        """How many were not admitted, by reason."""

    @property
    def ceiling(self) -> int:
        """The largest limit: the knob."""
        return self._aimd.ceiling

    @property
    def limit(self) -> int:
        """The most holders now, at most the ceiling. Only looks: the thread that serves the metrics asks, too."""
        return self._aimd.limit_at(self._clock())

    @property
    def in_flight(self) -> int:
        """Holders at present."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._waiting

    @property
    def rejected(self) -> int:
        """How many were not admitted."""
        return sum(self.refusals.values())

    @property
    def queue_length(self) -> int:
        """How many may wait."""
        return QUEUE_PER_CEILING * self._aimd.ceiling if self._queue_length is None else self._queue_length

    def set_ceiling(self, ceiling: int) -> None:
        """Change the ceiling, at least 1. Holders beyond a lower one finish."""
        self._aimd.set_ceiling(_checked(ceiling))
        self._follow()

    def try_acquire(self) -> float | None:
        """Take a place if one is free: the time of admission, None where there is none."""
        if self._in_flight < self._limit:
            self._in_flight += 1
            return self._clock()
        return None

    def queue(self) -> Place:
        """Stand in the queue, after try_acquire found no place. Raises OverloadedError where the queue is full.

        Await `place.admitted`; who stops awaiting it calls `leave`, in any case but OverloadedError.
        """
        self._aimd.binds(self._clock())
        self._follow()
        loop = asyncio.get_running_loop()
        place = Place(loop.create_future())
        if self._in_flight >= self._limit and self._waiting >= self.queue_length:
            why = f"{self._in_flight} requests run and {self._waiting} wait, as many as may"
            raise self._refusal(Refusal.FULL, why)
        self._queue.append(place)
        self._waiting += 1
        self._admit_waiting()  # the limit may have grown just now
        if not place.admitted.done():
            place.timer = loop.call_later(self._queue_seconds, self._expire, place)
        return place

    def leave(self, place: Place) -> None:
        """Not wait any more: the place is free for others, whether it was admitted meanwhile or not. Call it once."""
        admitted = place.admitted
        if admitted.done() and not admitted.cancelled():
            if admitted.exception() is None:
                self.release()
            return
        admitted.cancel()
        self._dequeue(place)

    async def acquire(self) -> float:
        """Be admitted, or raise OverloadedError. Returns the time of admission, for `release`."""
        admitted_at = self.try_acquire()
        if admitted_at is not None:
            return admitted_at
        place = self.queue()
        try:
            return await place.admitted
        except asyncio.CancelledError:
            self.leave(place)
            raise

    def release(self, admitted_at: float | None = None, *, bad: bool = False, asked: bool = True) -> None:
        """Give the place back. For the judgement: when it was admitted, whether the request was `bad` (given up, or
        failed for want of the database), and whether the database was `asked` at all."""
        self._in_flight -= 1
        if self.watching and admitted_at is not None:
            now = self._clock()
            self._service_seconds += _SMOOTHING * (now - admitted_at - self._service_seconds)
            self._aimd.completed(admitted_at, now, bad=bad, asked=asked)
            self._follow()
        elif self._waiting:
            self._admit_waiting()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _follow(self) -> None:
        """Put the rule's limit into force."""
        self._limit = self._aimd.limit
        self.watching = self._aimd.watching
        lowered = self._limit < self._aimd.ceiling
        if lowered != self._lowered:
            self._lowered = lowered
            if lowered:
                text = "most requests take too long, fail or are given up: admission lowers its limit to %s of %s"
                logger.warning(text, self._limit, self.ceiling)
            else:
                logger.info("admission is back at its ceiling of %s", self.ceiling)
        self._admit_waiting()

    def _admit_waiting(self) -> None:
        """Admit from the front. The first in the queue always waits: who left is passed over as soon as it is first."""
        queue = self._queue
        while queue and (queue[0].admitted.done() or self._in_flight < self._limit):
            place = queue.popleft()
            if not place.admitted.done():
                self._waiting -= 1
                self._in_flight += 1
                _stop(place)
                place.admitted.set_result(self._clock())

    def _expire(self, place: Place) -> None:
        if not place.admitted.done():
            why = f"no place came free within {self._queue_seconds} s at a limit of {self._limit}"
            place.admitted.set_exception(self._refusal(Refusal.LATE, why))
            self._dequeue(place)

    def _dequeue(self, place: Place) -> None:
        """Who leaves is done, and stays in the queue until it is the first."""
        self._waiting -= 1
        _stop(place)
        self._admit_waiting()

    def _refusal(self, reason: Refusal, why: str) -> OverloadedError:
        self.refusals[reason] += 1
        seconds = retry_after_seconds(
            self._service_seconds, self._in_flight, self._waiting, random.random()  # noqa: S311
        )  # fmt: skip
        return OverloadedError(why, seconds, reason)


def _stop(place: Place) -> None:
    if place.timer is not None:
        place.timer.cancel()


def _checked(ceiling: int) -> int:
    if ceiling < 1:
        raise ValueError(f"the concurrency limit is {ceiling}, it must be at least 1")
    return ceiling
