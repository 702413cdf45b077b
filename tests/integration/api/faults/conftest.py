"""Faults: servers of a file's own, because they are killed, and one API process that has to live through everything.

stack     module   Stack: PostgreSQL, PgBouncer and Redis with a seeded catalog; what is down is mended before each test
api       module   Watched: `python -m services.api` on them, the same process for every test of the file
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
import pytest_asyncio

from deploy.servers.installation import Installation
from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Postgres
from deploy.servers.redis import RedisServer
from services.api.migrate import migrate
from services.api.seed import seed
from services.api.settings import DatabaseSettings
from services.pooler.ini import SERVER_LOGIN_RETRY_SECONDS
from tests.integration.api.conftest import database_values
from tests.integration.api.faults.stack import SEEDED, SERVER_CONNECTIONS, Stack, Watched, signed_in
from tests.integration.api.server_process import serving


@pytest.fixture(scope="module")
def servers(installation: Installation) -> Iterator[Stack]:
    with ExitStack() as running:
        postgres = running.enter_context(Postgres(installation=installation, fsync=False))
        settings = {
            "default_pool_size": SERVER_CONNECTIONS,
            "max_db_connections": SERVER_CONNECTIONS,
            # As the pooler's pod has it: by default PgBouncer leaves a PostgreSQL that is back unused for 15 s.
            "server_login_retry": SERVER_LOGIN_RETRY_SECONDS,
            "server_connect_timeout": 5,
        }
        pgbouncer = running.enter_context(
            PgBouncer(installation=installation, backend=postgres.login(), settings=settings)
        )
        redis = running.enter_context(RedisServer(installation=installation))
        yield Stack(postgres, pgbouncer, redis)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeded(servers: Stack) -> Stack:
    owner = DatabaseSettings(**database_values(servers.postgres.login("catalog_owner")))
    await migrate(owner)
    await seed(owner, SEEDED)
    return servers


@pytest.fixture
def stack(seeded: Stack) -> Stack:
    seeded.mend()
    return seeded


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(seeded: Stack) -> AsyncIterator[Watched]:
    async with serving(seeded.settings()) as server:
        yield await signed_in(server)
