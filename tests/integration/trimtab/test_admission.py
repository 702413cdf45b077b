"""Waiting for admission as a real uvicorn's clients see it: who leaves frees the place, who stays loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from tests.integration.trimtab.uvicorn_server import serving
from trimtab.admission import AdmissionMiddleware, ConcurrencyLimiter

DEADLINE_SECONDS = 20.0
BODY = bytes(range(256)) * 2048
"""More than a server buffers: it holds the rest back until somebody reads."""


class Door:
    """An application that answers with the size and sum of the body, once it is let through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.seen: list[str] = []
        self.limiter = ConcurrencyLimiter(1, queue_length=2, queue_seconds=60)
        self.app = AdmissionMiddleware(self._answer, limiter=self.limiter)

    async def _answer(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        self.seen.append(scope["path"])
        await self.open.wait()
        body = await Request(scope, receive).body()
        response: Response = PlainTextResponse(f"{len(body)} {sum(body)}")
        await response(scope, receive, send)


class Client:
    """One connection with one request on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def ask(cls, port: int, path: str, body: bytes = b"") -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        return cls(reader, writer)

    async def answer(self) -> tuple[int, bytes]:
        text = await asyncio.wait_for(self._reader.read(), DEADLINE_SECONDS)
        self.writer.close()
        return int(text.split(b" ", 2)[1]), text.partition(b"\r\n\r\n")[2]


async def eventually(holds: Callable[[], bool], what: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            return
    pytest.fail(what)


@pytest.fixture
async def door() -> Door:
    return Door()


@pytest.fixture(params=["httptools", "h11"])
async def port(door: Door, request: pytest.FixtureRequest) -> AsyncIterator[int]:
    async with serving(door.app, request.param) as port:
        yield port
        door.open.set()


async def test_a_client_that_leaves_while_waiting_frees_its_place(door: Door, port: int) -> None:
    first = await Client.ask(port, "/first")
    await eventually(lambda: door.limiter.in_flight == 1, "the first does not run")
    leaving = await Client.ask(port, "/leaving")
    await eventually(lambda: door.limiter.waiting == 1, "the second does not wait")
    staying = await Client.ask(port, "/staying")
    await eventually(lambda: door.limiter.waiting == 2, "the third does not wait")
    refused = await Client.ask(port, "/refused")
    assert (await refused.answer())[0] == 503
    leaving.writer.close()
    await eventually(lambda: door.limiter.waiting == 1, "the place of who left is not free")
    late = await Client.ask(port, "/late")
    await eventually(lambda: door.limiter.waiting == 2, "the free place is not given to the next")
    door.open.set()
    for client in (first, staying, late):
        assert await client.answer() == (200, b"0 0")
    assert door.seen == ["/first", "/staying", "/late"], "who left is never worked for"
    await eventually(lambda: (door.limiter.in_flight, door.limiter.waiting) == (0, 0), "a place is lost")


@pytest.mark.parametrize("size", [0, 100, len(BODY)])
async def test_a_body_sent_while_waiting_arrives_whole(door: Door, port: int, size: int) -> None:
    first = await Client.ask(port, "/first")
    await eventually(lambda: door.limiter.in_flight == 1, "the first does not run")
    body = BODY[:size]
    second = await Client.ask(port, "/second", body)
    await eventually(lambda: door.limiter.waiting == 1, "the second does not wait")
    door.open.set()
    assert (await first.answer())[0] == 200
    assert await second.answer() == (200, f"{size} {sum(body)}".encode())
