"""Placing an order: one transaction over several stock rows. Nothing is sold twice, and no order is placed twice."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from typing import Any

import asyncpg
import orjson

from services.api.catalog import Catalog
from services.api.items.cache import writing_items
from services.api.orders import repository
from services.api.orders.rows import OrderLineRow
from services.api.orders.schemas import NewOrder
from services.api.problems import ProblemError
from services.api.users.service import CHALLENGE, NOBODY
from trimtab.database import Queries

SHORT = "There is not enough left of some items; order less"


class _ReplayedError(Exception):
    """Somebody placed an order of this key meanwhile. Raised to undo what this transaction did."""


async def place(catalog: Catalog, user_id: int, key: str | None, order: NewOrder) -> tuple[dict[str, Any], bool]:
    """The order, and whether it is new. The same key with the same content gives the order that it gave at first."""
    key = key or f"server-{uuid.uuid4()}"
    wanted = dict(sorted((line.item_id, line.quantity) for line in order.lines))
    request_hash = hashlib.sha256(orjson.dumps(list(wanted.items()))).digest()
    try:
        async with writing_items(catalog.cache, wanted), catalog.database.transaction() as transaction:
            placed = await _place(transaction, user_id, key, request_hash, wanted)
    except _ReplayedError:
        return await _replay(catalog, user_id, key, request_hash), False
    except asyncpg.ForeignKeyViolationError:
        # Of what an order refers to, items are never removed.
        raise ProblemError(401, NOBODY, headers=CHALLENGE) from None
    return placed, True


async def get(catalog: Catalog, user_id: int, order_id: int) -> dict[str, Any]:
    """An order of this user; of somebody else's nobody learns that it exists."""
    found = _orders(await repository.get(catalog.database, user_id, order_id))
    if not found:
        raise ProblemError(404, f"You have no order {order_id}")
    return found[0]


async def page(catalog: Catalog, user_id: int, before: int, limit: int) -> dict[str, Any]:
    """The latest orders of this user before an id."""
    found = _orders(await repository.page(catalog.database, user_id, before, limit))
    return {"orders": found, "next": found[-1]["id"] if len(found) == limit else None}


async def _place(
    transaction: Queries, user_id: int, key: str, request_hash: bytes, wanted: dict[int, int]
) -> dict[str, Any]:
    stock = await repository.lock_stock(transaction, list(wanted))
    missing = [item_id for item_id in wanted if item_id not in stock]
    if missing:
        # An item may have gone since the order was placed that this request repeats.
        if await repository.by_key(transaction, user_id, key) is not None:
            raise _ReplayedError
        raise ProblemError(404, f"Not in the catalog: items {missing}", items=missing)
    prices = [stock[item_id].price_cents for item_id in wanted]
    total = sum(price * quantity for price, quantity in zip(prices, wanted.values(), strict=True))
    # Before the stock is checked: a repeated order for the last piece has to find itself, not an empty shelf.
    head = await repository.add(transaction, user_id, key, request_hash, total)
    if head is None:
        raise _ReplayedError
    short = [
        {"item_id": item_id, "wanted": quantity, "left": stock[item_id].quantity}
        for item_id, quantity in wanted.items()
        if stock[item_id].quantity < quantity
    ]
    if short:
        raise ProblemError(409, SHORT, items=short)
    await repository.take(transaction, head.id, list(wanted), list(wanted.values()), prices)
    lines = [
        {"item_id": item_id, "quantity": quantity, "unit_price_cents": price}
        for (item_id, quantity), price in zip(wanted.items(), prices, strict=True)
    ]
    return {**head._asdict(), "lines": lines}


async def _replay(catalog: Catalog, user_id: int, key: str, request_hash: bytes) -> dict[str, Any]:
    earlier = await repository.by_key(catalog.database, user_id, key)
    if earlier is None:
        raise ProblemError(409, "An order of this key was being placed and failed; send it again")
    if earlier.request_hash != request_hash:
        raise ProblemError(422, "This Idempotency-Key belongs to an order with other lines; take a new key")
    return await get(catalog, user_id, earlier.id)


def _orders(rows: Iterable[OrderLineRow]) -> list[dict[str, Any]]:
    """Orders from rows of one line each, in the order of the rows."""
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        head = {"id": row.id, "created_at": row.created_at, "total_cents": row.total_cents}
        line = {"item_id": row.item_id, "quantity": row.quantity, "unit_price_cents": row.unit_price_cents}
        found.setdefault(row.id, {**head, "lines": []})["lines"].append(line)
    return list(found.values())
