"""Pods and a database for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.servers.redis import RedisServer
from tests.integration.trimtab.cache.pods import Database, Pods


@pytest.fixture
async def pods(clean_redis: RedisServer) -> AsyncIterator[Pods]:
    pods = Pods(clean_redis.url)
    yield pods
    await pods.close()


@pytest.fixture
def database() -> Database:
    return Database()
