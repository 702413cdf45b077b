"""Bounded connection age and draining, as a keep-alive client of a real uvicorn sees them."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.integration.trimtab.uvicorn_server import serving
from trimtab.drain import ConnectionAges, Drain, DrainMiddleware

DEADLINE_SECONDS = 20.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def application(drain: Drain) -> Starlette:
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", answer), Route("/readyz", answer)])
    app.add_middleware(DrainMiddleware, drain=drain)
    return app


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drain(clock: Clock) -> Drain:
    return Drain(30, clock=clock)


@pytest.fixture(params=["httptools", "h11"])
async def port(request: pytest.FixtureRequest, drain: Drain) -> AsyncIterator[int]:
    async with serving(application(drain), request.param) as port:
        yield port


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)

    async def get(self, path: str = "/") -> tuple[int, bool]:
        """The status, and whether the server closes the connection."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> tuple[int, bool]:
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        response.read()
        return response.status, response.will_close

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def client(port: int) -> Any:
    client = Client(port)
    yield client
    client.close()


async def test_a_connection_is_closed_by_an_answer_when_it_is_old(port: int, client: Client, clock: Clock) -> None:
    for _ in range(3):
        assert await client.get() == (200, False)
        clock.now += 4.9
    clock.now += 31
    young = Client(port)
    assert await young.get() == (200, False)
    young.close()
    assert await client.get() == (200, True)
    assert await client.get() == (200, False), "a new connection, with a life of its own"


async def test_a_draining_server_is_not_ready_and_closes_every_connection(client: Client, drain: Drain) -> None:
    assert await client.get("/readyz") == (200, False)
    drain.begin()
    assert await client.get() == (200, True), "requests are answered still"
    assert await client.get("/readyz") == (503, True)


async def test_run_begins_at_once_and_waits(drain: Drain) -> None:
    running = asyncio.create_task(drain.run(seconds=0.01))
    await asyncio.sleep(0)
    assert drain.draining
    await asyncio.wait_for(running, DEADLINE_SECONDS)


def test_ages_are_spread_and_what_is_not_seen_is_forgotten(clock: Clock) -> None:
    ages = ConnectionAges(30, clock=clock)
    clients = [("10.0.0.1", port) for port in range(1000)]
    assert not any(map(ages.is_old, clients))

    def closed_by(seconds: float) -> int:
        clock.now = 100 + seconds
        return sum(map(ages.is_old, clients))

    closed: Callable[[float], int] = closed_by
    assert closed(14.9) == 0
    assert 300 < closed(30) < 700
    assert closed(45.1) > 300
    clock.now += 1000
    ages.is_old(("10.0.0.2", 1))
    assert len(ages) == 1


def test_an_age_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="the connection age is 0 s, it must be above 0"):
        Drain(0)
