"""The server as a process of its own: `python -m services.api` with an environment, as in a pod."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from deploy.servers import ports
from services.api.settings import Settings

START_SECONDS = 100.0
STOP_SECONDS = 60.0


@dataclass
class ServerProcess:
    """A running server."""

    process: asyncio.subprocess.Process
    url: str
    metrics_url: str

    async def ready(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=5) as http:
                return (await http.get(f"{self.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def metrics(self) -> str:
        async with httpx.AsyncClient(timeout=10) as http:
            return (await http.get(f"{self.metrics_url}/metrics")).text

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings that differ from the defaults, as variables."""
    variables: dict[str, str] = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        variables[f"API_{name.upper()}"] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return variables


@asynccontextmanager
async def serving(settings: Settings, knobs: Path | None = None, **variables: str) -> AsyncIterator[ServerProcess]:
    port, metrics_port = ports.draw(), ports.draw()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("API_")},
        **environment_of(settings),
        "API_HOST": "127.0.0.1",
        "API_PORT": str(port),
        "API_METRICS_PORT": str(metrics_port),
        "POD_UID": "pod-of-the-test",
        **({"TRIMTAB_KNOBS": str(knobs)} if knobs else {}),
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.api", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    server = ServerProcess(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}")
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await server.ready():
                assert process.returncode is None, f"the server ended with {process.returncode}"
                await asyncio.sleep(0.1)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
