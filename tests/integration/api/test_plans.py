"""Each index serves the query it is there for: the plan of the very statement that the service sends.

With arguments, as PostgreSQL plans it for the service; the statistics are those of seeded rows.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from deploy.servers.postgres import Postgres
from services.api.database import Statement
from services.api.items import repository as items
from services.api.orders import repository as orders
from services.api.reports import repository as reports
from services.api.seed import seed
from services.api.settings import DatabaseSettings
from services.api.tables import metadata
from services.api.users import repository as users
from tests.integration.api.conftest import database_values

SEEDED_ITEMS = 20_000
CHANGES = ("new_name", "new_description", "new_category", "new_price_cents", "new_stock")

# Statement, arguments, the indexes that its plan has to use, tables that it must not scan from end to end.
PLANS: list[tuple[Statement, dict[str, Any], set[str], set[str]]] = [
    (items.GET, {"id": 77}, {"pk_stock"}, {"items", "stock"}),
    (items.LIST, {"after": 10_000, "limit": 20}, {"ix_items_live"}, {"items"}),
    # A rare category is what the index is for: of a frequent one, walking along the ids finds a page soon.
    (items.LIST_CATEGORY, {"after": 50, "limit": 20, "category": "rarities"}, {"ix_items_category_live"}, {"items"}),
    (items.SEARCH, {"pattern": "%brass lamp%", "text": "brass lamp", "limit": 20}, {"ix_items_name_trgm"}, {"items"}),
    (items.UPDATE, {"id": 77, **dict.fromkeys(CHANGES)}, {"pk_stock"}, {"items", "stock"}),
    (items.DELETE, {"id": 77}, set(), {"items"}),
    (orders.LOCK_STOCK, {"item_ids": [5, 3]}, {"pk_stock"}, {"items", "stock"}),
    (orders.TAKE, {"order_id": 1, "item_ids": [5], "quantities": [1], "prices": [1]}, {"pk_stock"}, {"stock"}),
    (orders.BY_KEY, {"user_id": 1, "idempotency_key": "k"}, {"uq_orders_user_id_idempotency_key"}, {"orders"}),
    (orders.GET, {"id": 5, "user_id": 1}, {"pk_order_lines"}, {"orders", "order_lines"}),
    (orders.LIST, {"user_id": 1, "before": 9000, "limit": 5}, {"ix_orders_user_id_id", "pk_order_lines"}, {"orders"}),
    (users.BY_EMAIL, {"email": "user7@seed.invalid"}, {"uq_users_email"}, {"users"}),
    (users.BY_ID, {"id": 7}, {"pk_users"}, {"users"}),
    (reports.REVENUE, {"days": 30}, {"ix_orders_created_at"}, {"orders"}),
]


@pytest.fixture(scope="module")
def seeded(postgres: Postgres, template: str) -> Iterator[str]:
    """Its URL."""
    name = f"{template}_seeded"
    postgres.create_database(name, template)
    owner = postgres.login("catalog_owner", name)
    asyncio.run(seed(DatabaseSettings(**database_values(owner)), SEEDED_ITEMS))
    yield postgres.login(database=name).url()
    postgres.drop_database(name)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


async def plan_of(url: str, statement: Statement, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        text = f"EXPLAIN (FORMAT JSON) {statement.text}"
        plan = await connection.fetchval(text, *statement.arguments(arguments))
    finally:
        await connection.close()
    return list(nodes(json.loads(plan)[0]["Plan"]))


@pytest.mark.parametrize(
    ("statement", "arguments", "wanted", "never_scanned"), PLANS, ids=[statement.name for statement, *_ in PLANS]
)
async def test_the_plan_uses_its_index(
    seeded: str, statement: Statement, arguments: dict[str, Any], wanted: set[str], never_scanned: set[str]
) -> None:
    plan = await plan_of(seeded, statement, arguments)
    used = {node["Index Name"] for node in plan if "Index Name" in node}
    assert wanted <= used, f"{statement.name} uses {used}"
    scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
    assert not scanned & never_scanned, f"{statement.name} scans {scanned}"


async def test_pages_need_no_sort_and_the_report_reads_orders_from_the_index_alone(seeded: str) -> None:
    for statement, arguments, *_ in PLANS:
        plan = {node["Node Type"]: node for node in await plan_of(seeded, statement, arguments)}
        if statement in (items.LIST, items.LIST_CATEGORY):
            assert "Sort" not in plan
        if statement is reports.REVENUE:
            assert plan["Index Only Scan"]["Index Name"] == "ix_orders_created_at"


def test_every_index_of_the_tables_is_served_here() -> None:
    declared = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    assert declared <= set().union(*(wanted for _, _, wanted, _ in PLANS))
