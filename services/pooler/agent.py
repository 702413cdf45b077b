"""The agent's loop: keep PgBouncer at the wanted size, look at it each second, know whether the pod can serve."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from services.pooler.accounting import Sample, Totals, advance
from services.pooler.apply import Applied, Applier
from services.pooler.console import Console, ConsoleError
from services.pooler.ini import START_SIZE
from services.pooler.metrics import Snapshot
from services.pooler.settings import PodIdentity
from trimtab.knobs.watch import Knobs

SAMPLE_SECONDS = 1.0
PENDING_SECONDS = 0.1
"""Between two looks while servers beyond the size are still open."""
STALLED_SECONDS = 30.0
"""The loop visits at least each few seconds, whatever PgBouncer does; longer means that it hangs."""

log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class Wanted:
    """The size to keep. `surplus` says why this pod must not serve at all; its size is then the least one.

    Two equal ones are still two: who waits for one is not served by the other.
    """

    size: int
    surplus: str | None = None


@dataclass(frozen=True)
class Readiness:
    ready: bool
    sentence: str


def wanted_by(knobs: Knobs, pod: PodIdentity) -> Wanted:
    """What the knobs ask of this pod. Pure."""
    pooler = knobs.pooler
    if pooler is None:
        raise ValueError("the knobs have no pooler section and no default for it: give KnobsWatcher the chart's")
    if pod.ordinal >= pooler.max_pods:
        return Wanted(
            START_SIZE,
            surplus=f"ordinal {pod.ordinal} is beyond maxPods {pooler.max_pods} of the knobs of generation "
            f"{knobs.generation}: scale {pod.base} to {pooler.max_pods} or fewer replicas, or raise maxPods",
        )
    return Wanted(pooler.pool_size)


class Agent:
    """One PgBouncer's keeper. `listening` asks whether PgBouncer still accepts clients."""

    def __init__(
        self,
        console: Console,
        applier: Applier,
        listening: Callable[[], Awaitable[bool]],
        pod: PodIdentity,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._applier = applier
        self._listening = listening
        self._pod = pod
        self._clock = clock
        self._wanted = Wanted(START_SIZE)
        self._look_now = asyncio.Event()
        self._looked = asyncio.Condition()
        self._applied: tuple[Wanted, Applied] | None = None
        self._totals = Totals()
        self._previous: Sample | None = None
        self._listener: tuple[int, int] | None = None
        self._sample: Sample | None = None  # None while PgBouncer cannot be seen
        self._last_visit = clock()
        self._trouble = ""
        self._terminating = False
        self._has_knobs = False

    async def apply(self, knobs: Knobs) -> None:
        """Want these knobs from now on; `run` makes them true."""
        self._wanted = wanted_by(knobs, self._pod)
        self._has_knobs = True
        self._look_now.set()
        if self._wanted.surplus:
            log.error("this pod must not serve", why=self._wanted.surplus)

    async def confirm(self, knobs: Knobs) -> None:
        """Returns when PgBouncer has the size and no server open beyond it: then it may be acknowledged.

        For a pod that the knobs leave out this waits until other knobs come. An acknowledgement would retire the
        document that counts this pod, while it may still hold a connection.
        """
        async with self._looked:
            await self._looked.wait_for(lambda: self._wanted.surplus is None and self._has_confirmed(self._wanted))
        log.info("confirmed", generation=knobs.generation, size=self._wanted.size)

    async def readiness(self) -> Readiness:
        """Looks anew: after a RELOAD or a restart of PgBouncer nobody may hear `ready` from before it."""
        if self._terminating:
            return Readiness(False, "terminating")
        if not self._has_knobs:
            return Readiness(False, "the knobs have not been read yet")
        if not await self._listening():
            return Readiness(False, "PgBouncer accepts no clients")
        wanted = self._wanted
        if wanted.surplus:
            return Readiness(False, wanted.surplus)
        try:
            applied = await self._applier.step(wanted.size)
        except ConsoleError as error:
            return Readiness(False, str(error))
        return Readiness(True, f"pool size {applied.size}, {applied.servers} servers open")

    def snapshot(self) -> Snapshot | None:
        """What the metrics are made from; callable from any thread."""
        return Snapshot(self._totals, self._sample) if self._previous is not None else None

    @property
    def alive(self) -> bool:
        return self._clock() - self._last_visit < STALLED_SECONDS

    def terminate(self) -> None:
        """From now on never ready; `run` goes on, for PgBouncer may still be serving."""
        self._terminating = True

    @property
    def sees_pgbouncer(self) -> bool:
        return self._console.connected

    async def draining(self) -> bool:
        """Whether PgBouncer takes no more clients and still works for those it has."""
        return self._console.connected and not await self._listening()

    async def run(self) -> None:
        """Until cancelled. Start it after the first `apply`: before, it keeps PgBouncer at its first size."""
        due = self._clock()
        while True:
            self._look_now.clear()
            self._last_visit = self._clock()
            is_due = self._last_visit >= due
            try:
                await self._visit(is_due)
            except ConsoleError as error:
                self._lost(str(error))
            else:
                self._trouble = ""
            async with self._looked:
                self._looked.notify_all()
            if is_due:
                due = max(due + SAMPLE_SECONDS, self._clock())
            pause = due - self._clock()
            if self._applied is not None and not self._has_confirmed(self._wanted):
                pause = min(pause, PENDING_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause)):
                    await self._look_now.wait()

    async def _visit(self, sample: bool) -> None:
        if sample and not await self._listening():
            await self._see_it_drain()
        wanted = self._wanted
        applied = await self._applier.step(wanted.size)
        self._applied = (wanted, applied)
        if sample:
            stats = await self._console.stats()
            listener = self._console.listener
            if self._listener is not None and listener is not None and listener != self._listener:
                # Another process, whose counters began at 0; they may have passed the old ones by now.
                self._previous = None
            self._listener = listener or self._listener
            now = Sample(self._clock(), applied.limits.effective, stats, applied.pool)
            self._totals = advance(self._totals, self._previous, now)
            self._previous = self._sample = now

    async def _see_it_drain(self) -> None:
        """PgBouncer has closed its listener: it ends when its last client goes, and the console is a client too."""
        if not self._console.connected:
            raise ConsoleError("PgBouncer does not listen")
        if await self._console.clients() <= 1:
            log.info("PgBouncer drains and has no client left: closing the console, so that it ends")
            await self._console.close()
            raise ConsoleError("PgBouncer has ended")

    def _has_confirmed(self, wanted: Wanted) -> bool:
        return self._applied is not None and self._applied[0] is wanted and self._applied[1].confirmed

    def _lost(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("PgBouncer cannot be seen", why=trouble)
        self._trouble = trouble
        self._applied = None
        self._sample = None
