"""The concurrency limiter and what a refused client is told."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from trimtab.admission import AdmissionMiddleware, ConcurrencyLimiter, OverloadedError


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def waiting(limiter: ConcurrencyLimiter, number: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(limiter.acquire()) for _ in range(number)]


async def test_a_full_queue_refuses_at_once() -> None:
    limiter = ConcurrencyLimiter(1, queue_length=1, queue_seconds=60)
    await limiter.acquire()
    queued = waiting(limiter, 1)
    await turn()
    with pytest.raises(OverloadedError, match="1 requests run and 1 wait, as many as may"):
        await limiter.acquire()
    limiter.release()
    await asyncio.gather(*queued)
    assert (limiter.in_flight, limiter.waiting, limiter.rejected) == (1, 0, 1)


async def test_waiting_is_bounded_in_time() -> None:
    limiter = ConcurrencyLimiter(1, queue_seconds=0.01)
    await limiter.acquire()
    with pytest.raises(OverloadedError, match=r"within 0\.01 s at a limit of 1"):
        await limiter.acquire()
    assert (limiter.in_flight, limiter.waiting, limiter.rejected) == (1, 0, 1)


async def test_first_come_first_served_and_a_raised_limit_admits_at_once() -> None:
    limiter = ConcurrencyLimiter(1, queue_length=5, queue_seconds=60)
    await limiter.acquire()
    queued = waiting(limiter, 4)
    await turn()
    limiter.set_limit(3)
    await turn()
    assert [task.done() for task in queued] == [True, True, False, False]
    limiter.set_limit(1)
    for _ in range(2):
        limiter.release()
        await turn()
        assert not queued[2].done(), "holders beyond a lowered limit go first"
    limiter.release()
    await turn()
    assert [task.done() for task in queued] == [True, True, True, False]
    queued[3].cancel()
    await turn()
    assert limiter.waiting == 0


async def test_who_is_cancelled_just_after_admission_gives_the_place_back() -> None:
    limiter = ConcurrencyLimiter(1, queue_seconds=60)
    await limiter.acquire()
    queued = waiting(limiter, 2)
    await turn()
    limiter.release()
    queued[0].cancel()
    await turn()
    assert queued[1].done()
    assert (limiter.in_flight, limiter.waiting) == (1, 0)


def test_a_limit_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="the concurrency limit is 0, it must be at least 1"):
        ConcurrencyLimiter(1).set_limit(0)


class Client:
    """Calls an ASGI application and keeps the answer."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}


async def test_a_refused_request_gets_a_problem_and_when_to_retry_and_health_is_never_limited() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    limiter = ConcurrencyLimiter(1, queue_length=0)
    middleware = AdmissionMiddleware(app, limiter=limiter)
    async with limiter:
        for path, status in (("/items", 503), ("/healthz", 200), ("/readyz", 200)):
            client = Client()
            await middleware({"type": "http", "path": path}, client.receive, client.send)
            assert client.status == status, path
            if status == 503:
                assert client.headers[b"content-type"] == b"application/problem+json"
                assert int(client.headers[b"retry-after"]) >= 1
                assert json.loads(client.body)["status"] == 503
    client = Client()
    await middleware({"type": "http", "path": "/items"}, client.receive, client.send)
    assert (client.status, limiter.in_flight) == (200, 0)
