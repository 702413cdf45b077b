"""The limiter, the middleware, and what a refused client is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from trimtab.admission import AdmissionMiddleware, AimdRule, ConcurrencyLimiter, OverloadedError, Refusal
from trimtab.telemetry.request import RequestRecord, current

DEADLINE_SECONDS = 20.0


async def turn() -> None:
    for _ in range(12):  # more than any chain of tasks here is long
        await asyncio.sleep(0)


def waiting(limiter: ConcurrencyLimiter, number: int) -> list[asyncio.Task[float]]:
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
    assert limiter.refusals == {Refusal.FULL: 1, Refusal.LATE: 0}


async def test_waiting_is_bounded_in_time() -> None:
    limiter = ConcurrencyLimiter(1, queue_seconds=0.01)
    await limiter.acquire()
    with pytest.raises(OverloadedError, match=r"within 0\.01 s at a limit of 1"):
        await limiter.acquire()
    assert (limiter.in_flight, limiter.waiting, limiter.rejected) == (1, 0, 1)
    assert limiter.refusals == {Refusal.FULL: 0, Refusal.LATE: 1}


async def test_first_come_first_served_and_a_raised_limit_admits_at_once() -> None:
    limiter = ConcurrencyLimiter(1, queue_length=5, queue_seconds=60)
    await limiter.acquire()
    queued = waiting(limiter, 4)
    await turn()
    limiter.set_ceiling(3)
    await turn()
    assert [task.done() for task in queued] == [True, True, False, False]
    limiter.set_ceiling(1)
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
        ConcurrencyLimiter(1).set_ceiling(0)


async def test_who_leaves_the_queue_leaves_nothing_behind() -> None:
    limiter = ConcurrencyLimiter(1, queue_length=10_000, queue_seconds=60)
    await limiter.acquire()
    first, *others = waiting(limiter, 5000)
    await turn()
    assert limiter.waiting == 5000
    for task in others:
        task.cancel()
    await turn()
    assert limiter.waiting == 1
    first.cancel()
    await turn()
    assert (limiter.waiting, len(limiter._queue)) == (0, 0), "marked places go when they come to the front"
    limiter.release()
    assert limiter.in_flight == 0


async def test_the_queue_is_as_long_as_the_ceiling_asks_also_when_the_limit_is_lowered() -> None:
    now = 0.0
    limiter = ConcurrencyLimiter(8, queue_seconds=60, rule=AimdRule(least_window=2), clock=lambda: now)
    held = [await limiter.acquire() for _ in range(8)]
    queued = waiting(limiter, 10)
    await turn()
    now = 10.0
    for admitted_at in held[:6]:
        limiter.release(admitted_at)
    assert (limiter.ceiling, limiter.limit, limiter.in_flight, limiter.waiting) == (8, 2, 6, 6)
    queued += waiting(limiter, 10)
    await turn()
    assert limiter.waiting == 16
    with pytest.raises(OverloadedError):
        await limiter.acquire()
    for task in queued:
        task.cancel()
    await asyncio.gather(*queued, return_exceptions=True)


async def test_lowering_and_coming_back_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    caplog.set_level(logging.INFO, "trimtab.admission")
    limiter = ConcurrencyLimiter(8, queue_length=0, rule=AimdRule(least_window=2), clock=lambda: now)
    for _ in range(3):
        held = [await limiter.acquire() for _ in range(limiter.limit)]
        with pytest.raises(OverloadedError):
            await limiter.acquire()
        now += 10
        for admitted_at in held:
            limiter.release(admitted_at)
    assert limiter.limit == 2
    now += 61
    for _ in range(9):
        with contextlib.suppress(OverloadedError):
            await limiter.acquire()
    assert (limiter.limit, limiter.in_flight) == (8, 8)
    assert [(record.levelname, record.getMessage().split(":")[-1].strip()) for record in caplog.records] == [
        ("WARNING", "admission lowers its limit to 2 of 8"),
        ("INFO", "admission is back at its ceiling of 8"),
    ]


Application = Callable[[Scope, Receive, Send], Awaitable[None]]


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


def answering(status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Application:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_a_refused_request_gets_a_problem_and_when_to_retry_and_health_is_never_limited() -> None:
    limiter = ConcurrencyLimiter(1, queue_length=0)
    middleware = AdmissionMiddleware(answering(), limiter=limiter)
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


class Waiting:
    """A request that waits behind a holder of the only place, and what its client does meanwhile."""

    def __init__(self, app: Application, limiter: ConcurrencyLimiter) -> None:
        self.client = Client()
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        call = AdmissionMiddleware(app, limiter=limiter)({"type": "http", "path": "/"}, self.messages.get, self.send)
        self.task = asyncio.create_task(call)

    async def send(self, message: Message) -> None:
        await self.client.send(message)

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, DEADLINE_SECONDS)


async def test_a_client_that_leaves_while_waiting_frees_its_place_and_the_application_never_hears_of_it() -> None:
    called = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal called
        called = True

    limiter = ConcurrencyLimiter(1, queue_length=1, queue_seconds=60)
    await limiter.acquire()
    request = Waiting(app, limiter)
    request.messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await turn()
    assert limiter.waiting == 1
    request.messages.put_nowait({"type": "http.disconnect"})
    await request.ended()
    assert (limiter.waiting, limiter.in_flight, limiter.rejected, called) == (0, 1, 0, False)


async def test_what_was_read_ahead_is_read_by_the_application_in_order() -> None:
    read: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not read or read[-1]["type"] != "http.disconnect":
            read.append(await receive())

    for whole in (True, False):
        limiter = ConcurrencyLimiter(1, queue_seconds=60)
        await limiter.acquire()
        request = Waiting(app, limiter)
        parts: list[Message] = [{"type": "http.request", "body": b"1", "more_body": not whole}]
        if not whole:
            parts.append({"type": "http.request", "body": b"2", "more_body": False})
        request.messages.put_nowait(parts[0])
        await turn()
        limiter.release()
        await turn()
        for part in [*parts[1:], {"type": "http.disconnect"}]:
            request.messages.put_nowait(part)
        await request.ended()
        assert read == [*parts, {"type": "http.disconnect"}]
        assert (limiter.in_flight, limiter.waiting) == (0, 0)
        read.clear()


async def test_a_request_cancelled_while_waiting_frees_its_place_whether_admitted_just_now_or_not() -> None:
    for admitted in (False, True):
        limiter = ConcurrencyLimiter(1, queue_seconds=60)
        await limiter.acquire()
        request = Waiting(answering(), limiter)
        await turn()
        if admitted:
            limiter.release()
        request.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request.ended()
        assert (limiter.in_flight, limiter.waiting) == (0 if admitted else 1, 0)


async def judged(app: Application, seconds: float, statements: int = 1) -> int:
    """The limit of 8 after so many requests of this kind in a contended window as would lower it if they were bad."""
    now = 0.0
    limiter = ConcurrencyLimiter(8, queue_length=0, rule=AimdRule(least_window=2), clock=lambda: now)

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal now
        record = current.get()
        assert record is not None
        record.statements += statements
        now += seconds
        await app(scope, receive, send)

    held = [await limiter.acquire() for _ in range(8)]
    with pytest.raises(OverloadedError):
        await limiter.acquire()
    for _ in held:
        limiter.release()
    for _ in range(5):
        current.set(RequestRecord({}))
        client = Client()
        request = AdmissionMiddleware(timed, limiter=limiter)(
            {"type": "http", "path": "/"}, client.receive, client.send
        )
        await asyncio.gather(request, return_exceptions=True)
    return limiter.limit


async def giving_up(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("app", "seconds", "statements", "limit"),
    [
        pytest.param(answering(200), 0.1, 1, 8, id="good"),
        pytest.param(answering(200), 3.0, 1, 4, id="slow"),
        pytest.param(answering(200), 3.0, 0, 4, id="slow before it could ask"),
        pytest.param(answering(503), 0.1, 0, 6, id="the database failed it"),
        pytest.param(answering(504), 0.1, 0, 6, id="the database took too long"),
        pytest.param(answering(503, ((b"Retry-After", b"1"),)), 0.1, 1, 8, id="another limiter refused it"),
        pytest.param(answering(500), 0.1, 1, 8, id="a bug is no overload"),
        pytest.param(giving_up, 0.1, 1, 6, id="given up"),
    ],
)
async def test_what_counts_as_bad(app: Application, seconds: float, statements: int, limit: int) -> None:
    assert await judged(app, seconds, statements) == limit
