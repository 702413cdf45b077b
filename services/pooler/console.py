"""PgBouncer's admin console: one connection that stays open, and typed rows of what it shows.

The connection must stay open: once PgBouncer has got SIGTERM it accepts no new one, although it still works for its
clients. The console speaks the simple protocol only, hence psycopg's client-side cursor and autocommit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from services.pooler.settings import Settings

CONSOLE_DATABASE = "pgbouncer"
FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 2.0

SERVER_STATES = ("active", "active_cancel", "being_canceled", "idle", "used", "tested", "login")
CLIENT_STATES = ("active", "waiting", "active_cancel_req", "waiting_cancel_req")


class ConsoleError(Exception):
    """PgBouncer's console cannot be reached, or refused a command."""


@dataclass(frozen=True)
class Limits:
    """What PgBouncer enforces for the database (SHOW DATABASES), and the servers that it counts against it."""

    pool_size: int
    max_connections: int
    connections: int

    @property
    def effective(self) -> int:
        """Server connections that may be open; 0 means no limit in PgBouncer."""
        bounds = [bound for bound in (self.pool_size, self.max_connections) if bound > 0]
        return min(bounds, default=0)


@dataclass(frozen=True)
class Pool:
    """SHOW POOLS of the database, summed over its pools. Connections by state; wait in seconds."""

    servers: dict[str, int]
    clients: dict[str, int]
    max_wait_seconds: float

    @property
    def total_servers(self) -> int:
        """All states: a connection that logs in, is tested or is being cancelled is one at PostgreSQL too."""
        return sum(self.servers.values())

    @property
    def waiting(self) -> int:
        return self.clients["waiting"]


@dataclass(frozen=True)
class Stats:
    """SHOW STATS of the database since PgBouncer's start. Counts, and times in seconds."""

    assignments: int
    transactions: int
    queries: int
    transaction_seconds: float
    query_seconds: float
    wait_seconds: float


class Console:
    """The console of one PgBouncer, for one application database. Not for use from several event loops."""

    def __init__(
        self, conninfo: str, database: str, timeout_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._conninfo = conninfo
        self._database = database
        self._timeout = timeout_seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._connection: AsyncConnection[DictRow] | None = None
        self._backoff = FIRST_BACKOFF_SECONDS
        self._not_before = float("-inf")
        self._refusal = "not tried yet"
        self.sessions = 0
        """Connections made so far. It changes whenever another PgBouncer process may be at the other end."""
        self.listener: tuple[int, int] | None = None
        """Which Unix socket the connection goes through, by inode and time of making: each process of PgBouncer makes
        its own. None over TCP, where it cannot be told."""

    @classmethod
    def of(cls, settings: Settings) -> Console:
        conninfo = make_conninfo(
            host=settings.console_address,
            port=settings.listen_port,
            dbname=CONSOLE_DATABASE,
            user=settings.console_user,
            password=settings.console_password.get_secret_value(),
            application_name="trimtab-pooler-agent",
            connect_timeout=3,
        )
        return cls(conninfo, settings.database_name)

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def limits(self) -> Limits:
        rows = [row for row in await self._query("SHOW DATABASES") if row["name"] == self._database]
        if len(rows) != 1:
            raise ConsoleError(
                f"PgBouncer shows {len(rows)} databases named {self._database!r}, there must be 1: "
                "its pgbouncer.ini is not the one that `services.pooler.configure` writes"
            )
        row = rows[0]
        return Limits(int(row["pool_size"]), int(row["max_connections"]), int(row["current_connections"]))

    async def pool(self) -> Pool:
        """Zeros before the first client: PgBouncer makes a pool on first use."""
        rows = [row for row in await self._query("SHOW POOLS") if row["database"] == self._database]
        return Pool(
            servers={state: sum(int(row[f"sv_{state}"]) for row in rows) for state in SERVER_STATES},
            clients={state: sum(int(row[f"cl_{state}"]) for row in rows) for state in CLIENT_STATES},
            # Whole seconds in one column, the rest in another.
            max_wait_seconds=max((int(row["maxwait"]) + int(row["maxwait_us"]) / 1e6 for row in rows), default=0.0),
        )

    async def stats(self) -> Stats:
        rows = [row for row in await self._query("SHOW STATS") if row["database"] == self._database]

        def total(column: str) -> int:
            return sum(int(row[f"total_{column}"]) for row in rows)

        return Stats(
            assignments=total("server_assignment_count"),
            transactions=total("xact_count"),
            queries=total("query_count"),
            transaction_seconds=total("xact_time") / 1e6,
            query_seconds=total("query_time") / 1e6,
            wait_seconds=total("wait_time") / 1e6,
        )

    async def clients(self) -> int:
        """Clients of any kind that PgBouncer holds, its console ones (this one too) included."""
        rows = {row["list"]: int(row["items"]) for row in await self._query("SHOW LISTS")}
        return rows["used_clients"]

    async def command(self, command: str) -> None:
        """Run a command that shows nothing, such as SET or RECONNECT."""
        await self._query(command)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _query(self, command: str) -> list[dict[str, Any]]:
        async with self._lock:
            connection = await self._connect()
            try:
                async with asyncio.timeout(self._timeout):
                    cursor = await connection.execute(command)
                    return await cursor.fetchall() if cursor.description else []
            except (psycopg.Error, OSError, TimeoutError) as error:
                refused = isinstance(error, psycopg.Error) and not connection.broken
                if not refused:
                    await self.close()
                reason = str(error).strip() or f"no answer in {self._timeout:g} s"
                raise ConsoleError(f"PgBouncer's console: {command}: {reason}") from error
            except asyncio.CancelledError:
                # The answer is still under way: this connection would give it to the next question.
                await self.close()
                raise

    async def _connect(self) -> AsyncConnection[DictRow]:
        if self._connection is not None:
            return self._connection
        if self._clock() < self._not_before:
            raise ConsoleError(f"PgBouncer's console is not connected: {self._refusal}")
        try:
            async with asyncio.timeout(self._timeout):
                connection = await AsyncConnection.connect(
                    self._conninfo,
                    autocommit=True,
                    prepare_threshold=None,
                    cursor_factory=AsyncClientCursor,
                    row_factory=dict_row,
                )
        except (psycopg.Error, OSError, TimeoutError) as error:
            self._refused(str(error).strip() or f"no answer in {self._timeout:g} s", error)
        self._connection = connection
        self._backoff = FIRST_BACKOFF_SECONDS
        self.sessions += 1
        self.listener = _unix_socket(connection.info.host, connection.info.port)
        return connection

    def _refused(self, reason: str, error: Exception) -> NoReturn:
        self._refusal = reason
        self._not_before = self._clock() + self._backoff
        self._backoff = min(2 * self._backoff, LONGEST_BACKOFF_SECONDS)
        raise ConsoleError(f"PgBouncer's console is not connected: {reason}") from error


def _unix_socket(host: str, port: int) -> tuple[int, int] | None:
    if not host.startswith("/"):
        return None
    try:
        made = (Path(host) / f".s.PGSQL.{port}").stat()
    except OSError:  # its PgBouncer is already ending
        return None
    return made.st_ino, made.st_ctime_ns
