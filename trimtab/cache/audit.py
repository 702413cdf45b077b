"""The audit: a share of the answers from the cache is made again in the background and compared.

It measures what the TTL costs: `trimtab_cache_audit_total{group,result}`, result `stale` where the bytes differ. It
must cost little and may never hurt: at most so many a second and at a time, none while Redis or the database fail.

A write between the answer and its audit counts as stale, so the share is too high by (time of a making) x (writes per
second and key); a write by this process in that time is seen, and that audit is thrown away.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextvars import Context

from trimtab.cache.state import GroupState

AUDIT_SHARE = 0.01
AUDITS_PER_SECOND = 5.0
AUDITS_AT_A_TIME = 2
DATABASE_FAILURES = 3
DATABASE_PAUSE_SECONDS = 5.0

Load = Callable[[], Awaitable[bytes | None]]


class Auditor:
    """Audits `share` of the hits of one process. `healthy`: whether Redis is in order, or not used."""

    def __init__(
        self,
        *,
        share: float = AUDIT_SHARE,
        per_second: float = AUDITS_PER_SECOND,
        healthy: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._spacing = 1 / per_second
        self._healthy = healthy
        self._clock = clock
        self._next = 0.0
        self._failures = 0
        self._paused_until = 0.0
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def gap(self) -> int:
        """Which of the next hits is audited: geometric, so that no rhythm of the traffic decides."""
        if not 0 < self._share < 1:
            return 1 if self._share else sys.maxsize
        return 1 + int(random.expovariate(-math.log1p(-self._share)))

    def draws(self) -> bool:
        """Whether this one answer is to be audited."""
        return random.random() < self._share  # noqa: S311

    def has_room(self) -> bool:
        """Whether an audit may begin now."""
        return (
            self._share > 0
            and len(self._tasks) < AUDITS_AT_A_TIME
            and self._clock() >= max(self._next, self._paused_until)
            and self._healthy()
        )

    def begin(self, state: GroupState, key: str, payload: bytes | None, load: Load) -> None:
        """Audit an answer that was just given, if there is room."""
        name = (state.name, key)
        now = self._clock()
        if name in self._running or not self.has_room():
            return
        self._next = now + self._spacing
        task = asyncio.get_running_loop().create_task(self._compare(state, key, payload, load), context=Context())
        self._running[name] = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(name, done))

    def forget(self, group: str, key: str) -> None:
        """The key was written here: an audit of it in progress proves nothing."""
        self._running.pop((group, key), None)

    def forget_group(self, group: str) -> None:
        """The group was written here."""
        for name in [name for name in self._running if name[0] == group]:
            del self._running[name]

    def database_answered(self) -> None:
        """An answer was made."""
        self._failures = 0
        self._paused_until = 0.0

    def database_failed(self) -> None:
        """An answer could not be made: after some in a row nothing is audited for a while."""
        self._failures += 1
        if self._failures >= DATABASE_FAILURES:
            self._paused_until = self._clock() + DATABASE_PAUSE_SECONDS

    async def close(self) -> None:
        """Stop what is in progress."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compare(self, state: GroupState, key: str, payload: bytes | None, load: Load) -> None:
        try:
            present = await load()
        except Exception:
            self.database_failed()
            state.stats.audits["error"] += 1
            return
        self.database_answered()
        if self._running.get((state.name, key)) is asyncio.current_task():
            state.stats.audits["fresh" if present == payload else "stale"] += 1

    def _ended(self, name: tuple[str, str], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._running.get(name) is task:
            del self._running[name]
