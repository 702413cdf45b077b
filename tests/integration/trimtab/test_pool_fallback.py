"""The fixed pool behind a limiter, forced by a SQLAlchemy that seems to lack something, on real servers."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest
from sqlalchemy import exc
from sqlalchemy.pool import Pool

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
    use,
)
from trimtab.pool import LimitedAsyncPool, ResizableAsyncPool, check
from trimtab.service import Trimtab

TASKS = 16
MOST = 8


@pytest.fixture(autouse=True)
def unknown_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(check._INTERNALS, Pool, ("_do_get", "_do_something_new"))


@pytest.fixture(params=["direct", "pooled"])
def login(request: pytest.FixtureRequest, postgres: Postgres, database: str) -> Login:
    if request.param == "direct":
        return postgres.login(database=database)
    login: Login = request.getfixturevalue("pooled")
    return login


async def test_it_is_said_once_and_the_service_lives(
    postgres: Postgres, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="trimtab.pool"):
        async with engine_of(postgres.login(database=database), pool_size=3, max_size=MOST) as engine:
            tunable = Trimtab(engine=engine, metrics_port=None)
            assert tunable.pool.size() == 3
            for way in WAYS:
                await use(engine, way)
            assert tunable.registry.get_sample_value("trimtab_pool_size") == 3
            assert tunable.registry.get_sample_value("trimtab_pool_checkout_seconds_count") == 2
    (record,) = [record for record in caplog.records if record.name == "trimtab.pool"]
    assert "has no Pool._do_something_new" in record.message
    assert "install sqlalchemy>=2.1,<2.2" in record.message
    assert "up to 8 connections stay open when they are idle" in record.message


async def test_a_resize_takes_effect_under_load_and_fails_no_request(login: Login) -> None:
    async with engine_of(login, pool_size=2, max_size=MOST) as engine, Load(engine, TASKS) as load:
        pool = pool_of(engine)
        assert isinstance(pool, LimitedAsyncPool)
        assert not isinstance(pool, ResizableAsyncPool)
        for size in (2, 6, 3, MOST, 1, 5):
            await pool.resize(size)
            await asyncio.wait_for(pool.drained(), DEADLINE_SECONDS)
            assert (pool.size(), pool.draining) == (size, 0)
            await load.more(2 * TASKS)
            assert pool.checkedout() == size, "16 tasks must use all connections"
        assert not load.errors
    assert (pool.checkedout(), pool.waiting()) == (0, 0)


async def test_random_resizes_under_load(login: Login, postgres: Postgres, database: str) -> None:
    dice = random.Random(7)
    async with engine_of(login, pool_size=4, max_size=MOST) as engine:
        pool = pool_of(engine)
        async with Load(engine, TASKS) as load:
            for _ in range(100):
                await pool.resize(dice.randint(1, MOST))
                await asyncio.sleep(dice.random() * 0.002)
            await pool.resize(3)
            await load.more(TASKS)
            assert not load.errors
        assert (pool.checkedout(), pool.draining, pool.waiting()) == (0, 0, 0)
        if login.port == postgres.port:
            assert await asyncio.to_thread(backends, postgres, database) <= MOST, "idle ones stay, but no more"


async def test_cancelled_tasks_lose_no_slot(login: Login) -> None:
    dice = random.Random(3)
    async with engine_of(login, pool_size=4, max_size=MOST) as engine:
        pool = pool_of(engine)
        for _ in range(15):
            tasks = [asyncio.create_task(use(engine, WAYS[number % 2], 0.005)) for number in range(12)]
            await pool.resize(dice.randint(1, 6))
            await asyncio.sleep(dice.random() * 0.02)
            for task in dice.sample(tasks, 6):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
            assert (pool.checkedout(), pool.waiting()) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_who_waits_profits_from_growth_or_is_told_why_not(postgres: Postgres, database: str, way: Way) -> None:
    async with engine_of(postgres.login(database=database), pool_size=1, max_size=2, pool_timeout=0.1) as engine:
        pool = pool_of(engine)
        async with engine.connect():
            with pytest.raises(exc.TimeoutError, match=r"within 0\.1 s \(size 1 of at most 2"):
                await use(engine, way)
            assert (pool.timeouts, pool.waiting(), pool.checkedout()) == (1, 0, 1)
        async with engine.connect():
            waiting = asyncio.create_task(use(engine, way))
            await eventually(lambda: pool.waiting() == 1 or waiting.done(), lambda: pool.status())
            await pool.resize(2)
            await asyncio.wait_for(waiting, DEADLINE_SECONDS)
        with pytest.raises(ValueError, match=r"the pool size is 3, the fixed pool of this engine has 2 connections"):
            await pool.resize(3)


async def test_nothing_is_handed_on_in_a_transaction(postgres: Postgres, database: str) -> None:
    async with engine_of(postgres.login(database=database), pool_size=1, max_size=1) as engine:
        pool = pool_of(engine)
        async with pool.connection() as driver:
            await driver.execute("BEGIN")
        async with pool.connection() as driver:
            assert not driver.is_in_transaction()


async def test_a_restart_of_the_database_and_a_dispose_are_survived(own_server: OwnServer) -> None:
    server = own_server(Postgres(fsync=False))
    server.create_database("restarted")
    async with engine_of(server.login(database="restarted"), pool_size=4, max_size=MOST) as engine:
        async with Load(engine, tasks=8) as load:
            await load.more(20)
            await asyncio.to_thread(server.restart)
            await load.more(100)
            await engine.dispose()
            await load.more(20)
            assert pool_of(engine).size() == 4
        assert pool_of(engine).checkedout() == 0
