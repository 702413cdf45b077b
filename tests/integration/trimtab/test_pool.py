"""The resizable pool on real PostgreSQL, directly and through PgBouncer in transaction mode."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Login, Postgres
from tests.integration.conftest import OwnServer
from tests.integration.trimtab.pool_load import (
    DEADLINE_SECONDS,
    WAYS,
    Load,
    Way,
    backends,
    engine_of,
    eventually,
    pool_of,
    seen_by,
    use,
)
from trimtab.pool import ResizableAsyncPool

MOST = 16
TASKS = 24


@pytest.fixture(params=["direct", "pooled"])
def login(request: pytest.FixtureRequest, postgres: Postgres, database: str) -> Login:
    if request.param == "direct":
        return postgres.login(database=database)
    login: Login = request.getfixturevalue("pooled")
    return login


async def test_a_resize_takes_effect_under_load_and_fails_no_request(
    login: Login, postgres: Postgres, database: str, pgbouncer: PgBouncer
) -> None:
    connections = seen_by(postgres, pgbouncer, login, database)
    async with engine_of(login, pool_size=2) as engine, Load(engine, TASKS) as load:
        pool = pool_of(engine)
        for size in (2, 10, 3, MOST, 1, 8, 8, 5):
            await pool.resize(size)
            await asyncio.wait_for(pool.drained(), DEADLINE_SECONDS)
            await load.more(3 * TASKS)
            assert pool.draining == 0
            assert pool.checkedin() + pool.checkedout() == size, "24 tasks must use all connections"

            async def fits(size: int = size) -> bool:
                return await asyncio.to_thread(connections) <= size

            await eventually(fits, lambda: f"the server still sees {connections()} connections")
        assert not load.errors
    assert (pool.checkedin(), pool.checkedout(), pool.waiting()) == (0, 0, 0)


async def test_random_resizes_under_load(login: Login, postgres: Postgres, database: str) -> None:
    """With cancellations, timeouts and killed backends, and 10,000 of them: test_pool_stateful.py."""
    dice = random.Random(7)
    async with engine_of(login, pool_size=4) as engine:
        pool = pool_of(engine)
        async with Load(engine, TASKS) as load:
            for _ in range(150):
                await pool.resize(dice.randint(1, MOST))
                await asyncio.sleep(dice.random() * 0.003)
            await pool.resize(3)
            await asyncio.wait_for(pool.drained(), DEADLINE_SECONDS)
            await load.more(TASKS)
            assert not load.errors
        assert pool.checkedout() == 0
        assert pool.checkedin() <= 3
        if login.port == postgres.port:
            assert await asyncio.to_thread(backends, postgres, database) == pool.checkedin()


async def test_idle_surplus_is_closed_when_resize_returns(postgres: Postgres, database: str) -> None:
    async with engine_of(postgres.login(database=database), pool_size=6) as engine:
        pool = pool_of(engine)
        held = [await engine.connect() for _ in range(6)]
        for connection in held[:5]:
            await connection.close()
        await pool.resize(2)
        assert (pool.checkedin(), pool.checkedout(), pool.draining) == (1, 1, 0)
        await eventually(lambda: backends(postgres, database) == 2, lambda: f"{backends(postgres, database)} backends")
        await pool.resize(1)
        assert (pool.checkedin(), pool.draining) == (0, 0), "the idle one goes, the one in use stays"
        await held[5].close()
        assert pool.checkedin() == 1


async def test_what_is_checked_out_closes_at_its_return(postgres: Postgres, database: str) -> None:
    async with engine_of(postgres.login(database=database), pool_size=3) as engine:
        pool = pool_of(engine)
        held = [await engine.connect() for _ in range(3)]
        await pool.resize(1)
        drained = asyncio.create_task(pool.drained())
        assert pool.draining == 2
        await held[0].close()
        await asyncio.sleep(0)
        assert (pool.draining, drained.done()) == (1, False)
        await held[1].close()
        await asyncio.wait_for(drained, DEADLINE_SECONDS)
        await held[2].close()
        assert (pool.checkedin(), pool.checkedout()) == (1, 0)


async def test_waiters_profit_from_growth_at_once(postgres: Postgres, database: str) -> None:
    async with engine_of(postgres.login(database=database), pool_size=1, pool_timeout=DEADLINE_SECONDS) as engine:
        pool = pool_of(engine)
        holder = await engine.connect()
        waiting = [asyncio.create_task(engine.connect().start()) for _ in range(3)]
        await eventually(lambda: pool.waiting() == 3, lambda: pool.status())
        await pool.resize(4)
        for connection in await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE_SECONDS):
            await connection.close()
        await holder.close()
        assert pool.checkedin() == 4


async def test_cancelled_tasks_lose_no_connection(login: Login) -> None:
    dice = random.Random(3)
    async with engine_of(login, pool_size=4) as engine:
        pool = pool_of(engine)

        for _ in range(30):
            tasks = [asyncio.create_task(use(engine, WAYS[number % 2], 0.005)) for number in range(12)]
            await pool.resize(dice.randint(1, 6))
            await asyncio.sleep(dice.random() * 0.02)
            for task in dice.sample(tasks, 6):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
            await eventually(lambda: pool.checkedout() == 0, lambda: f"not all came back: {pool.status()}")
            assert pool.waiting() == 0
        await pool.resize(4)
        held = [await asyncio.wait_for(engine.connect().start(), DEADLINE_SECONDS) for _ in range(4)]
        for connection in held:
            await connection.close()


async def test_a_checkout_that_waits_too_long_is_told_why(postgres: Postgres, database: str) -> None:
    async with engine_of(postgres.login(database=database), pool_size=1, pool_timeout=0.05) as engine:
        pool = pool_of(engine)
        async with engine.connect():
            with pytest.raises(exc.TimeoutError, match=r"within 0\.05 s \(size 1, .*raise the pool size"):
                await engine.connect()
        assert (pool.timeouts, pool.waiting(), pool.checkedin()) == (1, 0, 1)


@pytest.mark.parametrize("way", WAYS)
async def test_connections_have_a_bounded_age(postgres: Postgres, database: str, way: Way) -> None:
    def pids() -> set[object]:
        return {row[0] for row in postgres.execute(f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}'")}

    async with engine_of(postgres.login(database=database), pool_size=3, max_age_seconds=0.4) as engine:
        pool = pool_of(engine)
        for connection in [await engine.connect() for _ in range(3)]:
            await connection.close()
        before = pids()
        assert len(before) == 3
        await eventually(lambda: pool.checkedin() == 0, lambda: f"idle ones stay: {pool.status()}")
        async with Load(engine, tasks=3, ways=(way,)) as load:
            await load.more(9)
            await eventually(lambda: not pids() & before, lambda: "some connections never went")
            first = pids()
            assert first, "or there would be nothing to renew"
            await eventually(lambda: not pids() & first, lambda: "busy connections are not renewed")
            assert not load.errors


async def test_a_restart_of_the_database_is_survived(own_server: OwnServer) -> None:
    server = own_server(Postgres(fsync=False))
    server.create_database("restarted")
    async with engine_of(server.login(database="restarted"), pool_size=4) as engine:
        pool = pool_of(engine)
        async with Load(engine, tasks=8) as load:
            await load.more(20)
            await asyncio.to_thread(server.restart)
            await load.more(100)
            assert load.errors, "a restart ends sessions"
            await pool.resize(2)
            await asyncio.wait_for(pool.drained(), DEADLINE_SECONDS)
            await load.more(20)
        assert pool.checkedout() == 0
        assert pool.checkedin() <= 2
        idle = [await engine.connect() for _ in range(2)]
        for connection in idle:
            await connection.close()
        await asyncio.to_thread(server.restart)
        await asyncio.sleep(0.1)
        async with engine.connect() as connection:  # the driver knows that they are closed, nothing needs to fail
            assert (await connection.execute(text("SELECT 1"))).scalar() == 1


async def test_dispose_serves_those_who_wait_and_keeps_nothing(postgres: Postgres, database: str) -> None:
    async with engine_of(postgres.login(database=database), pool_size=1) as engine:
        old = pool_of(engine)
        holder = await engine.connect()
        waiting = asyncio.create_task(engine.connect().start())
        await eventually(lambda: old.waiting() == 1, lambda: old.status())
        await engine.dispose()
        assert pool_of(engine) is not old
        await holder.close()
        connection = await asyncio.wait_for(waiting, DEADLINE_SECONDS)
        await connection.close()
        assert (old.checkedin(), old.checkedout()) == (0, 0)


@pytest.mark.parametrize("size", [0, -1, 1.5, "3"])
async def test_a_size_below_1_is_refused(size: Any) -> None:
    engine = create_async_engine("postgresql+asyncpg://nowhere", poolclass=ResizableAsyncPool, pool_size=2)
    with pytest.raises(ValueError, match=f"the pool size is {size!r}, it must be an integer of at least 1"):
        await pool_of(engine).resize(size)
    assert pool_of(engine).size() == 2
    with pytest.raises(ValueError, match="the pool size is 0"):
        create_async_engine("postgresql+asyncpg://nowhere", poolclass=ResizableAsyncPool, pool_size=0)
