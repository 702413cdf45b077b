"""Reading an item through aiocache in the guide's style: its `cached` decorator on the endpoint.

As aiocache's README and FastAPI tutorials show it: `@cached(ttl=..., key_builder=...)` below the route decorator, with
the default memory backend, or Redis with the JSON serializer. The session is made where the database is read, so that a
hit does not pay for one. BENCH_CACHE says which backend: `memory` or `redis`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from aiocache import Cache, cached
from aiocache.serializers import JsonSerializer, NullSerializer
from fastapi import FastAPI, HTTPException

from tests.bench.baselines.guide_models import Item, ItemOut, TimingMiddleware, new_session

TTL_SECONDS = 3600


def _backend() -> dict[str, Any]:
    if os.environ["BENCH_CACHE"] == "memory":
        return {"cache": Cache.MEMORY, "serializer": NullSerializer()}
    redis = urlsplit(os.environ["REDIS_URL"])
    where = {"endpoint": redis.hostname, "port": redis.port, "password": redis.password}
    return {"cache": Cache.REDIS, "serializer": JsonSerializer(), "namespace": "guide", **where}


def _key(function: Callable[..., Any], item_id: int) -> str:
    return f"item:{item_id}"


app = FastAPI()
app.add_middleware(TimingMiddleware)


@app.get("/items/{item_id}", response_model=ItemOut)
@cached(ttl=TTL_SECONDS, key_builder=_key, **_backend())
async def read_item(item_id: int) -> dict[str, Any]:
    async with new_session() as session:
        item = await session.get(Item, item_id)
        if item is None:
            raise HTTPException(404, f"there is no item {item_id}")
        return ItemOut.model_validate(item).model_dump(mode="json")
