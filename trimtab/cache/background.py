"""Making answers anew in the background, before their end or within their window, so that nobody waits for it."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable

from trimtab.cache.filling import Filler, Load
from trimtab.cache.flights import SingleFlight
from trimtab.cache.held import Held
from trimtab.cache.refresh import is_drawn
from trimtab.cache.state import GroupState

logger = logging.getLogger(__name__)

MAX_AT_A_TIME = 16
"""These makings take no place of admission, so they are bounded here. Beyond it the old answer is made anew later."""

RETRY_AFTER_FAILURE_SECONDS = 0.5
"""A refresh that failed is tried again after so long: the old answer is still good enough to spare the database."""

LOG_EVERY_SECONDS = 10.0

IN_PROGRESS = float("inf")
DRAWN = -1.0
"""Values of Held.retry_at beside a time."""


class Refresher:
    """Decides which answers are made anew and starts it, in the flights that callers may join."""

    def __init__(
        self,
        filler: Filler,
        flights: SingleFlight[tuple[str, str], Held | None],
        clock: Callable[[], float],
    ) -> None:
        self._filler = filler
        self._flights = flights
        self._clock = clock
        self._running = 0
        self._failures: Counter[str] = Counter()
        self._next_line: dict[str, float] = {}

    def lets_pass(self, held: Held, now: float) -> bool:
        """Whether an answer that is due may be given without anything else to do; else `consider` is to be called."""
        if now >= held.here_until or now >= held.stale_until:
            return False
        if now < held.retry_at:
            return True
        if now < held.fresh_until and not _draws(held, now):
            return True
        held.retry_at = DRAWN
        return False

    def consider(self, state: GroupState, key: str, load: Load, held: Held, now: float) -> None:
        """Make an answer anew that is in its window, or, by the draw, near the end of its life."""
        if held.payload is None or now < held.retry_at:
            return
        if held.retry_at != DRAWN and now < held.fresh_until and not _draws(held, now):
            return
        if self._running < MAX_AT_A_TIME and self._flights.start(
            (state.name, key), lambda: self._refresh(state, key, load, held)
        ):
            self._running += 1
            held.retry_at = IN_PROGRESS

    async def _refresh(self, state: GroupState, key: str, load: Load, held: Held) -> Held | None:
        retry_at = 0.0
        try:
            return await self._filler.refresh(state, key, load, held)
        except Exception as error:
            retry_at = self._clock() + RETRY_AFTER_FAILURE_SECONDS
            self._say(state.name, error)
            raise
        finally:
            self._running -= 1
            if held.retry_at == IN_PROGRESS:
                held.retry_at = retry_at

    def _say(self, group: str, error: Exception) -> None:
        """One line a group and LOG_EVERY_SECONDS, not one a request."""
        self._failures[group] += 1
        now = self._clock()
        if now < self._next_line.get(group, 0.0):
            return
        self._next_line[group] = now + LOG_EVERY_SECONDS
        logger.warning(
            "answers of the cache group %s could not be made anew (%d times since the last such line, lately: %r); "
            "the old ones are served until their window ends",
            group, self._failures.pop(group), error,
        )  # fmt: skip


def _draws(held: Held, now: float) -> bool:
    return is_drawn(now, held.fresh_until, held.making_seconds, 1.0 - random.random())  # noqa: S311
