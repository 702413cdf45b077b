"""Prometheus over given targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.servers.errors import ServerFailedError
from deploy.servers.installation import Installation
from deploy.servers.server import START_TIMEOUT_SECONDS, Server

ScrapeConfig = Mapping[str, Any]


def static_target(job: str, address: str, **labels: str) -> dict[str, Any]:
    """A scrape configuration for one `host:port`, whose series get `labels` (namespace, pod)."""
    return {"job_name": job, "static_configs": [{"targets": [address], "labels": labels}]}


class Prometheus(Server):
    """Prometheus 2.53. Data are kept in `directory` over restarts."""

    name = "prometheus"
    program = "prometheus"
    user = "prometheus"

    def __init__(
        self,
        *,
        scrape_configs: Sequence[ScrapeConfig] = (),
        scrape_interval_seconds: int = 1,
        rule_files: Sequence[Path] = (),
        installation: Installation | None = None,
        directory: Path | None = None,
        port: int | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(
            installation=installation, directory=directory, port=port, start_timeout_seconds=start_timeout_seconds
        )
        self.scrape_configs = list(scrape_configs)
        self.scrape_interval_seconds = scrape_interval_seconds
        self.rule_files = list(rule_files)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query: [{"metric": {...}, "value": [time, "text"]}]."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10)
        body = answer.json()
        if body.get("status") != "success":
            raise ServerFailedError(f"prometheus refused {expression!r}: {body.get('error')}")
        return list(body["data"]["result"])

    def reload(self, scrape_configs: Sequence[ScrapeConfig]) -> None:
        """Replace the targets without a restart. Raises ServerFailedError when Prometheus refuses them."""
        self.scrape_configs = list(scrape_configs)
        self._prepare()
        answer = httpx.post(f"{self.url}/-/reload", timeout=30)
        if answer.is_error:
            raise ServerFailedError(f"prometheus refused its new configuration: {answer.text.strip()}")

    def _prepare(self) -> None:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        self.give(data)
        interval = f"{self.scrape_interval_seconds}s"
        rules = []
        for source in self.rule_files:  # copied, because the server sees only its own directory
            copy = self.directory / source.name
            copy.write_text(source.read_text())
            self.give(copy)
            rules.append(str(copy))
        configuration = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "rule_files": rules,
            "scrape_configs": [dict(c) for c in self.scrape_configs],
        }
        path = self.directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(configuration, sort_keys=False))
        self.give(path)

    def _arguments(self) -> Sequence[str]:
        return [
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.host}:{self.port}",
            "--web.enable-lifecycle",
            "--storage.tsdb.retention.time=1d",
        ]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5).is_success
        except httpx.HTTPError:
            return False
