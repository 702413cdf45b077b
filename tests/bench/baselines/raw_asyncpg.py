"""FastAPI over asyncpg's own pool, nothing between: what somebody writes who wants the last request a second.

As asyncpg's documentation shows it (a pool made at start-up, `pool.acquire()`, `fetchrow`), with the row encoded by
orjson and sent as it is: no middleware, no response model. The pool keeps its default of resetting a connection when
it comes back, which is a round trip that the other applications do not make.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import orjson
from fastapi import FastAPI, HTTPException, Request
from starlette.responses import Response

CONNECTIONS = int(os.environ["BENCH_POOL_SIZE"])
GET_ITEM = "SELECT id, name, description, category, price_cents, created_at, updated_at FROM items WHERE id = $1"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/items/{item_id}")
async def read_item(request: Request, item_id: int) -> Response:
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(GET_ITEM, item_id)
    if row is None:
        raise HTTPException(404, f"there is no item {item_id}")
    return Response(orjson.dumps(dict(row), option=orjson.OPT_UTC_Z), media_type="application/json")
