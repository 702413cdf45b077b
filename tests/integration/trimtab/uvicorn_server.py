"""An ASGI application served by a real uvicorn on a free port, in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

START_SECONDS = 20.0


@asynccontextmanager
async def serving(app: ASGIApp, http: str = "httptools") -> AsyncIterator[int]:
    """The port. At the end requests in progress are answered first."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=http, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(START_SECONDS):
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, START_SECONDS)
