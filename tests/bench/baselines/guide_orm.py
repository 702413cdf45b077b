"""Reading an item in the guide's style: a session per request, a mapped object, a response model."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException
from sqlalchemy import select

from tests.bench.baselines.guide_models import Item, ItemOut, SessionDep, TimingMiddleware

app = FastAPI()
app.add_middleware(TimingMiddleware)


@app.get("/items/{item_id}", response_model=ItemOut)
async def read_item(item_id: int, session: SessionDep) -> Item:
    item = (await session.execute(select(Item).where(Item.id == item_id))).scalar_one_or_none()
    if item is None:
        raise HTTPException(404, f"there is no item {item_id}")
    return item
