"""The exporters of PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from deploy.servers.installation import Installation
from deploy.servers.postgres import Login
from deploy.servers.redis import RedisServer
from deploy.servers.server import START_TIMEOUT_SECONDS, Server


class _Exporter(Server):
    """What both have in common: `/metrics` over HTTP."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/metrics"

    def metrics(self) -> str:
        """The text of /metrics."""
        return httpx.get(self.url, timeout=30).raise_for_status().text

    def _prepare(self) -> None:
        """Everything is on the command line."""

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.host}:{self.port}/", timeout=5).is_success
        except httpx.HTTPError:
            return False


class PostgresExporter(_Exporter):
    """prometheus-postgres-exporter for one login; `queries` is a file of further queries."""

    name = "postgres-exporter"
    program = "prometheus-postgres-exporter"
    user = "prometheus"

    def __init__(
        self,
        target: Login,
        *,
        queries: Path | None = None,
        installation: Installation | None = None,
        directory: Path | None = None,
        port: int | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(
            installation=installation, directory=directory, port=port, start_timeout_seconds=start_timeout_seconds
        )
        self.target = target
        self.queries = queries

    def _prepare(self) -> None:
        if self.queries is not None:
            copy = self.directory / "queries.yaml"
            copy.write_text(self.queries.read_text())
            self.give(copy)

    def _arguments(self) -> Sequence[str]:
        arguments = [f"--web.listen-address={self.host}:{self.port}"]
        if self.queries is not None:
            arguments.append(f"--extend.query-path={self.directory / 'queries.yaml'}")
        return arguments

    def _environment(self) -> Mapping[str, str]:
        return {"DATA_SOURCE_NAME": f"{self.target.url()}?sslmode=disable"}


class RedisExporter(_Exporter):
    """prometheus-redis-exporter for one Redis."""

    name = "redis-exporter"
    program = "prometheus-redis-exporter"
    user = "prometheus"

    def __init__(
        self,
        target: RedisServer,
        *,
        installation: Installation | None = None,
        directory: Path | None = None,
        port: int | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(
            installation=installation, directory=directory, port=port, start_timeout_seconds=start_timeout_seconds
        )
        self.target = target

    def _arguments(self) -> Sequence[str]:
        return [f"--web.listen-address={self.host}:{self.port}", f"--redis.addr=redis://{self.host}:{self.target.port}"]

    def _environment(self) -> Mapping[str, str]:
        return {"REDIS_PASSWORD": self.target.password}
