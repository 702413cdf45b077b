"""`pool.connection()` on real PostgreSQL: the slots of the engine's own way, and only what is clean is handed on.

The tests of sizes, load, age and restarts use both ways at once: test_pool.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.servers.postgres import Postgres
from tests.integration.trimtab.pool_load import DEADLINE_SECONDS, backends, engine_of, eventually, pool_of

PID = "SELECT pg_backend_pid()"


@pytest.fixture
async def engine(postgres: Postgres, database: str) -> AsyncIterator[AsyncEngine]:
    """With one connection, so that whatever is left of one use meets the next."""
    async with engine_of(postgres.login(database=database), pool_size=1, pool_timeout=DEADLINE_SECONDS) as engine:
        yield engine


@pytest.fixture
def table(postgres: Postgres, database: str) -> str:
    postgres.execute("CREATE TABLE kept (n int PRIMARY KEY)", "GRANT ALL ON kept TO catalog_app", database=database)
    return "kept"


async def pid_of(engine: AsyncEngine) -> int:
    async with pool_of(engine).connection() as driver:
        assert not driver.is_in_transaction(), "handed on with an open transaction"
        pid: int = await driver.fetchval(PID)
        return pid


async def comes_back(engine: AsyncEngine) -> None:
    pool = pool_of(engine)
    await eventually(lambda: pool.checkedout() == 0, lambda: f"a slot is lost: {pool.status()}")


async def test_both_ways_use_the_same_connections(engine: AsyncEngine) -> None:
    pool = pool_of(engine)
    pid = await pid_of(engine)
    async with engine.connect() as connection:
        assert (await connection.execute(text(PID))).scalar() == pid
        assert (pool.checkedin(), pool.checkedout()) == (0, 1)
        waiting = asyncio.create_task(pid_of(engine))
        await eventually(lambda: pool.waiting() == 1, lambda: pool.status())
    assert await waiting == pid
    assert (pool.checkedin(), pool.checkedout(), pool.waiting()) == (1, 0, 0)


async def test_checkouts_are_timed_and_waits_bounded(postgres: Postgres, database: str) -> None:
    async with engine_of(postgres.login(database=database), pool_size=1, pool_timeout=0.05) as engine:
        pool = pool_of(engine)
        seconds: list[float] = []
        pool.on_checkout = seconds.append
        async with pool.connection():
            with pytest.raises(exc.TimeoutError, match=r"within 0\.05 s \(size 1, .*raise the pool size"):
                async with pool.connection():
                    pytest.fail("there is only one")
        assert (pool.timeouts, len(seconds), pool.checkedin()) == (1, 2, 1)
        assert seconds[1] >= 0.04, "waiting counts"


async def test_a_transaction_that_was_left_open_is_rolled_back(engine: AsyncEngine, table: str) -> None:
    pool = pool_of(engine)
    async with pool.connection() as driver:
        pid = await driver.fetchval(PID)
        await driver.execute("BEGIN")
        await driver.execute(f"INSERT INTO {table} VALUES (1)")
    with pytest.raises(ZeroDivisionError):
        async with pool.connection() as driver:
            await driver.execute("BEGIN")
            await driver.execute(f"INSERT INTO {table} VALUES (2)")
            raise ZeroDivisionError
    assert await pid_of(engine) == pid, "a rollback is enough"
    async with pool.connection() as driver:
        assert await driver.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_caller_that_is_cancelled_in_the_rollback_loses_nothing(engine: AsyncEngine, table: str) -> None:
    pool = pool_of(engine)
    begun = asyncio.Event()

    async def leave_open() -> None:
        async with pool.connection() as driver:
            await driver.execute("BEGIN")
            await driver.execute(f"INSERT INTO {table} VALUES (1)")
            begun.set()

    for turns in range(6):
        begun.clear()
        task = asyncio.create_task(leave_open())
        await begun.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await comes_back(engine)
        await pid_of(engine)
    async with pool.connection() as driver:
        assert await driver.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_what_the_server_refuses_leaves_the_connection_as_it_is(engine: AsyncEngine, table: str) -> None:
    pid = await pid_of(engine)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with pool_of(engine).connection() as driver:
            await driver.execute(f"INSERT INTO {table} VALUES (1), (1)")
    assert await pid_of(engine) == pid


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), TimeoutError(), ConnectionResetError(), asyncpg.InterfaceError("x"),
     asyncpg.InternalClientError("x"), asyncpg.ConnectionDoesNotExistError("x")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_what_may_leave_it_in_an_unknown_state_takes_it_along(
    engine: AsyncEngine, postgres: Postgres, database: str, error: BaseException
) -> None:
    pid = await pid_of(engine)
    with pytest.raises(type(error)):
        async with pool_of(engine).connection():
            raise error
    await comes_back(engine)
    kept = isinstance(error, asyncpg.PostgresError)  # what the server says in full
    assert (await pid_of(engine) == pid) is kept
    await eventually(lambda: backends(postgres, database) == 1, lambda: f"{backends(postgres, database)} backends")


async def test_a_statement_that_is_cancelled_ends_on_the_server_too(
    engine: AsyncEngine, postgres: Postgres, database: str
) -> None:
    async def sleep() -> None:
        async with pool_of(engine).connection() as driver:
            await driver.execute("SELECT pg_sleep(1000)")

    def sleeping() -> int:
        rows = postgres.execute(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE '%pg_sleep(1000)' "
            "AND state = 'active'"
        )
        return int(str(rows[0][0]))

    task = asyncio.create_task(sleep())
    await eventually(lambda: sleeping() == 1, lambda: "it never began")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await pid_of(engine)
    await eventually(lambda: sleeping() == 0, lambda: "it still sleeps")
    assert backends(postgres, database) == 1


async def test_a_timeout_that_the_block_has_swallowed_harms_nobody(engine: AsyncEngine) -> None:
    for _ in range(5):
        async with pool_of(engine).connection() as driver:
            with suppress(TimeoutError):
                await driver.execute("SELECT pg_sleep(1000)", timeout=0.02)
        await pid_of(engine)
    await comes_back(engine)


async def test_a_backend_that_is_killed_in_a_block_costs_one_slot_for_no_time(
    engine: AsyncEngine, postgres: Postgres, table: str
) -> None:
    for begin in ("SELECT 1", "BEGIN"):
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            async with pool_of(engine).connection() as driver:
                await driver.execute(begin)
                postgres.execute(f"SELECT pg_terminate_backend({await driver.fetchval(PID)})")
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await driver.execute("SELECT 1")
        await comes_back(engine)
        await pid_of(engine)


async def test_a_backend_that_is_killed_while_idle_fails_no_request(engine: AsyncEngine, postgres: Postgres) -> None:
    pid = await pid_of(engine)
    async with pool_of(engine).connection() as driver:
        pass
    postgres.execute(f"SELECT pg_terminate_backend({pid})")
    await eventually(driver.is_closed, lambda: "the driver never heard of it")
    assert await pid_of(engine) != pid


async def test_a_connection_that_sqlalchemy_gave_up_is_not_handed_out(engine: AsyncEngine) -> None:
    pid = await pid_of(engine)
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        raw.invalidate(soft=True)  # to be renewed at the next checkout
    assert pool_of(engine).checkedin() == 1
    assert await pid_of(engine) != pid


async def test_a_task_that_nobody_finishes_gives_its_connection_back(engine: AsyncEngine) -> None:
    async def forever() -> None:
        async with pool_of(engine).connection():
            await asyncio.Event().wait()

    coroutine: Any = forever()
    await pid_of(engine)
    coroutine.send(None)  # an idle connection is taken without waiting, so it stands in the block now
    assert pool_of(engine).checkedout() == 1
    coroutine.close()
    await comes_back(engine)
    await pid_of(engine)


async def test_an_opening_that_fails_frees_its_slot(engine: AsyncEngine, postgres: Postgres, database: str) -> None:
    postgres.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
    for _ in range(3):
        with pytest.raises(asyncpg.PostgresError):
            await pid_of(engine)
    assert pool_of(engine).checkedout() == 0
    postgres.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
    await pid_of(engine)


async def test_a_backend_that_is_killed_while_it_is_set_up_is_the_drivers_error(
    engine: AsyncEngine, postgres: Postgres
) -> None:
    def kill(connection: Any, record: object) -> None:
        postgres.execute(f"SELECT pg_terminate_backend({connection.driver_connection.get_server_pid()})")

    event.listen(engine.sync_engine.pool, "connect", kill, insert=True)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await pid_of(engine)
    assert pool_of(engine).checkedout() == 0
    event.remove(engine.sync_engine.pool, "connect", kill)
    await pid_of(engine)
