"""Load through the pooler, and what PostgreSQL itself says about who is connected."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from types import TracebackType
from typing import Self

import asyncpg
import psycopg

from deploy.servers.postgres import Login, Postgres
from tests.integration.pooler.pod import wait_for

BACKEND_SAMPLE_SECONDS = 0.1
BROKEN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What a client meets whose server went away; the internal error when an answer breaks off inside a commit."""


class Load:
    """`clients` connections, each one transaction after the other: real rows, prepared statements, no sleep.

    A thread with its own loop, so that tests may block.
    """

    def __init__(self, login: Login, clients: int, think_seconds: float = 0.0) -> None:
        self._login = login
        self._clients = clients
        self._think = think_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="load")
        self.done = 0
        self.failures: list[str] = []

    async def _main(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        connection: asyncpg.Connection | None = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    login = self._login
                    connection = await asyncpg.connect(
                        host=login.host, port=login.port, user=login.user, password=login.password,
                        database=login.database, timeout=30,
                    )  # fmt: skip
                async with connection.transaction():
                    await connection.execute("UPDATE stock SET amount = amount + 1 WHERE id = $1", number)
                    await connection.fetchval("SELECT sum(amount) FROM stock WHERE id < $1", 200)
                self.done += 1
                if self._think:
                    await asyncio.sleep(self._think)
            except BROKEN as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                if connection is not None:
                    connection.terminate()
                    connection = None
                await asyncio.sleep(0.1)
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=5)

    def wait_more(self, count: int) -> None:
        """Until `count` more transactions are done."""
        goal = self.done + count
        wait_for(f"{count} more transactions", lambda: self.done >= goal)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Backends:
    """Counts the app role's live backends on the server several times a second, over a superuser's own connection."""

    def __init__(self, postgres: Postgres) -> None:
        self._conninfo = postgres.superuser_conninfo()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name="backends")
        self.samples: list[tuple[float, int]] = []

    def _main(self) -> None:
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            while not self._stop.wait(BACKEND_SAMPLE_SECONDS):
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'catalog_app'"
                ).fetchone()
                assert row is not None
                self.samples.append((time.monotonic(), row[0]))

    def most(self, since: float = 0.0) -> int:
        """The largest count seen since then; waits until something was."""
        deadline = time.monotonic() + 30
        while not (counts := [count for at, count in list(self.samples) if at >= since]):
            assert time.monotonic() < deadline, "no backend was counted for 30 s"
            time.sleep(0.05)
        return max(counts)

    def now(self) -> int:
        return self.samples[-1][1] if self.samples else 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
