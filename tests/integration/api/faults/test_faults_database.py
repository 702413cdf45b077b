"""PostgreSQL and PgBouncer away, restarted, killed, paused: honest refusals meanwhile, nothing lost, back by itself."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.server import Server
from tests.integration.api.conftest import database_values
from tests.integration.api.faults.load import PROBLEM, Book, Load, until
from tests.integration.api.faults.proxy import Manner, Proxy
from tests.integration.api.faults.stack import (
    CHECKOUT_SECONDS,
    ITEMS,
    POOL_SIZE,
    SERVER_CONNECTIONS,
    STATEMENT_SECONDS,
    Accounts,
    HealthCheck,
    Stack,
    Watched,
    paused,
    signed_in,
)
from tests.integration.api.server_process import serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

CONCURRENCY = 8
LONGEST_SECONDS = 3 * (CHECKOUT_SECONDS + STATEMENT_SECONDS)
"""A request waits for admission, a connection and a statement or two; and the machine that tests is slow."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(seeded: Stack) -> AsyncIterator[Watched]:
    async with serving(seeded.settings(concurrency=CONCURRENCY)) as server:
        yield await signed_in(server)


async def outage(stack: Stack, api: Watched, server: Server, *, killed: bool, times: int = 1) -> Book:
    """The load through `times` ends of a server and its return."""
    accounts = Accounts.of(stack)
    async with Load(api.url, api.headers, ITEMS, readers=3, writers=2, buyers=3) as load:
        await load.more(100)
        for _ in range(times):
            await asyncio.to_thread(server.kill if killed else server.stop)
            await load.until_refused(10)
            await asyncio.to_thread(server.start)
            await load.well()
    accounts.assert_balanced(load.book)
    assert load.book.failures == []
    assert load.book.slowest() < LONGEST_SECONDS
    return load.book


async def assert_as_before(stack: Stack, api: Watched) -> None:
    """No connection is lost, no transaction left open, every place free, and whoever asks is served."""
    await api.until_idle()
    await until(lambda: stack.backends("active") == 0, "no statement runs")
    assert stack.backends("idle in transaction%") == 0
    assert stack.backends() <= SERVER_CONNECTIONS
    clients = [row for row in stack.pgbouncer.console("SHOW CLIENTS") if row["database"] == "catalog"]
    assert len(clients) <= POOL_SIZE
    assert await api.value("trimtab_pool_size") == POOL_SIZE
    assert await api.value("trimtab_pool_draining") == 0
    async with Load(api.url, api.headers, ITEMS, readers=2 * POOL_SIZE, writers=0, buyers=0) as load:
        await load.well(3)
        refused = load.book.refused
        await load.more(50)
        assert load.book.refused == refused
    assert load.book.failures == []


async def test_postgresql_restarted(stack: Stack, api: Watched) -> None:
    """Fast shutdown, then back: only 503s meanwhile, no order lost or doubled, all as before without a restart."""
    await outage(stack, api, stack.postgres, killed=False)
    await assert_as_before(stack, api)


@pytest.mark.long
async def test_postgresql_killed(stack: Stack, api: Watched) -> None:
    """kill -9, twice; it recovers from its log. The same promise."""
    await outage(stack, api, stack.postgres, killed=True, times=2)
    await assert_as_before(stack, api)


@pytest.mark.long
async def test_pgbouncer_killed(stack: Stack, api: Watched) -> None:
    """kill -9: the same promise, though the statements that it had prepared are gone with it."""
    await outage(stack, api, stack.pgbouncer, killed=True)
    await assert_as_before(stack, api)


@pytest.mark.long
async def test_pgbouncer_told_to_end(stack: Stack, api: Watched) -> None:
    """SIGTERM under load: who is connected is served on. Killed before it is done (the grace period is over): the same
    promise as for a kill."""
    accounts = Accounts.of(stack)
    async with Load(api.url, api.headers, ITEMS, readers=3, writers=2, buyers=3) as load:
        await load.well()
        stack.pgbouncer.send_signal(signal.SIGTERM)
        await until(lambda: "SIGTERM" in stack.pgbouncer.log_tail(200), "PgBouncer says that it ends")
        await load.more(200)
        assert stack.pgbouncer.running
        assert load.book.refused == 0
        await asyncio.to_thread(stack.pgbouncer.kill)
        await asyncio.to_thread(stack.pgbouncer.start)
        await load.well()
    accounts.assert_balanced(load.book)
    assert load.book.failures == []
    await assert_as_before(stack, api)


