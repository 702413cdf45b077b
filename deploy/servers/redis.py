"""Redis with a password and a memory limit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from deploy.servers.installation import Installation
from deploy.servers.server import START_TIMEOUT_SECONDS, Server


class RedisServer(Server):
    """Redis 8 as a cache: nothing is written to disk, the least recently used key goes when memory is full."""

    name = "redis"
    program = "redis-server"
    user = "redis"

    def __init__(
        self,
        *,
        password: str = "redis-password",  # noqa: S107  # a server of 127.0.0.1 that lives as long as a test
        maxmemory: str = "64mb",
        maxmemory_policy: str = "allkeys-lru",
        installation: Installation | None = None,
        directory: Path | None = None,
        port: int | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(
            installation=installation, directory=directory, port=port, start_timeout_seconds=start_timeout_seconds
        )
        self.password = password
        self.maxmemory = maxmemory
        self.maxmemory_policy = maxmemory_policy

    @property
    def url(self) -> str:
        """redis://:password@host:port/0"""
        return f"redis://:{self.password}@{self.host}:{self.port}/0"

    def client(self) -> redis.Redis:
        """A new client; close it."""
        return redis.Redis(host=self.host, port=self.port, password=self.password, socket_timeout=10)

    def flush(self) -> None:
        """Remove every key."""
        with self.client() as client:
            client.flushall()

    def info(self) -> dict[str, Any]:
        """INFO as a dictionary."""
        with self.client() as client:
            return dict(client.info())

    def _prepare(self) -> None:
        configuration = self.directory / "redis.conf"
        configuration.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f"maxmemory {self.maxmemory}\nmaxmemory-policy {self.maxmemory_policy}\n"
            f'dir {self.directory}\nsave ""\nappendonly no\ndaemonize no\n'
        )
        configuration.chmod(0o600)
        self.give(configuration)

    def _arguments(self) -> Sequence[str]:
        return [str(self.directory / "redis.conf")]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
