"""Migrations up and down, rights, the seed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from deploy.servers.postgres import Postgres
from services.api.migrate import NotMigratedError, engine_of, head, migrate, wait
from services.api.seed import SeedRefusedError, seed
from services.api.settings import DatabaseSettings
from services.api.tables import metadata


@pytest.fixture
async def app_connection(postgres: Postgres, owner: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres.login(database=owner.database_name).url())
    yield connection
    await connection.close()


async def test_the_migrations_make_the_tables_of_the_code(owner: DatabaseSettings) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    engine = engine_of(owner)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    assert found == []


async def test_down_and_up_again(owner: DatabaseSettings) -> None:
    await seed(owner, 10)
    assert await migrate(owner, "base", down=True) is None
    with pytest.raises(NotMigratedError, match=r"version none .* run: python -m services\.api\.migrate"):
        await wait(owner, 0)
    versions = await asyncio.gather(migrate(owner), migrate(owner))
    assert set(versions) == {head()}, "two at once take turns"
    await wait(owner, 0)
    assert await seed(owner, 10)


async def test_a_migration_waits_for_a_table_without_holding_its_readers_up(
    owner: DatabaseSettings, postgres: Postgres, app_connection: asyncpg.Connection
) -> None:
    reader = await asyncpg.connect(postgres.login(database=owner.database_name).url())
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'items'::regclass"
    try:
        long_transaction = app_connection.transaction()
        await long_transaction.start()
        await app_connection.fetchval("SELECT count(*) FROM items")
        migration = asyncio.create_task(migrate(owner, "base", down=True, lock_timeout_seconds=0.5))
        async with asyncio.timeout(60):
            while not await reader.fetchval(waiting):  # noqa: ASYNC110  # in another session
                await asyncio.sleep(0.02)
        # It queues for the table now. Without its timeout a read would queue behind it until the transaction ends.
        for _ in range(3):
            assert await reader.fetchval("SELECT count(*) FROM items", timeout=30) == 0
        assert not migration.done()
        await long_transaction.rollback()
        assert await migration is None
    finally:
        await reader.close()


async def test_a_table_that_stays_in_use_is_an_error_that_says_what_to_do(
    owner: DatabaseSettings, app_connection: asyncpg.Connection
) -> None:
    async with app_connection.transaction():
        await app_connection.fetchval("SELECT count(*) FROM items")
        with pytest.raises(NotMigratedError, match="a table stayed in use for 0 s; find who holds it"):
            await migrate(owner, "base", down=True, lock_timeout_seconds=0.1, seconds=0)
    await wait(owner, 0)


async def test_the_app_may_change_rows_and_nothing_else(
    owner: DatabaseSettings, app_connection: asyncpg.Connection
) -> None:
    await app_connection.execute("INSERT INTO users (email, password_hash) VALUES ('a@b', '!')")
    assert await app_connection.fetchval("SELECT version_num FROM alembic_version") == head()
    for forbidden in (
        "CREATE TABLE mine (id int)",
        "ALTER TABLE items ADD COLUMN mine int",
        "DROP TABLE order_lines",
        "TRUNCATE users CASCADE",
        "UPDATE alembic_version SET version_num = 'x'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app_connection.execute(forbidden)


async def test_the_seed_fills_every_table_once(owner: DatabaseSettings, app_connection: asyncpg.Connection) -> None:
    assert await seed(owner, 1000)
    assert not await seed(owner, 1000), "the same seed again does nothing"
    with pytest.raises(SeedRefusedError, match="seeded with 1000 items, not 2000; empty them first"):
        await seed(owner, 2000)
    counts = {
        table: await app_connection.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("items", "stock", "users", "orders")
    }
    assert counts == {"items": 1000, "stock": 1000, "users": 50, "orders": 500}
    assert await app_connection.fetchrow("SELECT min(id), max(id) FROM items") == (1, 1000)
    assert await app_connection.fetchval(
        "SELECT bool_and(total_cents = (SELECT sum(quantity * unit_price_cents) FROM order_lines WHERE order_id = id)) "
        "FROM orders"
    )
    values = ("new", "new", 1)
    insert = "INSERT INTO items (name, category, price_cents) VALUES ($1, $2, $3) RETURNING id"
    assert await app_connection.fetchval(insert, *values) == 1001


async def test_the_seed_refuses_a_database_in_use(owner: DatabaseSettings, app_connection: asyncpg.Connection) -> None:
    await app_connection.execute("INSERT INTO users (email, password_hash) VALUES ('a@b', '!')")
    with pytest.raises(SeedRefusedError, match="rows that no seed made"):
        await seed(owner, 10)
    with pytest.raises(SeedRefusedError, match="must be 1 to"):
        await seed(owner, 0)
