"""A database that cannot be asked is a 503 without Retry-After: a refused admission alone counts as rejected."""

from __future__ import annotations

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from services.api import problems

BROKEN = [
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    ConnectionResetError("reset by peer"),
    TimeoutError(),
]


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
async def test_a_broken_connection_is_unavailable(error: Exception) -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    async def fails() -> None:
        raise error

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalog") as http:
        answer = await http.get("/")
    assert answer.status_code == 503
    assert "retry-after" not in answer.headers
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
