"""What callbacks may do: where they run, what a failure means, and that nothing is acknowledged before its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from trimtab.knobs.apply import Applier
from trimtab.knobs.document import ApiKnobs
from trimtab.knobs.settings import Knobs

DEADLINE_SECONDS = 20.0


def knobs(generation: int) -> Knobs:
    return Knobs(api=ApiKnobs(pool_size=generation + 1), pooler=None, epoch="e", generation=generation)


class Following:
    """An applier that follows while the block lasts."""

    def __init__(self, applier: Applier) -> None:
        self.applier = applier

    async def __aenter__(self) -> Applier:
        self.task = asyncio.create_task(self.applier.follow())
        return self.applier

    async def __aexit__(self, *error: object) -> None:
        assert not self.task.done(), "it follows no more"
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def acknowledged(applier: Applier, generation: int) -> Knobs:
    return await asyncio.wait_for(applier.until_acknowledged(generation), DEADLINE_SECONDS)


async def test_callbacks_get_typed_settings_on_the_event_loop_in_the_order_of_subscription() -> None:
    loop, thread, called = asyncio.get_running_loop(), threading.get_ident(), []
    applier = Applier(knobs(0))

    def callback(name: str) -> Callable[[Knobs], Awaitable[None]]:
        async def call(given: Knobs) -> None:
            assert (asyncio.get_running_loop(), threading.get_ident()) == (loop, thread)
            assert isinstance(given, Knobs)
            await asyncio.sleep(0)
            called.append((name, given.generation))

        return call

    applier.subscribe(callback("apply a"), callback("confirm a"))
    applier.subscribe(callback("apply b"), None)
    applier.subscribe(callback("apply c"), callback("confirm c"))
    async with Following(applier):
        for generation in (0, 1):
            applier.want(knobs(generation))
            await acknowledged(applier, generation)
    names = ["apply a", "apply b", "apply c", "confirm a", "confirm c"]
    assert called == [(name, generation) for generation in (0, 1) for name in names]


@pytest.mark.parametrize("where", ["apply", "confirm"])
@pytest.mark.parametrize(
    "error", [RuntimeError("not now"), asyncio.CancelledError()], ids=["error", "own cancellation"]
)
async def test_a_failing_callback_ends_the_round_which_is_tried_again_and_acknowledges_nothing_before(
    where: str, error: BaseException
) -> None:
    applier = Applier(knobs(0))
    called: list[tuple[str, int]] = []
    failing, failures = asyncio.Event(), 0

    async def first(given: Knobs) -> None:
        called.append(("first", given.generation))

    async def second(given: Knobs) -> None:
        nonlocal failures
        if failing.is_set():
            failures += 1
            assert applier.acknowledged == knobs(0), "acknowledged although a callback has not finished"
            raise error
        called.append(("second", given.generation))

    async def third(given: Knobs) -> None:
        called.append(("third", given.generation))

    async def nothing(given: Knobs) -> None:
        pass

    for callback in (first, second, third):
        applier.subscribe(*((callback, None) if where == "apply" else (nothing, callback)))
    async with Following(applier):
        await acknowledged(applier, 0)
        called.clear()
        failing.set()
        applier.want(knobs(1))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while failures < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert set(called) == {("first", 1)}, "those after the failing one are not called"
        assert applier.errors == failures
        assert applier.acknowledged == knobs(0)
        assert (applier.applied == knobs(1)) is (where == "confirm")
        called.clear()
        failing.clear()
        assert await acknowledged(applier, 1) == knobs(1)
        assert called == [("first", 1), ("second", 1), ("third", 1)]


async def test_later_settings_do_not_wait_for_the_pause_after_a_failure() -> None:
    applier = Applier(knobs(0))
    tried: list[int] = []

    async def fail_for_the_first(given: Knobs) -> None:
        tried.append(given.generation)
        if given.generation == 1:
            raise RuntimeError("never")

    applier.subscribe(fail_for_the_first, None)
    async with Following(applier):
        await acknowledged(applier, 0)
        applier.want(knobs(1))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while tried.count(1) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        applier.want(knobs(2))
        for _ in range(10):
            await asyncio.sleep(0)
        assert applier.acknowledged == knobs(2), "turns of the loop, no time, lie between"


async def test_an_application_runs_to_its_end_and_later_settings_come_next() -> None:
    applier = Applier(knobs(0))
    inside, go_on, confirmed = asyncio.Event(), asyncio.Event(), []
    applied: list[int] = []

    async def apply(given: Knobs) -> None:
        if given.generation == 1:
            inside.set()
            await go_on.wait()
        applied.append(given.generation)

    async def confirm(given: Knobs) -> None:
        confirmed.append(given.generation)

    applier.subscribe(apply, confirm)
    async with Following(applier):
        await acknowledged(applier, 0)
        applier.want(knobs(1))
        await asyncio.wait_for(inside.wait(), DEADLINE_SECONDS)
        applier.want(knobs(2))
        for _ in range(10):
            await asyncio.sleep(0)
        assert (applied, applier.acknowledged) == ([0], knobs(0))
        go_on.set()
        assert await acknowledged(applier, 2) == knobs(2)
        assert applied == [0, 1, 2]
        assert confirmed[-1] == 2


async def test_to_stop_following_interrupts_a_callback_that_hangs() -> None:
    applier = Applier(knobs(0))
    inside = asyncio.Event()

    async def hang(given: Knobs) -> None:
        inside.set()
        await asyncio.get_running_loop().create_future()

    applier.subscribe(hang, None)
    task = asyncio.create_task(applier.follow())
    await asyncio.wait_for(inside.wait(), DEADLINE_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, DEADLINE_SECONDS)
    assert (applier.applied, applier.errors) == (None, 0)
