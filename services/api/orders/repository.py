"""Statements about orders."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Integer, LargeBinary, Select, Text, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from services.api.orders.rows import OrderLineRow, OrderRow, PlacedRow, StockRow
from services.api.tables import items, order_lines, orders, stock
from trimtab.database import Queries, Statement

_HEAD = (orders.c.id, orders.c.created_at, orders.c.total_cents)
_USER = bindparam("user_id", type_=BigInteger)
_KEY = bindparam("idempotency_key", type_=Text)
_ITEM_IDS = bindparam("item_ids", type_=ARRAY(BigInteger))
_QUANTITIES = bindparam("quantities", type_=ARRAY(Integer))

# Rows are locked in the order of the ids, sorted before they are locked: two orders that share items wait for each
# other, but never in a circle.
LOCK_STOCK = Statement(
    "orders.lock_stock",
    select(stock.c.item_id, stock.c.quantity, items.c.price_cents)
    .join_from(stock, items, items.c.id == stock.c.item_id)
    .where(stock.c.item_id == func.any(_ITEM_IDS), items.c.deleted_at.is_(None))
    .order_by(stock.c.item_id)
    .with_for_update(of=stock),
    StockRow,
)
INSERT = Statement(
    "orders.insert",
    postgresql_insert(orders)
    .values(
        user_id=_USER,
        idempotency_key=_KEY,
        request_hash=bindparam("request_hash", type_=LargeBinary),
        total_cents=bindparam("total_cents", type_=BigInteger),
    )
    .on_conflict_do_nothing(index_elements=[orders.c.user_id, orders.c.idempotency_key])
    .returning(*_HEAD),
    OrderRow,
)

# The lines and what they take from the stock, in one round trip.
_lines = (
    func.unnest(_ITEM_IDS, _QUANTITIES, bindparam("prices", type_=ARRAY(Integer)))
    .table_valued("item_id", "quantity", "unit_price_cents")
    .render_derived()
)
_written = (
    insert(order_lines)
    .from_select(
        ["order_id", "item_id", "quantity", "unit_price_cents"],
        select(bindparam("order_id", type_=BigInteger), _lines.c.item_id, _lines.c.quantity, _lines.c.unit_price_cents),
    )
    .returning(order_lines.c.item_id, order_lines.c.quantity)
    .cte("written")
)
TAKE = Statement(
    "orders.take",
    update(stock)
    .where(stock.c.item_id == _written.c.item_id)
    .values(quantity=stock.c.quantity - _written.c.quantity)
    .returning(stock.c.item_id),
)


def _with_lines(heads: Select[tuple[int, object, int]]) -> Select[tuple[object, ...]]:
    head = heads.subquery("head")
    return (
        select(head, order_lines.c.item_id, order_lines.c.quantity, order_lines.c.unit_price_cents)
        .join_from(head, order_lines, order_lines.c.order_id == head.c.id)
        .order_by(head.c.id.desc(), order_lines.c.item_id)
    )


BY_KEY = Statement(
    "orders.by_key",
    select(orders.c.id, orders.c.request_hash).where(orders.c.user_id == _USER, orders.c.idempotency_key == _KEY),
    PlacedRow,
)
GET = Statement(
    "orders.get",
    _with_lines(select(*_HEAD).where(orders.c.id == bindparam("id", type_=BigInteger), orders.c.user_id == _USER)),
    OrderLineRow,
)
LIST = Statement(
    "orders.list",
    _with_lines(
        select(*_HEAD)
        .where(orders.c.user_id == _USER, orders.c.id < bindparam("before", type_=BigInteger))
        .order_by(orders.c.id.desc())
        .limit(bindparam("limit", type_=Integer))
    ),
    OrderLineRow,
)


async def lock_stock(queries: Queries, item_ids: list[int]) -> dict[int, StockRow]:
    """Stock and price by item, locked until the transaction ends. What is not in the catalog is not in it."""
    rows = await queries.all(LOCK_STOCK, item_ids=item_ids)
    return {row.item_id: row for row in rows}


async def add(queries: Queries, user_id: int, key: str, request_hash: bytes, total_cents: int) -> OrderRow | None:
    """The new order; None where the user has one of this key. Waits for another transaction that is at the same."""
    return await queries.first(
        INSERT, user_id=user_id, idempotency_key=key, request_hash=request_hash, total_cents=total_cents
    )


async def take(queries: Queries, order_id: int, ids: list[int], quantities: list[int], prices: list[int]) -> None:
    await queries.all(TAKE, order_id=order_id, item_ids=ids, quantities=quantities, prices=prices)


async def by_key(queries: Queries, user_id: int, key: str) -> PlacedRow | None:
    """Id and request hash."""
    return await queries.first(BY_KEY, user_id=user_id, idempotency_key=key)


async def get(queries: Queries, user_id: int, order_id: int) -> list[OrderLineRow]:
    """A row a line."""
    return await queries.all(GET, user_id=user_id, id=order_id)


async def page(queries: Queries, user_id: int, before: int, limit: int) -> list[OrderLineRow]:
    """A row a line, of `limit` orders."""
    return await queries.all(LIST, user_id=user_id, before=before, limit=limit)
