"""The tables, as the statements see them. The migrations make them; a test compares the two.

Money is in cents. An item is never removed, it gets `deleted_at`: orders go on naming it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _created_at() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


users = Table(
    "users",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("email", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    _created_at(),
    # users.by_email, and no two users of one address.
    UniqueConstraint("email"),
)

items = Table(
    "items",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("category", Text, nullable=False),
    Column("price_cents", Integer, nullable=False),
    _created_at(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("deleted_at", DateTime(timezone=True)),
    CheckConstraint("price_cents >= 0", name="price_cents_not_negative"),
)

# items.list: the next page by id. Partial: pages step over no deleted rows.
Index("ix_items_live", items.c.id, postgresql_where=text("deleted_at IS NULL"))
# items.list_category: the next page of one category. Composite: equality first, then the order of the page.
Index("ix_items_category_live", items.c.category, items.c.id, postgresql_where=text("deleted_at IS NULL"))
# items.search: name ILIKE '%...%', for which no b-tree helps.
Index(
    "ix_items_name_trgm",
    items.c.name,
    postgresql_using="gin",
    postgresql_ops={"name": "gin_trgm_ops"},
    postgresql_where=text("deleted_at IS NULL"),
)

stock = Table(
    "stock",
    metadata,
    Column("item_id", BigInteger, ForeignKey("items.id"), primary_key=True),
    Column("quantity", Integer, nullable=False),
    # The last line of defence against selling what is not there; orders.service checks before it writes.
    CheckConstraint("quantity >= 0", name="quantity_not_negative"),
    # Updated in place by every order: room on the page keeps the update off the index (HOT).
    postgresql_with={"fillfactor": "70"},
)

orders = Table(
    "orders",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    Column("total_cents", BigInteger, nullable=False),
    _created_at(),
    # orders.by_key, and no second order for one key.
    UniqueConstraint("user_id", "idempotency_key"),
    CheckConstraint("total_cents >= 0", name="total_cents_not_negative"),
)

# orders.list: the latest orders of one user.
Index("ix_orders_user_id_id", orders.c.user_id, orders.c.id)
# reports.revenue: orders since a day. Covering: the ids for the join come from the index alone.
Index("ix_orders_created_at", orders.c.created_at, postgresql_include=["id"])

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", BigInteger, ForeignKey("orders.id", ondelete="CASCADE"), nullable=False),
    Column("item_id", BigInteger, ForeignKey("items.id"), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_cents", Integer, nullable=False),
    # orders.get and orders.list: the lines of an order.
    PrimaryKeyConstraint("order_id", "item_id"),
    CheckConstraint("quantity > 0", name="quantity_positive"),
)

seed_runs = Table(
    "seed_runs",
    metadata,
    Column("items", Integer, primary_key=True, autoincrement=False),
    _created_at(),
)
