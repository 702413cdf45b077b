"""The pool's counts under any sequence of resizes, checkouts, cancellations, failures and returns.

The driver is a fake here, so that every interleaving is reached quickly and openings can be made to fail; the real
servers are in tests/integration/trimtab/test_pool.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.util.concurrency import await_, greenlet_spawn

from trimtab.pool import ResizableAsyncPool

TURNS = 3000
"""Turns of the event loop within which everything must have ended: nothing here takes time, only turns."""


MOST = 4
"""The largest size that the pool is given."""


class RefusedError(Exception):
    """The fake database takes no connection."""


class FakeDatabase:
    """Counts its connections; opening and closing each take a turn of the event loop."""

    def __init__(self) -> None:
        self.live = 0
        self.refusing = False

    def connect(self) -> FakeConnection:
        await_(asyncio.sleep(0))
        if self.refusing:
            raise RefusedError
        self.live += 1
        return FakeConnection(self)


class FakeConnection:
    def __init__(self, database: FakeDatabase) -> None:
        self._database = database
        self.closed = False

    def rollback(self) -> None: ...

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return False

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        self._database.live -= 1
        await_(asyncio.sleep(0))


class Fleet:
    """Tasks that hold connections of the pool, in both ways in turn, until they are told to return them."""

    def __init__(self, pool: ResizableAsyncPool) -> None:
        self._pool = pool
        self.tasks: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        self.unexpected: list[BaseException] = []

    def start(self) -> None:
        release = asyncio.Event()
        hold = self._hold if len(self.tasks) % 2 else self._hold_directly
        self.tasks.append((asyncio.create_task(hold(release)), release))

    async def _hold_directly(self, release: asyncio.Event) -> None:
        """One that is cancelled takes its connection along."""
        try:
            async with self._pool.connection() as driver:
                assert not driver.closed, "handed out after it was closed"
                await release.wait()
        except (RefusedError, asyncio.CancelledError):
            return

    async def _hold(self, release: asyncio.Event) -> None:
        try:
            connection = await greenlet_spawn(self._pool.connect)
        except (RefusedError, asyncio.CancelledError):
            return
        try:
            await release.wait()
        except asyncio.CancelledError:
            pass
        finally:
            await greenlet_spawn(connection.close)

    def release(self, which: int) -> None:
        if self.tasks:
            self.tasks[which % len(self.tasks)][1].set()

    def cancel(self, which: int) -> None:
        if self.tasks:
            self.tasks[which % len(self.tasks)][0].cancel()

    async def finish(self) -> None:
        for _, release in self.tasks:
            release.set()
        for _ in range(TURNS):
            if all(task.done() for task, _ in self.tasks):
                break
            await asyncio.sleep(0)
        hanging = sum(not task.done() for task, _ in self.tasks)
        assert not hanging, f"{hanging} tasks were never served: {self._pool.status()}"
        results = await asyncio.gather(*(task for task, _ in self.tasks), return_exceptions=True)
        unexpected = [error for error in results if error and not isinstance(error, asyncio.CancelledError)]
        assert not unexpected, unexpected


def check(pool: ResizableAsyncPool, database: FakeDatabase) -> None:
    total = pool.checkedin() + pool.checkedout()
    assert pool.checkedin() >= 0
    assert pool.checkedout() >= 0
    assert database.live <= total, "a connection that the pool does not count"
    assert total <= MOST, "more connections than any size that there was"
    assert pool.draining == max(0, total - pool.size())
    if pool.waiting():
        assert pool.checkedin() == 0, "somebody waits beside an idle connection"
        assert total >= pool.size(), "somebody waits beside a free slot"


SIZES = st.integers(1, MOST)
NUMBERS = st.integers(0, 30)
STEPS = st.one_of(
    st.tuples(st.just("start"), st.integers(1, 4)),
    st.tuples(st.just("start"), st.integers(1, 4)),
    st.tuples(st.just("release"), NUMBERS),
    st.tuples(st.just("release"), NUMBERS),
    st.tuples(st.just("release, then cancel another"), NUMBERS),
    st.tuples(st.just("cancel"), NUMBERS),
    st.tuples(st.just("resize"), SIZES),
    st.tuples(st.just("resize, cancelled"), SIZES),
    st.tuples(st.just("refuse"), NUMBERS),
    st.tuples(st.just("turns"), st.integers(1, 4)),
    st.tuples(st.just("turns"), st.integers(1, 4)),
)


async def play(steps: list[tuple[str, int]], age: float) -> None:
    database = FakeDatabase()
    pool = ResizableAsyncPool(database.connect, pool_size=2, timeout=60, max_age_seconds=age)
    fleet = Fleet(pool)
    resizes: list[asyncio.Task[None]] = []
    for step, number in steps:
        match step:
            case "start":
                for _ in range(number):
                    fleet.start()
            case "release":
                fleet.release(number)
            case "cancel":
                fleet.cancel(number)
            case "release, then cancel another":
                fleet.release(number)
                await asyncio.sleep(0)
                fleet.cancel(number + 1)
            case "refuse":
                database.refusing = number % 2 == 0
            case "turns":
                for _ in range(number):
                    await asyncio.sleep(0)
                    check(pool, database)
            case _:
                resize = asyncio.create_task(pool.resize(number))
                resizes.append(resize)
                if step == "resize, cancelled":
                    await asyncio.sleep(0)
                    resize.cancel()
        check(pool, database)
    database.refusing = False
    async with asyncio.timeout(20):
        await asyncio.gather(*resizes, return_exceptions=True)
        await fleet.finish()
        await pool.drained()
        while pool.checkedout():  # noqa: ASYNC110  # surplus that cancelled resizes left to be closed
            await asyncio.sleep(0)
    check(pool, database)
    assert pool.waiting() == 0
    assert database.live == pool.checkedin() <= pool.size()
    await pool.resize(1)
    assert database.live <= 1
    await greenlet_spawn(pool.dispose)
    assert database.live == 0


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=10, max_size=60))
def test_counts_hold_and_nothing_leaks(steps: list[tuple[str, int]]) -> None:
    run(lambda: play(steps, age=1000))


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, min_size=10, max_size=40))
def test_counts_hold_when_every_connection_is_old_at_its_return(steps: list[tuple[str, int]]) -> None:
    run(lambda: play(steps, age=1e-9))


def test_a_connection_that_the_garbage_collector_finds_frees_its_slot() -> None:
    async def lose_one() -> None:
        database = FakeDatabase()
        pool = ResizableAsyncPool(database.connect, pool_size=1, timeout=20)
        connection: Any = await greenlet_spawn(pool.connect)
        record = connection._connection_record
        record.dbapi_connection = None
        await asyncio.to_thread(pool._do_return_conn, record)  # as from another thread's garbage collection
        async with asyncio.timeout(20):
            while pool.checkedout():  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    run(lose_one)


def test_a_pool_that_grows_again_is_drained() -> None:
    async def shrink_and_grow() -> bool:
        pool = ResizableAsyncPool(FakeDatabase().connect, pool_size=2, timeout=20)
        held = [await greenlet_spawn(pool.connect) for _ in range(2)]
        await pool.resize(1)
        drained = asyncio.create_task(pool.drained())
        await asyncio.sleep(0)
        assert pool.draining == 1 and not drained.done()
        await pool.resize(2)
        for _ in range(10):
            await asyncio.sleep(0)
        done = drained.done()
        for connection in held:
            await greenlet_spawn(connection.close)
        drained.cancel()
        await greenlet_spawn(pool.dispose)
        return done

    assert asyncio.run(shrink_and_grow())
