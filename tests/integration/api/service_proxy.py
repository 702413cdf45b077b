"""What a Kubernetes Service does, between clients and servers: TCP, no HTTP.

A new connection goes to one of the servers that are ready at that moment, and stays there until one side closes it.
Readiness is asked now and then, so that the endpoints lag behind it, as they do in a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.integration.api.server_process import ServerProcess

READINESS_SECONDS = 0.3


class Service:
    """`url` for clients; `connections` counts those that each server got."""

    def __init__(self, url: str, server: ServerProcess) -> None:
        self.url = url
        self.servers = [server]
        self.endpoints: list[ServerProcess] = []
        self.connections: Counter[str] = Counter()

    async def follow_readiness(self) -> None:
        while True:
            asked = tuple(self.servers)
            answers = await asyncio.gather(*(server.ready() for server in asked))
            self.endpoints = [server for server, is_ready in zip(asked, answers, strict=True) if is_ready]
            await asyncio.sleep(READINESS_SECONDS)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.endpoints:
            writer.close()
            return
        server = self.endpoints[sum(self.connections.values()) % len(self.endpoints)]
        self.connections[server.url] += 1
        url = urlsplit(server.url)
        to_reader, to_writer = await asyncio.open_connection(url.hostname, url.port)
        await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def service_of(server: ServerProcess) -> AsyncIterator[Service]:
    """A Service with this server as its first pod; `servers` may grow."""
    service = Service("", server)
    listener = await asyncio.start_server(service.connect, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    follower = asyncio.create_task(service.follow_readiness())
    try:
        while not service.endpoints:  # noqa: ASYNC110  # what is waited for happens in another process
            await asyncio.sleep(0.05)
        yield service
    finally:
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
        listener.close()
