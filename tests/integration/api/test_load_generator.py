"""The load generator against the real service: every kind of request is sent and answered, and failures are told."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from services.api.seed import seed
from services.api.settings import DatabaseSettings, Settings
from tests.integration.api.server_process import serving

SEEDED = 300
ALL_KINDS = "read=40,search=10,create=10,update=10,delete=5,order=10,report=10,auth=5"


async def load(url: str, result: Path, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtests", "run", "--url", url, "--items", str(SEEDED), "--json", str(result),
        *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, stderr = await process.communicate()
    return process.returncode or 0, stderr.decode()


async def test_every_kind_of_request_is_answered(owner: DatabaseSettings, settings: Settings, tmp_path: Path) -> None:
    await seed(owner, SEEDED)
    async with serving(settings) as server:
        status, errors = await load(
            server.url,
            tmp_path / "r.json",
            "--users",
            "8",
            "--ramp-seconds",
            "1",
            "--hold-seconds",
            "8",
            "--mix",
            ALL_KINDS,
        )
    assert status == 0, errors
    result: dict[str, Any] = json.loads((tmp_path / "r.json").read_text())
    assert result["errors"] == []
    assert result["summary"]["requests"] > 50
    expected = {"read", "list", "search", "create", "update", "delete", "order", "report", "token"}
    assert expected <= set(result["endpoints"])
    assert result["summary"]["p95Milliseconds"] >= result["summary"]["p50Milliseconds"] > 0


async def test_a_service_that_does_not_answer_is_named(tmp_path: Path) -> None:
    from deploy.servers import ports

    url = f"http://127.0.0.1:{ports.draw()}"
    status, errors = await load(url, tmp_path / "r.json", "--sign-in-seconds", "1")
    assert status == 1
    assert "no account could be made" in errors
    assert "Connection refused" in errors
    assert "Traceback" not in errors