@pytest.mark.long
async def test_postgresql_paused(stack: Stack, api: Watched) -> None:
    """Everything of PostgreSQL stands still: each request ends in bounded time, those that admission sheds are told
    when to come back, /healthz answers all the time, and all is well when it goes on."""
    async with (
        HealthCheck(api.url) as health,
        Load(api.url, api.headers, ITEMS, readers=6 * CONCURRENCY, writers=2, buyers=0) as load,
    ):
        await load.well(3)
        with paused(stack.postgres.pid):
            await until(lambda: load.book.shed >= 20, "admission sheds")
            await until(lambda: load.book.refused - load.book.shed >= 2 * CONCURRENCY, "whoever got in is answered")
            asked = len(health.statuses)
            await until(lambda: len(health.statuses) > asked + 10, "health answers")
        await load.well(3)
    assert load.book.failures == []
    assert load.book.slowest() < LONGEST_SECONDS
    assert set(health.statuses) == {200}
    assert health.slowest < LONGEST_SECONDS
    await assert_as_before(stack, api)


@pytest.mark.long
async def test_the_answer_of_a_commit_is_lost(stack: Stack) -> None:
    """The network takes a request to the database and loses its answer: 503 in bounded time. What was committed shows:
    the item is not served as it was, the order that is sent again is found and not placed twice."""
    item, key = ITEMS[3], f"fault-{uuid.uuid4()}"
    order: dict[str, Any] = {"json": {"lines": [{"item_id": item, "quantity": 1}]}, "headers": {"Idempotency-Key": key}}
    async with Proxy(stack.pgbouncer.address) as proxy:
        login = {**database_values(stack.pgbouncer.login()), "database_port": proxy.port}
        async with serving(stack.settings(pool_size=1, **login), API_CACHE_TTL_SECONDS='{"item": 3600}') as server:
            api = await signed_in(server)
            old = await api.price(item)
            assert await api.change_price(item, old) == 200, "its statement is prepared now"
            assert await api.price(item) == old, "cached"

            proxy.manner = Manner.LOSES_ANSWERS
            assert await api.change_price(item, old + 1) == 503
            assert stack.price(item) == old + 1, "it was committed"
            await proxy.heal()

            async def shows() -> bool:
                return await api.price(item) == old + 1

            await until(shows, "the committed price")

            before = stack.stock()
            proxy.trigger = b"COMMIT"
            async with httpx.AsyncClient(base_url=api.url, headers=api.headers, timeout=LONGEST_SECONDS) as http:
                answer = await http.post("/orders", **order)
                assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
                number = stack.orders()[key]
                await proxy.heal()
                again = await http.post("/orders", **order)
            assert (again.status_code, again.json()["id"]) == (200, number)
            assert stack.stock() == before, "taken once"
            await api.until_idle()
    assert stack.backends("idle in transaction%") == 0


@pytest.mark.long
async def test_without_a_pooler(stack: Stack) -> None:
    """The API's own connections at PostgreSQL, restarted and killed: the same promise."""
    direct = stack.settings(**database_values(stack.postgres.login()))
    async with serving(direct) as server:
        api = await signed_in(server)
        for killed in (False, True):
            await outage(stack, api, stack.postgres, killed=killed)
        await api.until_idle()
        assert stack.backends("idle in transaction%") == 0
        own = stack.backends() - sum(row["sv_idle"] + row["sv_active"] for row in pools(stack.pgbouncer))
        assert own <= POOL_SIZE


def pools(pgbouncer: PgBouncer) -> list[dict[str, int]]:
    return [row for row in pgbouncer.console("SHOW POOLS") if row["database"] == "catalog"]  # type: ignore[misc]
