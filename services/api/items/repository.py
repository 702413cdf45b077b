"""Statements about items. Which index serves which: tables.py says it, tests/integration/api/test_plans.py holds it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer, Select, Text, bindparam, func, insert, select, update

from services.api.items.rows import ItemRow, SummaryRow
from services.api.tables import items, stock
from trimtab.database import Queries, Statement

_SUMMARY = (items.c.id, items.c.name, items.c.category, items.c.price_cents)
_FULL = (
    items.c.id, items.c.name, items.c.description, items.c.category, items.c.price_cents,
    items.c.created_at, items.c.updated_at,
)  # fmt: skip
_LIVE = items.c.deleted_at.is_(None)
_ID = bindparam("id", type_=BigInteger)
_CATEGORY = bindparam("category", type_=Text)
_CHANGEABLE = {"name": Text, "description": Text, "category": Text, "price_cents": Integer}


def _page(*conditions: Any) -> Select[Any]:
    """Keyset: the page after an id, whatever was inserted or deleted before it; costs the same however deep."""
    after = bindparam("after", type_=BigInteger)
    return (
        select(*_SUMMARY)
        .where(_LIVE, items.c.id > after, *conditions)
        .order_by(items.c.id)
        .limit(bindparam("limit", type_=Integer))
    )


GET = Statement(
    "items.get",
    select(*_FULL, stock.c.quantity.label("stock"))
    .join_from(items, stock, stock.c.item_id == items.c.id)
    .where(items.c.id == _ID, _LIVE),
    ItemRow,
)
LIST = Statement("items.list", _page(), SummaryRow)
LIST_CATEGORY = Statement("items.list_category", _page(items.c.category == _CATEGORY), SummaryRow)
SEARCH = Statement(
    "items.search",
    select(*_SUMMARY)
    .where(_LIVE, items.c.name.ilike(bindparam("pattern", type_=Text), escape="\\"))
    .order_by(func.word_similarity(bindparam("text", type_=Text), items.c.name).desc(), items.c.id)
    .limit(bindparam("limit", type_=Integer)),
    SummaryRow,
)

# One statement each, so that an item and its stock appear and change together without a transaction around them.
_new = (
    insert(items)
    .values(
        name=bindparam("name", type_=Text),
        description=bindparam("description", type_=Text),
        category=_CATEGORY,
        price_cents=bindparam("price_cents", type_=Integer),
    )
    .returning(*_FULL)
    .cte("new_item")
)
_new_stock = (
    insert(stock)
    .from_select(["item_id", "quantity"], select(_new.c.id, bindparam("stock", type_=Integer)))
    .returning(stock.c.quantity)
    .cte("new_stock")
)
INSERT = Statement("items.insert", select(*_new.c, _new_stock.c.quantity.label("stock")).join_from(
    _new, _new_stock, _new_stock.c.quantity.is_not(None)), ItemRow)  # fmt: skip

# NULL for a field means: leave it. So one text serves every combination of fields.
_changed = (
    update(items)
    .where(items.c.id == _ID, _LIVE)
    .values(
        updated_at=func.now(),
        **{
            name: func.coalesce(bindparam(f"new_{name}", type_=kind), items.c[name])
            for name, kind in _CHANGEABLE.items()
        },
    )
    .returning(*_FULL)
    .cte("changed")
)
_changed_stock = (
    update(stock)
    .where(stock.c.item_id == _changed.c.id)
    .values(quantity=func.coalesce(bindparam("new_stock", type_=Integer), stock.c.quantity))
    .returning(stock.c.quantity)
    .cte("changed_stock")
)
UPDATE = Statement("items.update", select(*_changed.c, _changed_stock.c.quantity.label("stock")).join_from(
    _changed, _changed_stock, _changed_stock.c.quantity.is_not(None)), ItemRow)  # fmt: skip
DELETE = Statement(
    "items.delete", update(items).where(items.c.id == _ID, _LIVE).values(deleted_at=func.now()).returning(items.c.id)
)


async def get(queries: Queries, item_id: int) -> ItemRow | None:
    return await queries.first(GET, id=item_id)


async def page(queries: Queries, after: int, limit: int, category: str | None) -> list[SummaryRow]:
    if category is None:
        return await queries.all(LIST, after=after, limit=limit)
    return await queries.all(LIST_CATEGORY, after=after, limit=limit, category=category)


async def search(queries: Queries, text: str, limit: int) -> list[SummaryRow]:
    """Items whose name contains `text` literally, in any case."""
    return await queries.all(SEARCH, pattern=f"%{escaped(text)}%", text=text, limit=limit)


async def add(queries: Queries, values: dict[str, Any]) -> ItemRow:
    row = await queries.first(INSERT, **values)
    assert row is not None  # noqa: S101  # an INSERT without conflict clause returns its row or raises
    return row


async def change(queries: Queries, item_id: int, changes: dict[str, Any]) -> ItemRow | None:
    values = {f"new_{name}": changes.get(name) for name in (*_CHANGEABLE, "stock")}
    return await queries.first(UPDATE, id=item_id, **values)


async def remove(queries: Queries, item_id: int) -> bool:
    return await queries.first(DELETE, id=item_id) is not None


def escaped(text: str) -> str:
    """`text` for LIKE: its own metacharacters stand for themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
