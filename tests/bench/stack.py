"""The real servers that the applications work with: PostgreSQL with seeded tables, PgBouncer, Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from deploy.progress import step
from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Postgres
from deploy.servers.postgres_roles import OWNER
from deploy.servers.redis import RedisServer
from deploy.servers.rootfs import find_or_make
from services.api.migrate import migrate
from services.api.seed import seed
from services.api.settings import DatabaseSettings
from services.api.users.tokens import Tokens

ITEMS = 100_000
CONNECTIONS = 16
"""Of each application to the database, and of PgBouncer to PostgreSQL beside a few to spare."""

TOKEN_SECRET = "a secret of benchmarks, longer than 32 bytes"
TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Stack:
    """Running servers."""

    postgres: Postgres
    pgbouncer: PgBouncer
    redis: RedisServer

    def direct(self) -> dict[str, str]:
        """The environment of an application that talks to PostgreSQL itself."""
        return self._environment(self.postgres.login().url())

    def pooled(self) -> dict[str, str]:
        """The environment of an application behind PgBouncer."""
        return self._environment(self.pgbouncer.login().url())

    def reference_api(self) -> dict[str, str]:
        """The environment of the reference API, behind PgBouncer."""
        login = self.pgbouncer.login()
        return {
            "API_DATABASE_HOST": login.host,
            "API_DATABASE_PORT": str(login.port),
            "API_DATABASE_NAME": login.database,
            "API_DATABASE_USER": login.user,
            "API_DATABASE_PASSWORD": login.password,
            "API_REDIS_HOST": self.redis.host,
            "API_REDIS_PORT": str(self.redis.port),
            "API_REDIS_PASSWORD": self.redis.password,
            "API_TOKEN_SECRET": TOKEN_SECRET,
            "API_POOL_SIZE": str(CONNECTIONS),
            "API_LOG_LEVEL": "warning",
            "API_DRAIN_SECONDS": "0",
        }

    def token(self) -> str:
        """What a writer's Authorization header bears."""
        return Tokens(TOKEN_SECRET, TOKEN_SECONDS).issue(1)

    def _environment(self, database_url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url,
            "REDIS_URL": self.redis.url,
            "BENCH_POOL_SIZE": str(CONNECTIONS),
            "API_TOKEN_SECRET": TOKEN_SECRET,
        }


@contextmanager
def running() -> Iterator[Stack]:
    """Start the servers, migrate and seed; stop them at the end."""
    installation = find_or_make()
    sizes = {"default_pool_size": CONNECTIONS + 4, "max_db_connections": CONNECTIONS + 4}
    with ExitStack() as servers:
        with step("bench: starting PostgreSQL, PgBouncer and Redis"):
            postgres = servers.enter_context(Postgres(installation=installation))
            pgbouncer = servers.enter_context(
                PgBouncer(installation=installation, backend=postgres.login(), settings=sizes)
            )
            redis = servers.enter_context(RedisServer(installation=installation, maxmemory="256mb"))
        with step(f"bench: seeding {ITEMS} items"):
            owner = postgres.login(OWNER)
            settings = DatabaseSettings(
                database_host=owner.host,
                database_port=owner.port,
                database_name=owner.database,
                database_user=owner.user,
                database_password=owner.password,
            )
            asyncio.run(migrate(settings))
            asyncio.run(seed(settings, ITEMS))
        yield Stack(postgres, pgbouncer, redis)
