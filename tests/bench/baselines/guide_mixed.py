"""Create, read, change and delete items in the guide's style, with reads cached in Redis by aiocache.

The same routes, rules and answers as the reference API: writing needs the same signed token (checked, not looked up),
an item is created together with its stock, a deleted item gets `deleted_at`. A write deletes the cached answer after
its commit, as tutorials show it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import jwt
from aiocache import Cache
from aiocache.serializers import JsonSerializer
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from tests.bench.baselines.guide_models import Item, ItemOut, SessionDep, Stock, TimingMiddleware

TTL_SECONDS = 60
SECRET = os.environ["API_TOKEN_SECRET"]

_redis = urlsplit(os.environ["REDIS_URL"])
cache = Cache(
    Cache.REDIS,
    endpoint=_redis.hostname,
    port=_redis.port,
    password=_redis.password,
    namespace="guide-mixed",
    serializer=JsonSerializer(),
)
bearer = HTTPBearer()


class StockedItem(ItemOut):
    stock: int


class NewItem(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=4000)
    category: str = Field(min_length=1, max_length=64)
    price_cents: int = Field(ge=0)
    stock: int = Field(default=0, ge=0)


class ItemChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=4000)
    category: str | None = Field(default=None, min_length=1, max_length=64)
    price_cents: int | None = Field(default=None, ge=0)
    stock: int | None = Field(default=None, ge=0)


async def current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> int:
    try:
        claims = jwt.decode(credentials.credentials, SECRET, ["HS256"], issuer="catalog")
        return int(claims["sub"])
    except (jwt.InvalidTokenError, KeyError, ValueError):
        raise HTTPException(401, "invalid token") from None


CurrentUser = Annotated[int, Depends(current_user)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await cache.close()


app = FastAPI(lifespan=lifespan)
app.add_middleware(TimingMiddleware)


async def item_or_404(session: AsyncSession, item_id: int) -> Item:
    found = await session.execute(
        select(Item).options(joinedload(Item.stock_row)).where(Item.id == item_id, Item.deleted_at.is_(None))
    )
    item = found.scalar_one_or_none()
    if item is None:
        raise HTTPException(404, f"there is no item {item_id}")
    return item


@app.get("/items/{item_id}", response_model=StockedItem)
async def read_item(item_id: int, session: SessionDep) -> Any:
    key = f"item:{item_id}"
    held = await cache.get(key)
    if held is not None:
        return held
    answer = StockedItem.model_validate(await item_or_404(session, item_id))
    await cache.set(key, answer.model_dump(mode="json"), ttl=TTL_SECONDS)
    return answer


@app.post("/items", response_model=StockedItem, status_code=201)
async def create_item(new: NewItem, session: SessionDep, user: CurrentUser) -> Item:
    item = Item(**new.model_dump(exclude={"stock"}), stock_row=Stock(quantity=new.stock))
    session.add(item)
    await session.commit()
    return item


@app.patch("/items/{item_id}", response_model=StockedItem)
async def change_item(item_id: int, change: ItemChange, session: SessionDep, user: CurrentUser) -> Item:
    item = await item_or_404(session, item_id)
    for name, value in change.model_dump(exclude_unset=True).items():
        if name == "stock":
            item.stock_row.quantity = value
        else:
            setattr(item, name, value)
    item.updated_at = datetime.now(UTC)
    await session.commit()
    await cache.delete(f"item:{item_id}")
    return item


@app.delete("/items/{item_id}", status_code=204)
async def delete_item(item_id: int, session: SessionDep, user: CurrentUser) -> None:
    item = await item_or_404(session, item_id)
    item.deleted_at = datetime.now(UTC)
    await session.commit()
    await cache.delete(f"item:{item_id}")
