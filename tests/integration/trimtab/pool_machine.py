"""Any sequence of resizes, checkouts in both ways, cancellations, timeouts and killed backends, on real servers.

Held all the time: the counts are right, nobody waits beside a free slot, no connection has two users or an open
transaction of somebody else, and a request fails only if it was cancelled, gave up waiting (which is counted), or its
own backend was killed. At the end every connection has come back, and the server sees no more than the pool counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.servers.postgres import Login
from tests.integration.trimtab.pool_load import DEADLINE_SECONDS, WAYS, Way, eventually
from trimtab.pool import ResizableAsyncPool

MOST = 6
WAIT_SECONDS = 0.1

Kind = Literal["hold", "short", "slow", "leave open"]
KINDS: tuple[Kind, ...] = ("hold", "short", "slow", "leave open")
SIZES = st.integers(1, MOST)
NUMBERS = st.integers(0, 50)


@dataclass
class Request:
    """A task that uses one connection."""

    task: asyncio.Task[None] | None = None
    release: asyncio.Event = field(default_factory=asyncio.Event)
    pid: int | None = None
    cancelled: bool = False

    @property
    def done(self) -> bool:
        return self.task is not None and self.task.done()


class PoolMachine(RuleBasedStateMachine):
    """The scene is set by test_pool_stateful.py."""

    login: Login
    connections: Callable[[], int]
    kill_one: Callable[[int], set[int]] | None
    """Ends a backend and gives its pid. None: behind a pooler, where nobody can tell whose it was."""
    resizes = 0
    failures: ClassVar[list[BaseException]] = []
    """What went wrong at first: a second time it may go well, and then hypothesis tells only of that."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.requests: list[Request] = []
        self.killed: set[int] = set()
        self.in_use: set[int] = set()
        self.gave_up = 0
        self.asked = 0

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            self.runner.run(asyncio.wait_for(work, 2 * DEADLINE_SECONDS))
        except BaseException as error:
            self.failures.append(error)
            raise

    @initialize(size=SIZES, age=st.sampled_from([0.05, 1000.0]))
    def open(self, size: int, age: float) -> None:
        async def make() -> None:
            self.engine = create_async_engine(
                self.login.url("postgresql+asyncpg"), poolclass=ResizableAsyncPool, pool_size=size,
                pool_timeout=WAIT_SECONDS, max_age_seconds=age,
            )  # fmt: skip
            pool = self.engine.sync_engine.pool
            assert isinstance(pool, ResizableAsyncPool)
            self.pool = pool

        self.run(make())

    # What happens.

    @rule(count=st.integers(1, 6), kind=st.sampled_from(KINDS), way=st.sampled_from(WAYS))
    def start(self, count: int, kind: Kind, way: Way) -> None:
        async def begin() -> None:
            for _ in range(count):
                request = Request()
                request.task = asyncio.create_task(self._request(request, kind, way))
                self.requests.append(request)
            await asyncio.sleep(0)

        self.run(begin())

    @rule(sizes=st.lists(SIZES, min_size=50, max_size=70), turns=st.integers(0, 3))
    def storm(self, sizes: list[int], turns: int) -> None:
        async def resize() -> None:
            for size in sizes:
                await self.pool.resize(size)
                for _ in range(turns):
                    await asyncio.sleep(0)

        type(self).resizes += len(sizes)
        self.run(resize())

    @rule(size=SIZES, turns=st.integers(0, 4))
    def resize_that_is_cancelled(self, size: int, turns: int) -> None:
        async def resize() -> None:
            task = asyncio.create_task(self.pool.resize(size))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert self.pool.size() == size or turns == 0

        type(self).resizes += 1
        self.run(resize())

    @rule(which=NUMBERS, count=st.integers(1, 5))
    def release(self, which: int, count: int) -> None:
        for request in self._some(which, count):
            request.release.set()
        self.run(asyncio.sleep(0))

    @rule(which=NUMBERS, count=st.integers(1, 3), turns=st.integers(0, 6))
    def cancel(self, which: int, count: int, turns: int) -> None:
        """Some turns after another was released, so that what it gives back meets the cancellation on its way."""

        async def cancel() -> None:
            released, *cancelled = self._some(which, count + 1) or [Request()]
            released.release.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            for request in cancelled:
                if request.task is not None and request.task.cancel():
                    request.cancelled = True

        self.run(cancel())

    @precondition(lambda self: self.kill_one is not None)
    @rule(which=NUMBERS)
    def kill(self, which: int) -> None:
        assert self.kill_one is not None
        self.killed |= self.kill_one(which)
        self.run(asyncio.sleep(0))

    @rule(milliseconds=st.sampled_from([1, 5, 20]))
    def time_passes(self, milliseconds: int) -> None:
        self.run(asyncio.sleep(milliseconds / 1000))

    @rule()
    def patience_ends(self) -> None:
        if self.pool.waiting():
            self.run(asyncio.sleep(WAIT_SECONDS + 0.02))

    def _some(self, which: int, count: int) -> list[Request]:
        running = [request for request in self.requests if not request.done]
        start = which % len(running) if running else 0
        return running[start : start + count]

    # One request.

    async def _request(self, request: Request, kind: Kind, way: Way) -> None:
        killed_before = len(self.killed)
        try:
            async with self._driver(way) as (driver, fetch):
                request.pid = driver.get_server_pid()
                assert id(driver) not in self.in_use, "two tasks have the same connection"
                assert not driver.is_in_transaction(), "handed on in a transaction"
                self.in_use.add(id(driver))
                try:
                    await self._work(request, kind, fetch)
                    if kind == "leave open" and way == "connection":
                        await driver.execute("BEGIN")
                finally:
                    self.in_use.discard(id(driver))
        except exc.TimeoutError:
            self.gave_up += 1
        except (
            exc.DBAPIError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            OSError,
        ) as error:
            while_opening = request.pid is None and len(self.killed) > killed_before
            if request.pid not in self.killed and not while_opening:
                raise AssertionError(f"{kind} by {way} on {request.pid}, killed {self.killed}") from error

    @asynccontextmanager
    async def _driver(self, way: Way) -> AsyncIterator[tuple[Any, Callable[[str, int], Any]]]:
        """The driver's connection, and how to ask a statement with an argument."""
        if way == "connection":
            async with self.pool.connection() as driver:
                yield driver, driver.fetchval
        else:
            async with self.engine.connect() as connection:

                async def ask(statement: str, number: int) -> Any:
                    return (await connection.execute(text(statement.replace("$1", ":n")), {"n": number})).scalar()

                raw = await connection.get_raw_connection()
                yield raw.driver_connection, ask

    async def _work(self, request: Request, kind: Kind, ask: Callable[[str, int], Any]) -> None:
        # Several texts, each prepared on its own: the answer tells whether the right one was run.
        self.asked += 1
        argument, number = self.asked, self.asked % 7
        seconds = {"slow": 0.03, "short": 0.001}.get(kind, 0)
        answer = await ask(f"SELECT CAST($1 AS int) * {number} FROM pg_sleep({seconds})", argument)
        assert answer == argument * number, "the answer to somebody else's question"
        if kind == "hold":
            await request.release.wait()

    # What must hold.

    @invariant()
    def counts_are_right(self) -> None:
        if hasattr(self, "pool"):
            try:
                self._check(self.pool)
            except AssertionError as error:
                self.failures.append(error)
                raise

    def _check(self, pool: ResizableAsyncPool) -> None:
        total = pool.checkedin() + pool.checkedout()
        assert total <= MOST, "more connections than any size that there was"
        assert pool.checkedin() >= 0
        assert pool.checkedout() >= len(self.in_use)
        assert pool.draining == max(0, total - pool.size())
        if pool.waiting():
            assert pool.checkedin() == 0, "somebody waits beside an idle connection"
            assert total >= pool.size(), "somebody waits beside a free slot"
        for request in self.requests:
            if request.done and request.task is not None and not request.task.cancelled():
                error = request.task.exception()
                assert error is None, f"a request failed: {error!r} because of {error.__cause__!r}"

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self.run(self._end())
            self.counts_are_right()
        self.runner.close()

    async def _end(self) -> None:
        for request in self.requests:
            request.release.set()
        await asyncio.gather(*(r.task for r in self.requests if r.task is not None), return_exceptions=True)
        assert all(r.cancelled for r in self.requests if r.task is not None and r.task.cancelled())
        pool = self.pool
        await pool.drained()
        await eventually(lambda: pool.checkedout() == 0, lambda: f"a connection did not come back: {pool.status()}")
        assert (pool.waiting(), pool.draining) == (0, 0)
        # Who was cancelled in the moment in which he gave up is counted by the pool alone.
        assert self.gave_up <= pool.timeouts <= self.gave_up + sum(request.cancelled for request in self.requests)

        async def fits(most: int) -> bool:
            return await asyncio.to_thread(self.connections) <= most

        await eventually(lambda: fits(pool.checkedin()), lambda: f"{self.connections()} seen, {pool.status()}")
        await self.engine.dispose()
        await eventually(lambda: fits(0), lambda: f"{self.connections()} connections are left")
