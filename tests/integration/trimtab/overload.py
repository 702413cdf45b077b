"""A service whose database becomes slow under load: what its clients get, with and without AIMD.

Everything is real: PostgreSQL, the resizable pool, uvicorn, TCP connections. The database is made slow by dropping the
index that the service's statement needs. Load is open: requests begin at random times whether or not earlier ones have
been answered, and a client that has waited for PATIENCE_SECONDS closes its connection, so its answer is for nobody.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from deploy.servers.postgres import Postgres
from tests.integration.trimtab.uvicorn_server import serving
from trimtab.admission import AdmissionMiddleware, AimdRule, ConcurrencyLimiter
from trimtab.pool import ResizableAsyncPool

POOL_SIZE = 4
ROWS = 1_000_000
PATIENCE_SECONDS = 3.0
INDEX = "CREATE INDEX parts_code ON parts (code)"
READ = text("SELECT id FROM parts WHERE code = :code")


def fill(postgres: Postgres, database: str) -> None:
    postgres.execute(
        "CREATE TABLE parts (id int, code text NOT NULL)",
        f"INSERT INTO parts SELECT n, md5(n::text) FROM generate_series(1, {ROWS}) n",
        INDEX,
        "ANALYZE parts",
        "GRANT ALL ON parts TO catalog_app",
        f'ALTER DATABASE "{database}" SET max_parallel_workers_per_gather = 0',
        database=database,
    )


@dataclass(frozen=True)
class Answer:
    """What one client got. `status` 0: nothing within its patience."""

    asked_at: float
    seconds: float
    status: int


@dataclass(frozen=True)
class Figures:
    """Of the requests that began in one stretch of time. `good`: 200 within the client's patience."""

    offered_per_second: float
    good_per_second: float
    good_p50: float
    good_p95: float
    refused_share: float
    lost_share: float
    useful_share: float
    """Of the reads that the database did in that time, those whose client was still there. Does not depend on how fast
    the machine is."""

    @classmethod
    def of(cls, answers: list[Answer], reads: list[float], begin: float, end: float) -> Figures:
        chosen = [answer for answer in answers if begin <= answer.asked_at < end]
        good = sorted(answer.seconds for answer in chosen if answer.status == 200)
        useful = sum(answer.status == 200 and begin <= answer.asked_at + answer.seconds < end for answer in answers)
        return cls(
            offered_per_second=len(chosen) / (end - begin),
            good_per_second=len(good) / (end - begin),
            good_p50=good[len(good) // 2] if good else float("nan"),
            good_p95=good[int(0.95 * len(good))] if good else float("nan"),
            refused_share=sum(answer.status == 503 for answer in chosen) / len(chosen),
            lost_share=sum(answer.status == 0 for answer in chosen) / len(chosen),
            useful_share=useful / max(1, sum(begin <= at < end for at in reads)),
        )

    def __str__(self) -> str:
        return (
            f"offered {self.offered_per_second:.1f}/s, good {self.good_per_second:.1f}/s, p50 {self.good_p50:.2f} s, "
            f"p95 {self.good_p95:.2f} s, refused {self.refused_share:.0%}, lost {self.lost_share:.0%}, "
            f"useful {self.useful_share:.0%}"
        )


class Service:
    """One read behind the pool and the limiter, and its clients."""

    def __init__(self, postgres: Postgres, database: str, engine: AsyncEngine) -> None:
        self._postgres = postgres
        self._database = database
        self._engine = engine
        self.answers: list[Answer] = []
        self.reads: list[float] = []
        self._clients: set[asyncio.Task[None]] = set()

    async def read(self, code: str = "none") -> None:
        async with self._engine.connect() as connection:
            await connection.execute(READ, {"code": code})
        self.reads.append(monotonic())

    async def capacity(self, seconds: float = 3.0) -> float:
        """Reads a second, one client for each connection of the pool."""
        done, end = 0, monotonic() + seconds

        async def client() -> None:
            nonlocal done
            while monotonic() < end:
                await self.read()
                done += 1

        await asyncio.gather(*(client() for _ in range(POOL_SIZE)))
        return done / seconds

    async def slow_down(self) -> None:
        await asyncio.to_thread(self._postgres.execute, "DROP INDEX parts_code", database=self._database)

    async def recover(self) -> None:
        await asyncio.to_thread(self._postgres.execute, INDEX, database=self._database)

    @asynccontextmanager
    async def running(self, ceiling: int, rule: AimdRule | None) -> AsyncIterator[tuple[int, ConcurrencyLimiter]]:
        limiter = ConcurrencyLimiter(ceiling, rule=rule)

        async def answer(request: Request) -> PlainTextResponse:
            await self.read()
            return PlainTextResponse("ok")

        app = Starlette(routes=[Route("/", answer)])
        app.add_middleware(AdmissionMiddleware, limiter=limiter)
        async with serving(app) as port:
            yield port, limiter
            await asyncio.gather(*self._clients)

    async def load(self, port: int, per_second: float, seconds: float, seed: int = 1) -> tuple[float, float]:
        """Poisson arrivals. Returns when they began and ended; the last may not be answered yet."""
        draw = random.Random(seed)
        begin = at = monotonic()
        while (at := at + draw.expovariate(per_second)) < begin + seconds:
            await asyncio.sleep(max(0.0, at - monotonic()))
            task = asyncio.create_task(self._ask(port))
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)
        return begin, begin + seconds

    async def _ask(self, port: int) -> None:
        begin, status = monotonic(), 0
        writer = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
                status = int((await reader.read()).split(b" ", 2)[1])
        except (TimeoutError, OSError, IndexError):
            pass
        finally:
            if writer is not None:
                writer.close()
        self.answers.append(Answer(begin, monotonic() - begin, status))


@asynccontextmanager
async def service(postgres: Postgres, database: str) -> AsyncIterator[Service]:
    url = postgres.login("catalog_app", database).url("postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=ResizableAsyncPool, pool_size=POOL_SIZE, isolation_level="AUTOCOMMIT")
    try:
        yield Service(postgres, database, engine)
    finally:
        await engine.dispose()
