"""The limiter under any history: nobody beyond the limit, nobody overtaken, nobody lost, every count right.

The model keeps who runs and who waits, in order; callers are tasks that may be cancelled at any moment, also in the
turn of the loop in which they are admitted. Time passes when a rule says so, for the limit's rule and for the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trimtab.admission import AimdRule, ConcurrencyLimiter, OverloadedError, Refusal
from trimtab.admission.limiter import Place

LONG_SECONDS = 3600.0


class Caller:
    """One who asks for a place. `admitted` is in the order of admission; None: not yet, or never."""

    admissions = 0

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self.limiter = limiter
        self.admitted_at: float | None = None
        self.order: int | None = None
        self.refused: Refusal | None = None
        self.task = asyncio.ensure_future(self._call())

    async def _call(self) -> None:
        try:
            self.admitted_at = await self.limiter.acquire()
        except OverloadedError as error:
            self.refused = error.reason
            return
        Caller.admissions += 1
        self.order = Caller.admissions


class Limiter(RuleBasedStateMachine):
    @initialize(ceiling=st.integers(1, 6), length=st.none() | st.integers(0, 5), moves=st.booleans())
    def begin(self, ceiling: int, length: int | None, moves: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.limiter = ConcurrencyLimiter(
            ceiling,
            queue_length=length,
            queue_seconds=LONG_SECONDS,
            rule=AimdRule(least_window=2, slow_seconds=2.0) if moves else None,
            clock=lambda: self.now,
        )
        self.running: list[Caller] = []
        self.waiting: list[Caller] = []
        self.refusals = {Refusal.FULL: 0, Refusal.LATE: 0}
        self.places: list[Place] = []
        self.step()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    def step(self) -> None:
        """Let the loop turn until nothing moves, and see who was admitted: always the first of those who wait."""

        async def turn() -> None:
            for _ in range(4):
                await asyncio.sleep(0)

        self.run(turn())
        admitted = sorted((caller for caller in self.waiting if caller.order is not None), key=lambda c: c.order or 0)
        assert admitted == self.waiting[: len(admitted)], "somebody was overtaken"
        self.running += admitted
        self.waiting = self.waiting[len(admitted) :]

    @rule(number=st.integers(1, 4))
    def arrive(self, number: int) -> None:
        for _ in range(number):
            room = len(self.running) < self.limiter.limit or len(self.waiting) < self.limiter.queue_length
            caller = self._new()
            self.waiting.append(caller)
            self.step()
            if caller.refused is not None:
                assert not room, "refused although there was room"
                assert caller.refused is Refusal.FULL
                self.waiting.remove(caller)
                self.refusals[Refusal.FULL] += 1
            else:
                assert room, "admitted to a queue that was full"

    def _new(self) -> Caller:
        async def make() -> Caller:
            return Caller(self.limiter)

        return self.loop.run_until_complete(make())

    @precondition(lambda self: self.running)
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 1.0, 3.0]), judged=st.booleans(), bad=st.booleans())
    def leave(self, data: st.DataObject, seconds: float, judged: bool, bad: bool) -> None:
        caller = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.now += seconds
        self.limiter.release(caller.admitted_at if judged else None, bad=bad)
        self.step()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), released=st.booleans())
    def cancel(self, data: st.DataObject, released: bool) -> None:
        """A caller gives up, perhaps in the turn in which a place came free, perhaps for it."""
        caller = self.waiting[data.draw(st.integers(0, len(self.waiting) - 1))]
        if released and self.running:
            self.limiter.release(self.running.pop(0).admitted_at)
        caller.task.cancel()
        self.waiting.remove(caller)
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(caller.task)
        assert caller.order is None
        self.step()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def wait_too_long(self, data: st.DataObject) -> None:
        caller = self.waiting[data.draw(st.integers(0, len(self.waiting) - 1))]
        place = next(
            place for place in self.limiter._queue
            if not place.admitted.done() and place.admitted is caller.task._fut_waiter  # type: ignore[attr-defined]
        )  # fmt: skip
        self.limiter._expire(place)
        self.waiting.remove(caller)
        self.refusals[Refusal.LATE] += 1
        self.step()
        assert caller.refused is Refusal.LATE

    @rule(ceiling=st.integers(1, 6))
    def set_ceiling(self, ceiling: int) -> None:
        self.limiter.set_ceiling(ceiling)
        self.step()

    @precondition(lambda self: not self.waiting)
    @rule()
    def be_forgotten(self) -> None:
        self.now += 61
        assert self.limiter.limit == self.limiter.ceiling
        self.step()

    @invariant()
    def the_counts_are_right(self) -> None:
        assert self.limiter.in_flight == len(self.running)
        assert self.limiter.waiting == len(self.waiting)
        assert self.limiter.refusals == self.refusals
        assert self.limiter.rejected == sum(self.refusals.values())

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        assert not self.waiting or len(self.running) >= self.limiter.limit

    @invariant()
    def the_limit_lies_below_its_ceiling(self) -> None:
        assert 1 <= self.limiter.limit <= self.limiter.ceiling

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        queue = self.limiter._queue
        assert not queue or not queue[0].admitted.done(), "a place that was left is the first in the queue"

    @precondition(lambda self: len(self.running) >= self.limiter.limit)
    @invariant()
    def nobody_is_admitted_beyond_the_limit(self) -> None:
        before = len(self.running)
        self.step()
        assert len(self.running) == before

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        while self.running:
            self.limiter.release(self.running.pop().admitted_at)
            self.step()
        assert not self.waiting, "somebody was lost"
        assert (self.limiter.in_flight, self.limiter.waiting, len(self.limiter._queue)) == (0, 0, 0)
        self.loop.close()


TestLimiter = Limiter.TestCase
TestLimiter.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
