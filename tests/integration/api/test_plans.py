"""Each index serves the query it is there for: the plan of the very statement that the service sends.

With arguments, as PostgreSQL plans it for the service; the statistics are those of seeded rows.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

import services.api
from deploy.servers.postgres import Postgres
from services.api.items import repository as items
from services.api.orders import repository as orders
from services.api.reports import repository as reports
from services.api.seed import seed
from services.api.settings import DatabaseSettings
from services.api.users import repository as users
from tests.integration.api.conftest import database_values
from trimtab.database import Statement

SEEDED_ITEMS = 20_000
NONE: set[str] = set()
CHANGES = ("new_name", "new_description", "new_category", "new_price_cents", "new_stock")

# Statement, arguments, the indexes that its plan has to use, the tables that it may scan from end to end.
PLANS: list[tuple[Statement[Any], dict[str, Any], set[str], set[str]]] = [
    (items.GET, {"id": 77}, {"pk_stock"}, NONE),
    (items.LIST, {"after": 10_000, "limit": 20}, {"ix_items_live"}, NONE),
    # A rare category is what the index is for: of a frequent one, walking along the ids finds a page soon.
    (items.LIST_CATEGORY, {"after": 50, "limit": 20, "category": "rarities"}, {"ix_items_category_live"}, NONE),
    (items.SEARCH, {"pattern": "%brass lamp%", "text": "brass lamp", "limit": 20}, {"ix_items_name_trgm"}, NONE),
    (items.INSERT, {"name": "n", "description": "", "category": "c", "price_cents": 1, "stock": 1}, NONE, NONE),
    (items.UPDATE, {"id": 77, **dict.fromkeys(CHANGES)}, {"pk_stock"}, NONE),
    (items.DELETE, {"id": 77}, NONE, NONE),
    (orders.LOCK_STOCK, {"item_ids": [5, 3]}, {"pk_stock"}, NONE),
    (orders.INSERT, {"user_id": 1, "idempotency_key": "k", "request_hash": b"", "total_cents": 1},
     {"uq_orders_user_id_idempotency_key"}, NONE),
    (orders.TAKE, {"order_id": 1, "item_ids": [5], "quantities": [1], "prices": [1]}, {"pk_stock"}, NONE),
    (orders.BY_KEY, {"user_id": 1, "idempotency_key": "k"}, {"uq_orders_user_id_idempotency_key"}, NONE),
    (orders.GET, {"id": 5, "user_id": 1}, {"pk_order_lines"}, NONE),
    (orders.LIST, {"user_id": 1, "before": 9000, "limit": 5}, {"ix_orders_user_id_id", "pk_order_lines"}, NONE),
    (users.INSERT, {"email": "a@b", "password_hash": "!"}, {"uq_users_email"}, NONE),
    (users.BY_EMAIL, {"email": "user7@seed.invalid"}, {"uq_users_email"}, NONE),
    (users.BY_ID, {"id": 7}, {"pk_users"}, NONE),
    # It reads every line of a month: the joins go through the whole tables, and so they should.
    (reports.REVENUE, {"days": 30}, {"ix_orders_created_at"}, {"order_lines", "items"}),
]  # fmt: skip

# Indexes that hold a key together rather than serve a statement of the service.
KEYS = {
    "pk_items": "what stock and order_lines refer to; orders.lock_stock and items.get may take it or ix_items_live",
    "pk_orders": "what order_lines refer to; orders.get may take it or ix_orders_user_id_id",
    "pk_seed_runs": "one row, read by the seed",
    "alembic_version_pkc": "one row, Alembic's",
}


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


async def plan_of(url: str, statement: Statement[Any], arguments: dict[str, Any]) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        text = f"EXPLAIN (FORMAT JSON) {statement.text}"
        plan = await connection.fetchval(text, *statement.arguments(arguments))
    finally:
        await connection.close()
    return list(nodes(json.loads(plan)[0]["Plan"]))


def indexes_of(plan: list[dict[str, Any]]) -> set[str]:
    """What is searched, and what an INSERT asks whether there is a conflict."""
    searched = {node["Index Name"] for node in plan if "Index Name" in node}
    return searched.union(*(node["Conflict Arbiter Indexes"] for node in plan if "Conflict Arbiter Indexes" in node))


@pytest.mark.parametrize(
    ("statement", "arguments", "wanted", "may_scan"), PLANS, ids=[statement.name for statement, *_ in PLANS]
)
async def test_the_plan_uses_its_index(
    seeded: str, statement: Statement[Any], arguments: dict[str, Any], wanted: set[str], may_scan: set[str]
) -> None:
    plan = await plan_of(seeded, statement, arguments)
    assert wanted <= indexes_of(plan), f"{statement.name} uses {indexes_of(plan)}"
    scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
    assert scanned <= may_scan, f"{statement.name} scans {scanned - may_scan}"


async def test_pages_need_no_sort_and_the_report_reads_orders_from_the_index_alone(seeded: str) -> None:
    for statement, arguments, *_ in PLANS:
        plan = {node["Node Type"]: node for node in await plan_of(seeded, statement, arguments)}
        if statement in (items.LIST, items.LIST_CATEGORY):
            assert "Sort" not in plan
        if statement is reports.REVENUE:
            assert plan["Index Only Scan"]["Index Name"] == "ix_orders_created_at"


def test_every_statement_of_the_service_is_looked_at_here() -> None:
    found = {
        value.name
        for module in pkgutil.walk_packages(services.api.__path__, "services.api.")
        if "migrations" not in module.name and not module.name.endswith("__main__")
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, Statement)
    }
    assert found == {statement.name for statement, *_ in PLANS}


async def test_every_index_of_the_database_serves_a_statement_here(seeded: str) -> None:
    connection = await asyncpg.connect(seeded)
    try:
        rows = await connection.fetch("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
    finally:
        await connection.close()
    served = set().union(*(wanted for _, _, wanted, _ in PLANS))
    assert {row["indexname"] for row in rows} == served | KEYS.keys(), "an index without a statement is only a burden"
