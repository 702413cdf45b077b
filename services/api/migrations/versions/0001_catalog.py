"""The catalog: users, items with their stock, orders with their lines; who may do what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APP = "catalog_app"
LIVE = sa.text("deleted_at IS NULL")

# pg_stat_statements may be created by a superuser only; the servers do that, elsewhere the advice goes without it.
CREATE_PG_STAT_STATEMENTS = """
DO $$ BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
  RAISE NOTICE 'pg_stat_statements is not there; a superuser can create it';
END $$
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute(CREATE_PG_STAT_STATEMENTS)
    # Before the tables: default privileges bind what is created after them. Rows only, the schema stays the owner's.
    op.execute(f"GRANT USAGE ON SCHEMA public TO {APP}")
    op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP}")
    op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {APP}")
    # Alembic made its table earlier; the app may look which version is in place, and no more.
    op.execute(f"REVOKE ALL ON alembic_version FROM {APP}")
    op.execute(f"GRANT SELECT ON alembic_version TO {APP}")

    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        _moment("created_at"),
        _moment("updated_at"),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
        sa.CheckConstraint("price_cents >= 0", name="ck_items_price_cents_not_negative"),
    )
    op.create_index("ix_items_live", "items", ["id"], postgresql_where=LIVE)
    op.create_index("ix_items_category_live", "items", ["category", "id"], postgresql_where=LIVE)
    op.create_index(
        "ix_items_name_trgm", "items", ["name"], postgresql_using="gin",
        postgresql_ops={"name": "gin_trgm_ops"}, postgresql_where=LIVE,
    )  # fmt: skip
    op.create_table(
        "stock",
        sa.Column("item_id", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_stock"),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_stock_item_id_items"),
        sa.CheckConstraint("quantity >= 0", name="ck_stock_quantity_not_negative"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("total_cents", sa.BigInteger, nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_orders_user_id_users"),
        sa.UniqueConstraint("user_id", "idempotency_key", name="uq_orders_user_id_idempotency_key"),
        sa.CheckConstraint("total_cents >= 0", name="ck_orders_total_cents_not_negative"),
    )
    op.create_index("ix_orders_user_id_id", "orders", ["user_id", "id"])
    op.create_index("ix_orders_created_at", "orders", ["created_at"], postgresql_include=["id"])
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("item_id", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("unit_price_cents", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "item_id", name="pk_order_lines"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_lines_order_id_orders", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_order_lines_item_id_items"),
        sa.CheckConstraint("quantity > 0", name="ck_order_lines_quantity_positive"),
    )
    op.create_table(
        "seed_runs",
        sa.Column("items", sa.Integer, autoincrement=False, nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("items", name="pk_seed_runs"),
    )


def downgrade() -> None:
    for table in ("seed_runs", "order_lines", "orders", "stock", "items", "users"):
        op.drop_table(table)
    op.execute("DROP EXTENSION IF EXISTS pg_trgm")


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
