"""Put settings into force: everybody applies them, everybody confirms them, and only then are they acknowledged.

A callback that fails (raises anything, a cancellation of its own included) counts an error and ends the round: those
after it are not called, nothing is undone, nothing is acknowledged. The round is tried again after 0.5 s, doubling
up to 15 s, or at once when later settings are wanted. So the acknowledgement lags behind what a part of the callbacks
has applied already, and never runs ahead of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trimtab.knobs.settings import Knobs

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 15.0

Callback = Callable[[Knobs], Awaitable[None]]


@dataclass(frozen=True)
class _Subscriber:
    apply: Callback
    confirm: Callback | None


class Applier:
    """Keeps what is in force equal to what is wanted. Callbacks run on the event loop, in the order of subscription."""

    def __init__(self, wanted: Knobs) -> None:
        self._wanted = wanted
        self._subscribers: list[_Subscriber] = []
        self._changed = asyncio.Event()
        self._progress = asyncio.Condition()
        self.applied: Knobs | None = None
        """What every subscriber has applied, perhaps not yet confirmed."""
        self.acknowledged: Knobs | None = None
        """What every subscriber has applied and confirmed."""
        self.errors = 0
        """How many rounds failed."""

    @property
    def wanted(self) -> Knobs:
        """What shall be in force."""
        return self._wanted

    def want(self, knobs: Knobs) -> None:
        """Have these in force from now on."""
        self._wanted = knobs
        self._changed.set()

    def subscribe(self, apply: Callback, confirm: Callback | None) -> None:
        """Call `apply` with the settings at the start and at each change, then `confirm`."""
        self._subscribers.append(_Subscriber(apply, confirm))

    async def apply(self) -> bool:
        """One attempt to apply what is wanted: whether all succeeded. Always runs to the end of each callback."""
        knobs = self._wanted
        try:
            for subscriber in self._subscribers:
                await subscriber.apply(knobs)
        except (Exception, asyncio.CancelledError) as error:
            self._failed("applied", knobs, error)
            return False
        self.applied = knobs
        return True

    async def follow(self) -> None:
        """Apply and confirm whatever is wanted, for ever."""
        pause = FIRST_RETRY_SECONDS
        while True:
            wanted = self._wanted
            self._changed.clear()
            done = (self.applied == wanted or await self.apply()) and self.applied == wanted
            done = done and (self.acknowledged == wanted or await self._confirm_unless_superseded(wanted))
            if done:
                pause = FIRST_RETRY_SECONDS
                await self._changed.wait()
            elif not self._changed.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
                pause = min(2 * pause, LAST_RETRY_SECONDS)

    async def until_acknowledged(self, generation: int) -> Knobs:
        """Wait until settings of at least `generation` are acknowledged."""
        async with self._progress:
            while self.acknowledged is None or self.acknowledged.generation < generation:
                await self._progress.wait()
            return self.acknowledged

    async def _confirm_unless_superseded(self, knobs: Knobs) -> bool:
        """Whether `knobs` were confirmed by all; False when later settings came first or somebody failed."""
        confirming = asyncio.create_task(self._confirm(knobs), name="trimtab-knobs-confirm")
        superseded = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait((confirming, superseded), return_when=asyncio.FIRST_COMPLETED)
            confirmed = confirming.done()
            if confirmed:
                confirming.result()
        except (Exception, asyncio.CancelledError) as error:
            self._failed("confirmed", knobs, error)
            confirmed = False
        finally:
            confirming.cancel()
            superseded.cancel()
            await asyncio.gather(confirming, superseded, return_exceptions=True)
        if confirmed:
            async with self._progress:
                self.acknowledged = knobs
                self._progress.notify_all()
        return confirmed

    async def _confirm(self, knobs: Knobs) -> None:
        for subscriber in self._subscribers:
            if subscriber.confirm is not None:
                await subscriber.confirm(knobs)

    def _failed(self, what: str, knobs: Knobs, error: BaseException) -> None:
        """Note a failure. A cancellation of this very task is none, and goes on."""
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error
        self.errors += 1
        logger.error("generation %s of the knobs could not be %s; trying again", knobs.generation, what, exc_info=error)
