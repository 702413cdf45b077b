"""The heavy query: it reads every order line of the last days. Honest work for the database, no sleep."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, bindparam, cast, distinct, func, select

from services.api.reports.rows import CategoryRow
from services.api.tables import items, order_lines, orders
from trimtab.database import Queries, Statement

_revenue = cast(func.sum(cast(order_lines.c.quantity, BigInteger) * order_lines.c.unit_price_cents), BigInteger)

REVENUE = Statement(
    "reports.revenue",
    select(
        items.c.category,
        func.count(distinct(orders.c.id)).label("orders"),
        func.sum(order_lines.c.quantity).label("units"),
        _revenue.label("revenue_cents"),
    )
    .join_from(orders, order_lines, order_lines.c.order_id == orders.c.id)
    .join(items, items.c.id == order_lines.c.item_id)
    .where(orders.c.created_at >= func.now() - func.make_interval(0, 0, 0, bindparam("days", type_=Integer)))
    .group_by(items.c.category)
    .order_by(_revenue.desc(), items.c.category),
    CategoryRow,
)


async def revenue(queries: Queries, days: int) -> list[CategoryRow]:
    return await queries.all(REVENUE, days=days)
