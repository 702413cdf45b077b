"""Requests that are too large, against a real server over bare sockets: the answer arrives, and the connection goes on
or ends as the answer says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
import pytest

from services.api.protocol import MAX_HEAD_BYTES
from services.api.request_limits import DISCARDED_BYTES, DISCARDING_SECONDS, MAX_HEADER_BYTES, MAX_URL_BYTES
from services.api.settings import Settings
from tests.integration.api.server_process import ServerProcess, serving

PATIENCE_SECONDS = 60
MAX_BODY = 65_536
ENDLESS_BYTES = DISCARDED_BYTES + 32 * 2**20
"""More than the server takes and the sockets' buffers on the way hold."""
POST = b"POST /items HTTP/1.1\r\nHost: catalog\r\nContent-Type: application/json\r\n"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def detail(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        return str(orjson.loads(self.body)["detail"])


@dataclass
class Connection:
    """One connection, and what is said on it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split()[1]), headers, body)

    async def is_usable(self) -> bool:
        await self.send(b"GET /healthz HTTP/1.1\r\nHost: catalog\r\n\r\n")
        return (await self.answer()).status == 200

    async def ended(self) -> None:
        """The server has closed it, in good order or by a reset: it may have had enough of what was sent."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass


@asynccontextmanager
async def connected(server: ServerProcess) -> AsyncIterator[Connection]:
    url = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def bytes_taken(connection: Connection, chunk: bytes) -> int:
    """Send until the other side takes no more, at most ENDLESS_BYTES; how much it took."""
    taken = 0
    with contextlib.suppress(ConnectionError):
        while taken < ENDLESS_BYTES and not connection.reader.at_eof():
            async with asyncio.timeout(PATIENCE_SECONDS):
                await connection.send(chunk)
            taken += len(chunk)
    return taken


@pytest.mark.timeout(300)
async def test_what_is_too_large_is_refused_and_its_connection_handled(settings: Settings) -> None:
    async with serving(settings) as server:
        await urls_and_headers(server)
        await bodies_that_end(server)
        await bodies_that_do_not_end(server)
        assert await server.ready()


async def urls_and_headers(server: ServerProcess) -> None:
    async with connected(server) as connection:
        await connection.send(b"GET /items?after=" + b"1" * MAX_URL_BYTES + b" HTTP/1.1\r\nHost: c\r\n\r\n")
        refused = await connection.answer()
        assert (refused.status, refused.detail.split(",")[1]) == (414, f" the limit is {MAX_URL_BYTES} bytes")
        header = b"X-Many: " + b"x" * 1000 + b"\r\n"
        await connection.send(b"GET /items HTTP/1.1\r\nHost: c\r\n" + header * (MAX_HEADER_BYTES // 1000 + 1) + b"\r\n")
        refused = await connection.answer()
        assert (refused.status, refused.detail.split(",")[1]) == (431, f" the limit is {MAX_HEADER_BYTES} bytes")
        assert await connection.is_usable()
    for begun in (b"GET /", b"GET / HTTP/1.1\r\nX-Endless: "):
        async with connected(server) as connection:
            await connection.send(begun)
            taken = await bytes_taken(connection, b"x" * 8192)
            assert MAX_HEAD_BYTES / 2 < taken < ENDLESS_BYTES
    async with connected(server) as connection:
        await connection.send(b"nonsense\r\n\r\n")
        assert (await connection.answer()).status == 400
        await connection.ended()


async def bodies_that_end(server: ServerProcess) -> None:
    body = b"x" * (MAX_BODY + 1)
    async with connected(server) as connection:
        await connection.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        refused = await connection.answer()
        assert (refused.status, refused.detail) == (
            413, f"The request body has {len(body)} bytes, the limit is {MAX_BODY} bytes",
        )  # fmt: skip
        assert await connection.is_usable(), "the body was read to its end"
        chunk = b"%x\r\n%b\r\n" % (10_000, b"x" * 10_000)
        await connection.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 12 + b"0\r\n\r\n")
        assert (await connection.answer()).status == 413
        assert await connection.is_usable()
        await connection.send(POST + b"Content-Length: %d\r\n\r\n" % MAX_BODY + b"x" * MAX_BODY)
        assert (await connection.answer()).status == 422, "as large as may be: read, and no JSON"


async def bodies_that_do_not_end(server: ServerProcess) -> None:
    async with connected(server) as connection:
        await connection.send(POST + b"Content-Length: 50000000\r\n\r\n" + b"x" * 2 * MAX_BODY)
        refused = await connection.answer()
        assert (refused.status, refused.headers["connection"]) == (413, "close"), "at once, the rest unread"
        await connection.ended()
    async with connected(server) as connection:
        await connection.send(POST + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
        refused = await connection.answer()
        assert (refused.status, refused.headers["connection"]) == (413, "close"), "instead of 100 Continue"
        await connection.ended()
    async with connected(server) as connection:
        started = asyncio.get_running_loop().time()
        await connection.send(POST + b"Content-Length: 200000\r\n\r\n" + b"x" * 2 * MAX_BODY)
        refused = await connection.answer()
        assert (refused.status, refused.headers["connection"]) == (413, "close"), "and then nothing came"
        assert asyncio.get_running_loop().time() - started >= DISCARDING_SECONDS * 0.9
    async with connected(server) as connection:
        await connection.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        taken = await bytes_taken(connection, b"%x\r\n%b\r\n" % (50_000, b"x" * 50_000))
        assert MAX_BODY < taken < ENDLESS_BYTES
