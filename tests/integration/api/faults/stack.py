"""Servers that a test may kill, a seeded catalog on them, and what the server says about who is connected."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Postgres
from deploy.servers.redis import RedisServer
from services.api.settings import Settings
from tests.integration.api.conftest import PASSWORD, settings_of
from tests.integration.api.faults.load import Book, until
from tests.integration.api.server_process import ServerProcess

ITEMS = tuple(range(1, 21))
"""What the clients work with: few, so that each is asked for often."""

SEEDED = 300
POOL_SIZE = 5
SERVER_CONNECTIONS = 6
CHECKOUT_SECONDS = 2.0
STATEMENT_SECONDS = 3.0
REDIS_WAIT_SECONDS = 0.25
"""Longer than in a pod: on a machine that runs many tests Redis is not down because nobody gets a CPU for 50 ms."""


@dataclass
class Stack:
    """The servers of one file of tests."""

    postgres: Postgres
    pgbouncer: PgBouncer
    redis: RedisServer
    database: str = "catalog"

    def settings(self, **others: Any) -> Settings:
        """Waits that end within a test."""
        waits = {
            "checkout_timeout_seconds": CHECKOUT_SECONDS,
            "statement_timeout_seconds": STATEMENT_SECONDS,
            "redis_wait_seconds": REDIS_WAIT_SECONDS,
        }
        return settings_of(self.pgbouncer.login(), self.redis, **{"pool_size": POOL_SIZE, **waits, **others})

    def mend(self) -> None:
        """Start what does not run: a test that failed half-way harms no other."""
        for server in (self.postgres, self.pgbouncer, self.redis):
            if not server.running:
                server.kill()
                server.start()

    def backends(self, state: str = "%") -> int:
        """Connections of the API's role, by state."""
        statement = (
            "SELECT count(*) FROM pg_stat_activity "
            f"WHERE usename = 'catalog_app' AND coalesce(state, '') LIKE '{state}'"
        )
        return int(str(self.postgres.execute(statement)[0][0]))

    def stock(self) -> dict[int, int]:
        """Pieces of each item: those left and those that orders have taken."""
        statement = (
            "SELECT item_id, quantity + coalesce((SELECT sum(l.quantity) FROM order_lines l JOIN orders o "
            "ON o.id = l.order_id WHERE l.item_id = stock.item_id AND o.idempotency_key NOT LIKE 'seed-%'), 0) "
            "FROM stock"
        )
        rows: list[Any] = self.postgres.execute(statement, database=self.database)
        return {int(item): int(quantity) for item, quantity in rows}

    def orders(self) -> dict[str, int]:
        """Orders that no seed made: id by key."""
        statement = "SELECT idempotency_key, id FROM orders WHERE idempotency_key NOT LIKE 'seed-%'"
        rows: list[Any] = self.postgres.execute(statement, database=self.database)
        return {str(key): int(number) for key, number in rows}

    def price(self, item: int) -> int:
        """What the database says."""
        rows: list[Any] = self.postgres.execute(
            f"SELECT price_cents FROM items WHERE id = {item}", database=self.database
        )
        return int(rows[0][0])


@dataclass
class Accounts:
    """Stock and orders before a fault, to be compared with those after it."""

    stack: Stack
    stock: dict[int, int]
    keys: set[str]

    @classmethod
    def of(cls, stack: Stack) -> Accounts:
        return cls(stack, stack.stock(), set(stack.orders()))

    def assert_balanced(self, book: Book) -> None:
        """Every confirmed order exists, once, under the number that was told; no other does; no piece is lost."""
        new = {key: number for key, number in self.stack.orders().items() if key not in self.keys}
        assert new == book.orders
        assert self.stack.stock() == self.stock


@contextlib.contextmanager
def paused(process: int) -> Iterator[None]:
    """A process and its children stopped in the middle of what they do."""
    root = psutil.Process(process)
    stopped = [root, *root.children(recursive=True)]
    for one in stopped:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for one in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGCONT)


@dataclass
class Watched:
    """A running API with a signed-in user, and its metrics as numbers."""

    server: ServerProcess
    headers: dict[str, str]

    @property
    def url(self) -> str:
        return self.server.url

    async def value(self, series: str) -> float:
        """One series of the metrics, 0 where there is none."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", await self.server.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def redis_hits(self) -> float:
        return await self.value('trimtab_cache_requests_total{group="item",result="hit",tier="redis"}')

    async def until_redis_is_used(self) -> None:
        """Until another answer has come from Redis."""
        before = await self.redis_hits()

        async def more() -> bool:
            return await self.redis_hits() > before

        await until(more, "a hit in Redis")

    async def until_idle(self) -> None:
        """Until no connection is checked out and no request is in progress."""

        async def idle() -> bool:
            taken = await self.value("trimtab_pool_checked_out"), await self.value("trimtab_admission_in_flight")
            return taken == (0, 0)

        await until(idle, "nothing checked out, nobody admitted")

    async def price(self, item: int) -> int:
        """What the API says."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
            answer = await http.get(f"/items/{item}")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["price_cents"])

    async def change_price(self, item: int, price: int) -> int:
        """The status of the answer."""
        async with httpx.AsyncClient(base_url=self.url, headers=self.headers, timeout=30) as http:
            return (await http.patch(f"/items/{item}", json={"price_cents": price})).status_code


async def signed_in(server: ServerProcess) -> Watched:
    """A user of the tests on that server."""
    credentials = {"email": "fault@example.org", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        registered = await http.post("/auth/register", json=credentials)
        assert registered.status_code in (201, 409), registered.text
        token = await http.post("/auth/token", json=credentials)
        assert token.status_code == 200, token.text
    return Watched(server, {"Authorization": f"Bearer {token.json()['access_token']}"})


class HealthCheck:
    """Asks /healthz all the time, as a kubelet does; `async with`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._task: asyncio.Task[None] | None = None
        self.statuses: list[int] = []
        self.slowest = 0.0

    async def __aenter__(self) -> HealthCheck:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as http:
            while True:
                started = time.monotonic()
                try:
                    self.statuses.append((await http.get("/healthz")).status_code)
                except httpx.HTTPError:
                    self.statuses.append(0)
                self.slowest = max(self.slowest, time.monotonic() - started)
                await asyncio.sleep(0.05)
