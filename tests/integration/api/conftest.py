"""The catalog over real servers: an application in this process, or the server as a process of its own.

template     session   name of a migrated database to copy
owner        test      DatabaseSettings of the owner of a copy of it
pooler       test      PgBouncer in front of that copy
settings     test      Settings of the app through that pooler, with an empty Redis
catalog      test      CatalogClient of an application of these settings in this process
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from deploy.servers.installation import Installation
from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Login, Postgres
from deploy.servers.redis import RedisServer
from services.api.app import create_app
from services.api.migrate import migrate
from services.api.settings import DatabaseSettings, Settings
from tests.integration.conftest import OwnServer

TOKEN_SECRET = "a secret of tests, as long as the longest of the algorithms that are refused wants it"
SERVER_CONNECTIONS = 20
NOBODY_IS_LIMITED = {"register_per_minute": 10**6, "token_per_minute": 10**6, "password_tries_per_minute": 10**6}
PASSWORD = "correct horse"


@dataclass
class CatalogClient:
    """An HTTP client of a catalog and, where it runs in this process, the application."""

    http: httpx.AsyncClient
    app: FastAPI

    async def sign_in(self, email: str = "ada@example.org") -> dict[str, str]:
        """Registers where needed; the headers of that user."""
        credentials = {"email": email, "password": PASSWORD}
        registered = await self.http.post("/auth/register", json=credentials)
        assert registered.status_code in (201, 409), registered.text
        token = await self.http.post("/auth/token", json=credentials)
        assert token.status_code == 200, token.text
        return {"Authorization": f"Bearer {token.json()['access_token']}"}

    async def item(self, headers: dict[str, str], **fields: Any) -> dict[str, Any]:
        """Creates an item."""
        values = {"name": "brass lamp", "category": "lighting", "price_cents": 100, "stock": 5, **fields}
        created = await self.http.post("/items", json=values, headers=headers)
        assert created.status_code == 201, created.text
        item: dict[str, Any] = created.json()
        return item


def settings_of(login: Login, redis: RedisServer, **others: Any) -> Settings:
    return Settings(
        **{
            **database_values(login),
            "redis_host": redis.host,
            "redis_port": redis.port,
            "redis_password": redis.password,
            "token_secret": TOKEN_SECRET,
            "metrics_port": 0,
            "pool_size": 5,
            **NOBODY_IS_LIMITED,
            **others,
        }
    )


@asynccontextmanager
async def redis_client(server: RedisServer) -> AsyncIterator[Redis]:
    client = Redis(host=server.host, port=server.port, password=server.password)
    try:
        yield client
    finally:
        await client.aclose()


def database_values(login: Login) -> dict[str, Any]:
    return {
        "database_host": login.host,
        "database_port": login.port,
        "database_name": login.database,
        "database_user": login.user,
        "database_password": login.password,
    }


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[CatalogClient]:
    """An application in this process with its lifespan, over ASGI."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://catalog", timeout=30) as http,
    ):
        yield CatalogClient(http, app)


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Iterator[str]:
    """A migrated, empty database to copy."""
    name = f"catalog_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    asyncio.run(migrate(DatabaseSettings(**database_values(postgres.login("catalog_owner", name)))))
    yield name
    postgres.drop_database(name)


@pytest.fixture
def owner(postgres: Postgres, template: str) -> Iterator[DatabaseSettings]:
    """The owner's way to a database of this test."""
    name = f"catalog_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name, template)
    yield DatabaseSettings(**database_values(postgres.login("catalog_owner", name)))
    postgres.drop_database(name)


@pytest.fixture
def pooler(owner: DatabaseSettings, postgres: Postgres, own_server: OwnServer, installation: Installation) -> PgBouncer:
    """In front of that database, of this test alone: a shared one remembers failed logins for longer than a test."""
    sizes = {"default_pool_size": SERVER_CONNECTIONS, "max_db_connections": SERVER_CONNECTIONS}
    backend = postgres.login(database=owner.database_name)
    return own_server(PgBouncer(installation=installation, backend=backend, settings=sizes))


@pytest.fixture
def settings(pooler: PgBouncer, clean_redis: RedisServer) -> Settings:
    return settings_of(pooler.login(), clean_redis)


@pytest.fixture
async def catalog(settings: Settings) -> AsyncIterator[CatalogClient]:
    async with running(settings) as client:
        yield client
