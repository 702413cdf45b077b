"""Our side of the rows: small services on nothing but the public surface of `trimtab`, everything switched on.

Each function is a factory for uvicorn. All have telemetry with a metrics port, admission, drain and the cache
installed, whether the row uses them or not; `ping_with_telemetry` has telemetry alone, because its row is about that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from fastapi import FastAPI, HTTPException
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from sqlalchemy import BigInteger, bindparam, column, func, select, table
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.responses import Response

from trimtab.answers import CachedRoute
from trimtab.cache import Cache, CacheGroup, Invalidation
from trimtab.database import Database, Statement
from trimtab.knobs.watch import Knobs
from trimtab.pool import ResizableAsyncPool
from trimtab.service import Trimtab
from trimtab.telemetry import TelemetryMiddleware

CONCURRENCY = 256
"""Above every row's number of clients: what is measured is the cost of admission, not its refusals."""

TTL_SECONDS = 3600
REPORTED_ITEMS = 5_000
"""A few milliseconds of the database: long enough for every client to find the same answer missing."""

items = table(
    "items",
    *map(column, ("id", "name", "description", "category", "price_cents", "created_at", "updated_at")),
)


class Item(NamedTuple):
    id: int
    name: str
    description: str
    category: str
    price_cents: int
    created_at: datetime
    updated_at: datetime


class CategorySum(NamedTuple):
    category: str
    items: int
    cents: int


GET_ITEM = Statement("bench.item", select(*items.c).where(items.c.id == bindparam("id", type_=BigInteger)), Item)
REPORT = Statement(
    "bench.report",
    select(items.c.category, func.count().label("items"), func.sum(items.c.price_cents).label("cents"))
    .where(items.c.id <= REPORTED_ITEMS)
    .group_by(items.c.category)
    .order_by(items.c.category),
    CategorySum,
)


def _service(
    groups: Sequence[CacheGroup], answers: Sequence[CachedRoute] = (), **cache_settings: Any
) -> tuple[FastAPI, Trimtab, Database, Cache]:
    engine = create_async_engine(
        os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://", 1),
        poolclass=ResizableAsyncPool,
        pool_size=int(os.environ["BENCH_POOL_SIZE"]),
    )
    cache = Cache(groups, Redis.from_url(os.environ["REDIS_URL"]), prefix="bench", **cache_settings)
    tunable = Trimtab(engine=engine, cache=cache, concurrency=CONCURRENCY, metrics_port=int(os.environ["METRICS_PORT"]))
    app = FastAPI(lifespan=tunable.lifespan)
    tunable.install(app, answers=answers)
    return app, tunable, Database(engine), cache


async def _item(database: Database, item_id: int) -> bytes | None:
    row = await database.first(GET_ITEM, id=item_id)
    return None if row is None else orjson.dumps(row._asdict(), option=orjson.OPT_UTC_Z)


def _item_key(path: Mapping[str, str], query: bytes) -> str | None:
    item_id = path["item_id"]
    return str(int(item_id)) if not query and item_id.isascii() and item_id.isdigit() else None


ITEM_ROUTE = CachedRoute("/items/{item_id}", "item", _item_key)


def _answer(body: bytes | None, item_id: int) -> Response:
    if body is None:
        raise HTTPException(404, f"there is no item {item_id}")
    return Response(body, media_type="application/json")


def database_reads() -> FastAPI:
    """GET /items/{id}, always from the database. Says each generation of the knobs that it applies in BENCH_APPLIED."""
    app, tunable, database, _ = _service([CacheGroup("item", ttl_seconds=TTL_SECONDS)])
    if "BENCH_APPLIED" in os.environ:
        applied = Path(os.environ["BENCH_APPLIED"])

        async def say(knobs: Knobs) -> None:
            applied.write_text(str(knobs.generation))  # noqa: ASYNC240  # a few bytes, at a resize

        tunable.watcher.subscribe(say)

    @app.get("/items/{item_id}")
    async def read_item(item_id: int) -> Response:
        return _answer(await _item(database, item_id), item_id)

    return app


def cached_reads() -> FastAPI:
    """GET /items/{id} through the cache. BENCH_TIER `memory`: hits in memory; `redis`: every hit goes to Redis."""
    if os.environ["BENCH_TIER"] == "memory":
        group = CacheGroup("item", ttl_seconds=TTL_SECONDS)
    else:
        group = CacheGroup("item", ttl_seconds=TTL_SECONDS, invalidation=Invalidation.ON_WRITE, l1_seconds=0)
    app, _, database, cache = _service([group], [ITEM_ROUTE])

    @app.get("/items/{item_id}")
    async def read_item(item_id: int) -> Response:
        async def load() -> bytes | None:
            return await _item(database, item_id)

        return _answer(await cache.get("item", str(item_id), load), item_id)

    return app


def hot_report() -> FastAPI:
    """GET /report: an aggregate behind one key with a TTL of 1 s. Says each making in BENCH_LOADS.

    Without the audit of hits, which reads the database now and then by design, whatever expires.
    """
    route = CachedRoute("/report", "report", lambda path, query: "categories")
    app, _, database, cache = _service([CacheGroup("report", ttl_seconds=1)], [route], audit_share=0)
    loads = Path(os.environ["BENCH_LOADS"]).open("a")  # noqa: SIM115  # as long as the process

    async def load() -> bytes:
        loads.write(f"{time.monotonic()}\n")
        loads.flush()
        return orjson.dumps([row._asdict() for row in await database.all(REPORT)])

    @app.get("/report")
    async def report() -> Response:
        return Response(await cache.get("report", "categories", load), media_type="application/json")

    @app.get("/ready")
    async def ready() -> Response:
        return Response()

    return app


def ping() -> FastAPI:
    """A constant, with nothing of ours: what the same process answers without telemetry."""
    app = FastAPI()

    @app.get("/ping")
    async def read_ping() -> dict[str, str]:
        return {"status": "ok"}

    return app


def ping_with_telemetry() -> FastAPI:
    """The same behind our telemetry."""
    app = ping()
    app.add_middleware(TelemetryMiddleware, registry=CollectorRegistry())
    return app
