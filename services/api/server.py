"""uvicorn with a stop that loses no request: SIGTERM drains first, and only then are the listeners closed."""

from __future__ import annotations

import asyncio
import signal
import socket
from types import FrameType

import uvicorn

from trimtab.drain import Drain

KEEP_ALIVE_SECONDS = 75
"""Longer than a client's pause between requests: who closes an idle connection races with the next request on it."""


class DrainingServer(uvicorn.Server):
    """On SIGTERM: fail readiness, close connections with their answers, wait `drain_seconds`, then stop.

    A second signal, or SIGINT, stops at once (requests in progress are still answered).
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, drain_seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._drain_seconds = drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drainer: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)
        if self._drainer is not None:
            self._drainer.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn for SIGTERM and SIGINT, between two bytecodes of the main thread."""
        if sig == signal.SIGTERM and not self._drain.draining and self._loop is not None:
            self._drain.begin()
            self._loop.call_soon_threadsafe(self._start_draining)
        else:
            super().handle_exit(sig, frame)

    def _start_draining(self) -> None:
        self._drainer = asyncio.get_running_loop().create_task(self._drain_and_stop())

    async def _drain_and_stop(self) -> None:
        await self._drain.run(self._drain_seconds)
        self.should_exit = True
