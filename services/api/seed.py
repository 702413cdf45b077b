"""`python -m services.api.seed --items N`: fill the empty tables, by COPY, in one transaction: all or nothing.

Run again with the same number it does nothing, with another it refuses. The rows are the same for the same number:
items 1..N with stock, N/20 users whose passwords fit nothing, N/2 orders of 1 to 3 lines over the last 90 days.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from services.api import logs
from services.api.migrate import LOCK
from services.api.settings import DatabaseSettings

MAX_ITEMS = 10_000_000
ORDER_DAYS = 90
NO_PASSWORD = "!"  # noqa: S105  # no hash at all: nobody can log in as a seeded user
DEPARTMENTS = ("books", "garden", "kitchen", "lighting", "music", "office", "sports", "tools", "toys", "travel")
CATEGORIES = tuple(f"{department}/{kind}" for department in DEPARTMENTS for kind in ("new", "used", "sale", "rare"))
ADJECTIVES = (
    "amber", "brass", "cedar", "copper", "dusk", "elm", "folding", "glass", "hollow", "ivory", "jade", "linen",
    "maple", "nordic", "oak", "pearl", "quiet", "rustic", "silver", "tall", "velvet", "woven",
)  # fmt: skip
NOUNS = (
    "basket", "bench", "bottle", "chair", "clock", "compass", "drum", "easel", "flute", "globe", "hammer", "kettle",
    "lamp", "mirror", "notebook", "pan", "racket", "shelf", "tent", "umbrella", "vase", "wheel",
)  # fmt: skip

log = structlog.get_logger(__name__)


class SeedRefusedError(Exception):
    """The tables hold other rows already. The message says which and what to do."""


async def seed(settings: DatabaseSettings, items: int) -> bool:
    """Fill the tables with `items` items; False where that was done before. Raises SeedRefusedError."""
    if not 1 <= items <= MAX_ITEMS:
        raise SeedRefusedError(f"--items is {items}, it must be 1 to {MAX_ITEMS}")
    connection = await asyncpg.connect(
        host=settings.database_host,
        port=settings.database_port,
        database=settings.database_name,
        user=settings.database_user,
        password=settings.database_password.get_secret_value() or None,
        timeout=10,
    )
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            if not await _is_due(connection, items):
                return False
            await _copy(connection, items)
        # Outside the transaction, where it may run: fresh statistics, and pages known to be visible to all.
        await connection.execute("VACUUM (ANALYZE) users, items, stock, orders, order_lines")
    finally:
        await connection.close()
    return True


async def _is_due(connection: asyncpg.Connection, items: int) -> bool:
    earlier = await connection.fetchval("SELECT items FROM seed_runs")
    if earlier == items:
        return False
    if earlier is not None:
        raise SeedRefusedError(
            f"the tables are seeded with {earlier} items, not {items}; empty them first: "
            "python -m services.api.migrate --down-to base, then without --down-to"
        )
    if await connection.fetchval("SELECT EXISTS (SELECT FROM items) OR EXISTS (SELECT FROM users)"):
        raise SeedRefusedError("the tables hold rows that no seed made; seed an empty database")
    return True


async def _copy(connection: asyncpg.Connection, items: int) -> None:
    users, orders = max(10, items // 20), max(10, items // 2)
    now = datetime.now(UTC)
    draw = random.Random(items)  # noqa: S311  # made-up rows, the same for the same number
    prices = [draw.randint(100, 20_000) for _ in range(items)]
    lines = _lines(draw, orders, items)
    totals = [sum(prices[item - 1] * quantity for item, quantity in order) for order in lines]

    await _copy_rows(connection, "users", ("id", "email", "password_hash"),
        ((user, f"user{user}@seed.invalid", NO_PASSWORD) for user in range(1, users + 1)))  # fmt: skip
    # The search index is made after the rows: inserting into it row by row takes several times as long.
    await connection.execute("DROP INDEX ix_items_name_trgm")
    await _copy_rows(connection, "items", ("id", "name", "description", "category", "price_cents"),
        ((item, _name(draw, item), f"Item {item} of the seed.", CATEGORIES[item % len(CATEGORIES)], prices[item - 1])
         for item in range(1, items + 1)))  # fmt: skip
    await connection.execute(
        "CREATE INDEX ix_items_name_trgm ON items USING gin (name gin_trgm_ops) WHERE deleted_at IS NULL"
    )
    await _copy_rows(connection, "stock", ("item_id", "quantity"),
        ((item, draw.randint(1_000, 1_000_000)) for item in range(1, items + 1)))  # fmt: skip
    await _copy_rows(connection, "orders",
        ("id", "user_id", "idempotency_key", "request_hash", "total_cents", "created_at"),
        ((order, draw.randint(1, users), f"seed-{order}", b"", totals[order - 1],
          now - timedelta(days=ORDER_DAYS) * (1 - order / orders)) for order in range(1, orders + 1)))  # fmt: skip
    await _copy_rows(connection, "order_lines", ("order_id", "item_id", "quantity", "unit_price_cents"),
        ((number, item, quantity, prices[item - 1])
         for number, order in enumerate(lines, 1) for item, quantity in order))  # fmt: skip
    for table, last in (("users", users), ("items", items), ("orders", orders)):
        await connection.execute("SELECT setval(pg_get_serial_sequence($1, 'id'), $2)", table, last)
    await connection.execute("INSERT INTO seed_runs (items) VALUES ($1)", items)


async def _copy_rows(
    connection: asyncpg.Connection, table: str, columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]
) -> None:
    await connection.copy_records_to_table(table, columns=columns, records=rows)
    log.info("copied", table=table)


def _lines(draw: random.Random, orders: int, items: int) -> list[list[tuple[int, int]]]:
    """Item and quantity of each line of each order; an item once in an order."""
    return [
        [(item, draw.randint(1, 5)) for item in {draw.randint(1, items) for _ in range(draw.randint(1, 3))}]
        for _ in range(orders)
    ]


def _name(draw: random.Random, item: int) -> str:
    return f"{draw.choice(ADJECTIVES)} {draw.choice(ADJECTIVES)} {draw.choice(NOUNS)} {item}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.api.seed", description=__doc__)
    parser.add_argument("--items", type=int, required=True, help=f"items to make, 1 to {MAX_ITEMS}")
    options = parser.parse_args(arguments)
    settings = DatabaseSettings()
    logs.configure("info")
    started = time.monotonic()
    try:
        is_new = asyncio.run(seed(settings, options.items))
    except (SeedRefusedError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        log.error("not seeded", error=str(error), host=settings.database_host, port=settings.database_port,
                  user=settings.database_user)  # fmt: skip
        return 1
    if is_new:
        log.info("seeded", items=options.items, seconds=round(time.monotonic() - started, 1))
    else:
        log.info("seeded before, nothing to do", items=options.items)
    return 0


if __name__ == "__main__":
    sys.exit(main())
