"""The service keeps what its OpenAPI document says: schemathesis sends what the document allows, and what it forbids.

Against a server process with real PostgreSQL, PgBouncer and Redis, signed in. Deterministic: the same requests always.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from services.api.seed import seed
from services.api.settings import DatabaseSettings, Settings
from tests.integration.api.conftest import PASSWORD
from tests.integration.api.server_process import ServerProcess, serving

SEEDED = 200
CONFIGURATION = Path(__file__).parent / "schemathesis.toml"


async def token(server: ServerProcess) -> str:
    credentials = {"email": "tester@example.org", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        assert (await http.post("/auth/register", json=credentials)).status_code == 201
        issued: str = (await http.post("/auth/token", json=credentials)).json()["access_token"]
        return issued


async def schemathesis(server: ServerProcess, directory: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and output of a run over the whole document."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION),
        "run", f"{server.url}/openapi.json",
        "--header", f"Authorization: Bearer {await token(server)}",
        "--checks", "all", "--generation-deterministic",
        "--request-timeout", "60", "--suppress-health-check", "all", "--continue-on-failure", "--no-color", *arguments,
        cwd=directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.timeout(300)
async def test_the_document_is_kept(settings: Settings, owner: DatabaseSettings, tmp_path: Path) -> None:
    await seed(owner, SEEDED)
    async with serving(settings) as server:
        status, output = await schemathesis(server, tmp_path, "--phases", "examples,fuzzing", "--max-examples", "4")
        assert status == 0, output


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_the_document_is_kept_at_its_boundaries_and_over_many_requests(
    settings: Settings, owner: DatabaseSettings, tmp_path: Path
) -> None:
    await seed(owner, SEEDED)
    async with serving(settings) as server:
        status, output = await schemathesis(
            server, tmp_path, "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "25"
        )
        assert status == 0, output
