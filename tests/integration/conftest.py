"""Real servers for the integration tests: shared ones a worker process, and own ones for tests that stop them.

installation      session   the servers' programs; skips visibly, with the remedy, where there are none
postgres          session   Postgres (fsync off)
pgbouncer         session   PgBouncer in front of it, as catalog_app
redis_server      session   RedisServer
database          test      name of a fresh, empty database of `postgres`, for postgres.login(role, database)
pooled            test      Login of catalog_app to that database through `pgbouncer`
clean_redis       test      `redis_server` without keys
own_server        test      own_server(RedisServer(...)) starts a server of the test's own and closes it at the end
prometheus        test      prometheus(scrape_config, ...) starts a Prometheus of the test's own
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol, TypeVar

import pytest

from deploy.servers.errors import ServersUnavailableError
from deploy.servers.installation import Installation
from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Login, Postgres
from deploy.servers.prometheus import Prometheus, ScrapeConfig
from deploy.servers.redis import RedisServer
from deploy.servers.rootfs import find_or_make
from deploy.servers.server import Server

S = TypeVar("S", bound=Server)


class OwnServer(Protocol):
    """Starts the given server and closes it when the test ends."""

    def __call__(self, server: S) -> S: ...


StartPrometheus = Callable[..., Prometheus]


@pytest.fixture(scope="session")
def installation() -> Installation:
    try:
        return find_or_make()
    except ServersUnavailableError as error:
        if os.geteuid() == 0:
            raise  # root can get them, so something is broken
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres(installation: Installation) -> Iterator[Postgres]:
    with Postgres(installation=installation, fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(installation: Installation, postgres: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(installation=installation, backend=postgres.login()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(installation: Installation) -> Iterator[RedisServer]:
    with RedisServer(installation=installation) as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)


@pytest.fixture
def pooled(pgbouncer: PgBouncer, postgres: Postgres, database: str) -> Iterator[Login]:
    pgbouncer.retarget(postgres.login(database=database))
    yield pgbouncer.login()
    pgbouncer.retarget(postgres.login())


@pytest.fixture
def clean_redis(redis_server: RedisServer) -> RedisServer:
    redis_server.flush()
    return redis_server


@pytest.fixture
def own_server(installation: Installation) -> Iterator[OwnServer]:
    with ExitStack() as servers:

        def start(server: S) -> S:
            servers.enter_context(server)
            return server

        yield start


@pytest.fixture
def prometheus(own_server: OwnServer, installation: Installation) -> StartPrometheus:
    def start(*scrape_configs: ScrapeConfig, scrape_interval_seconds: int = 1) -> Prometheus:
        return own_server(
            Prometheus(
                installation=installation,
                scrape_configs=scrape_configs,
                scrape_interval_seconds=scrape_interval_seconds,
            )
        )

    return start
