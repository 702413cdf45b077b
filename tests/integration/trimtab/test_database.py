"""Statements on real servers: one round trip a read, typed rows, transactions that take effect or do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, assert_type

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Login, Postgres
from tests.integration.conftest import OwnServer
from tests.integration.trimtab.pool_load import DEADLINE_SECONDS, engine_of, eventually, pool_of
from trimtab.database import Database, Row, Statement
from trimtab.telemetry import request
from trimtab.telemetry.request import RequestRecord

lamps = Table("lamps", MetaData(), Column("id", Integer, primary_key=True), Column("name", Text, nullable=False))


class Lamp(NamedTuple):
    id: int
    name: str


@dataclass(slots=True)
class Name:
    name: str


_ID = bindparam("id", type_=Integer)
GET = Statement("lamps.get", select(lamps).where(lamps.c.id == _ID), Lamp)
LIST = Statement("lamps.list", select(lamps.c.name).order_by(lamps.c.id), Name)
ADD = Statement("lamps.add", insert(lamps).values(id=_ID, name=bindparam("name", type_=Text)).returning(lamps.c.id))
SLEEP = Statement("lamps.sleep", select(func.pg_sleep(bindparam("seconds")).label("slept")))


@pytest.fixture(params=["direct", "pooled"])
async def database_(request: pytest.FixtureRequest, postgres: Postgres, database: str) -> AsyncIterator[Database]:
    postgres.execute(
        "CREATE TABLE lamps (id int PRIMARY KEY, name text NOT NULL)",
        "INSERT INTO lamps VALUES (1, 'brass'), (2, 'oil')",
        "GRANT ALL ON lamps TO catalog_app", database=database,
    )  # fmt: skip
    login: Login = postgres.login(database=database)
    if request.param == "pooled":
        login = request.getfixturevalue("pooled")
    async with engine_of(login, pool_size=2, pool_timeout=DEADLINE_SECONDS) as engine:
        yield Database(engine, statement_timeout_seconds=DEADLINE_SECONDS)


@pytest.fixture
def record() -> Iterator[RequestRecord]:
    """As telemetry sets it for a request."""
    record = RequestRecord({})
    token = request.current.set(record)
    yield record
    request.current.reset(token)


async def test_rows_are_typed_and_reads_are_one_round_trip(database_: Database) -> None:
    lamp = await database_.first(GET, id=1)
    assert_type(lamp, Lamp | None)
    assert lamp == Lamp(1, "brass")
    assert isinstance(lamp, Lamp)
    assert await database_.first(GET, id=9) is None
    names = await database_.all(LIST)
    assert_type(names, list[Name])
    assert names == [Name("brass"), Name("oil")]
    row = await database_.first(ADD, id=3, name="lava")
    assert_type(row, Row | None)
    assert row is not None
    assert row["id"] == 3
    with pytest.raises(KeyError):
        await database_.first(GET)
    assert await database_.first(GET, id=3) == Lamp(3, "lava"), "written outside a transaction"

    queries: list[str] = []
    async with pool_of(database_.engine).connection() as driver:
        driver.add_query_logger(lambda query: queries.append(query.query))
    for _ in range(3):
        await database_.first(GET, id=1)
    await eventually(lambda: len(queries) >= 3, lambda: f"{queries}")  # asyncpg tells a turn later
    assert queries == [GET.text] * 3, "no BEGIN, no ROLLBACK, no reset"


async def test_a_transaction_takes_effect_as_a_whole_or_not_at_all(database_: Database) -> None:
    async with database_.transaction() as transaction:
        await transaction.first(ADD, id=5, name="tall")
        assert await transaction.first(GET, id=5) == Lamp(5, "tall")
    assert await database_.first(GET, id=5) is not None
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database_.transaction() as transaction:
            await transaction.first(ADD, id=6, name="x")
            await transaction.first(ADD, id=5, name="x")
    with pytest.raises(ZeroDivisionError):
        async with database_.transaction() as transaction:
            await transaction.first(ADD, id=6, name="x")
            raise ZeroDivisionError
    assert [name.name for name in await database_.all(LIST)] == ["brass", "oil", "tall"]
    assert pool_of(database_.engine).checkedout() == 0


async def test_a_transaction_that_is_cancelled_leaves_nothing(database_: Database) -> None:
    async def add(seconds: float) -> None:
        async with database_.transaction() as transaction:
            await transaction.first(ADD, id=7, name="half")
            await transaction.first(SLEEP, seconds=seconds)

    for turns in range(0, 40, 4):
        task = asyncio.create_task(add(1000))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns > 20:  # inside the statement that sleeps
            await asyncio.sleep(0.02)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert await database_.first(GET, id=7) is None
    pool = pool_of(database_.engine)
    await eventually(lambda: pool.checkedout() == 0, pool.status)
    await asyncio.wait_for(add(0), DEADLINE_SECONDS)  # nobody else holds the row's lock


async def test_each_round_trip_counts_for_its_request(database_: Database, record: RequestRecord) -> None:
    await database_.first(GET, id=1)
    assert record.statements == 1
    await database_.first(SLEEP, seconds=0.05)
    assert record.database_seconds >= 0.05
    async with database_.transaction() as transaction:
        await transaction.all(LIST)
    assert record.statements == 5, "begin, read, commit"
    with pytest.raises(asyncpg.PostgresError):
        await database_.first(ADD, id=1, name="there is one")
    assert record.statements == 6, "one that failed took its time, too"


async def test_a_statement_that_takes_too_long_takes_its_connection_along(database_: Database) -> None:
    quick = Database(database_.engine, statement_timeout_seconds=0.1)
    with pytest.raises(TimeoutError):
        await quick.first(SLEEP, seconds=1000)
    pool = pool_of(database_.engine)
    await eventually(lambda: pool.checkedout() == 0, pool.status)
    assert pool.checkedin() == 0
    assert await database_.first(GET, id=1) is not None


@pytest.mark.parametrize(
    "what",
    ["the database", "the pooler", pytest.param("the database behind the pooler", marks=pytest.mark.long)],
)
async def test_reads_come_back_by_themselves_after_a_restart(own_server: OwnServer, what: str) -> None:
    server = own_server(Postgres(fsync=False))
    server.create_database("restarted")
    server.execute(
        "CREATE TABLE lamps (id int PRIMARY KEY, name text NOT NULL)", "INSERT INTO lamps VALUES (1, 'brass')",
        "GRANT ALL ON lamps TO catalog_app", database="restarted",
    )  # fmt: skip
    login = server.login(database="restarted")
    restart = server.restart
    if what != "the database":
        pooler = own_server(PgBouncer(backend=login))
        login = pooler.login()
        if what == "the pooler":
            restart = pooler.restart
    async with engine_of(login, pool_size=4, pool_timeout=DEADLINE_SECONDS) as engine:
        await _read_through(Database(engine), restart)
        pool = pool_of(engine)
        await eventually(lambda: (pool.checkedout(), pool.waiting()) == (0, 0), pool.status)


async def _read_through(database: Database, restart: Any) -> None:
    """Readers that go on whatever happens: after the restart every one of them reads again."""
    read = [0] * 8
    failures: list[Exception] = []
    stopping = False

    async def go_on(reader: int) -> None:
        while not stopping:
            try:
                read[reader] += await database.first(GET, id=1) is not None
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                failures.append(error)
                await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(go_on(reader)) for reader in range(len(read))]
    await eventually(lambda: min(read) > 10, lambda: f"{read} {failures[:3]}")
    await asyncio.to_thread(restart)
    goal = [count + 10 for count in read]
    await eventually(
        lambda: all(count >= wanted for count, wanted in zip(read, goal, strict=True)),
        lambda: f"some never read again: {read}, {failures[-3:]}",
    )
    stopping = True
    await asyncio.gather(*tasks)
    before = len(failures)
    assert await database.first(GET, id=1) == Lamp(1, "brass")
    assert len(failures) == before


def test_an_engine_with_another_pool_is_refused() -> None:
    engine = create_async_engine("postgresql+asyncpg://nowhere/x")
    with pytest.raises(TypeError, match=r"is a AsyncAdaptedQueuePool, which gives no driver connections; remedy"):
        Database(engine)
