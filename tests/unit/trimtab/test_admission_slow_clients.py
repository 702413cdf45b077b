"""A place of admission is for work: nobody holds one while he sends his body or takes his answer."""

from __future__ import annotations

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.admission import AdmissionMiddleware, ConcurrencyLimiter

POST = {"type": "http", "path": "/orders", "method": "POST", "headers": []}


class Client:
    """Messages go in by `sent`; answers are taken only while `takes` is set."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.answer: list[Message] = []

    async def receive(self) -> Message:
        return await self.sent.get()

    async def send(self, message: Message) -> None:
        await self.takes.wait()
        self.answer.append(message)

    def sends(self, body: bytes, *, more: bool = False) -> None:
        self.sent.put_nowait({"type": "http.request", "body": body, "more_body": more})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def streams(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await send({"type": "http.response.body", "body": b"b"})


def start(app: ASGIApp, client: Client, limiter: ConcurrencyLimiter, **scope: object) -> asyncio.Task[None]:
    middleware = AdmissionMiddleware(app, limiter=limiter, body_seconds=0.2 if scope.pop("hurried", False) else 60)
    return asyncio.ensure_future(middleware({**POST, **scope}, client.receive, client.send))


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_body_is_waited_for_without_a_place_and_arrives_whole() -> None:
    limiter, client = ConcurrencyLimiter(1), Client()
    request = start(echo, client, limiter)
    client.sends(b"first ", more=True)
    await turns()
    assert limiter.in_flight == 0
    client.takes.set()
    client.sends(b"second")
    await request
    assert client.answer[1]["body"] == b"first second"
    assert limiter.in_flight == 0


async def test_a_body_that_does_not_come_in_time_is_answered_with_408() -> None:
    limiter, client = ConcurrencyLimiter(1), Client()
    client.takes.set()
    client.sends(b"first", more=True)
    await start(echo, client, limiter, hurried=True)
    assert (client.answer[0]["status"], json.loads(client.answer[1]["body"])["status"]) == (408, 408)
    assert (b"connection", b"close") in client.answer[0]["headers"]
    assert limiter.in_flight == 0


async def test_a_client_that_leaves_before_its_body_is_whole_is_not_answered() -> None:
    limiter, client = ConcurrencyLimiter(1), Client()
    client.takes.set()
    client.sends(b"first", more=True)
    client.sent.put_nowait({"type": "http.disconnect"})
    await start(echo, client, limiter)
    assert client.answer == []
    assert limiter.in_flight == 0


async def test_an_answer_that_is_not_taken_holds_no_place() -> None:
    limiter, client = ConcurrencyLimiter(1), Client()
    request = start(echo, client, limiter)
    client.sends(b"whole")
    await turns()
    assert not request.done()
    assert limiter.in_flight == 0
    client.takes.set()
    await request
    assert limiter.in_flight == 0, "given back once"


async def test_an_answer_of_unknown_length_holds_its_place_until_its_last_piece() -> None:
    limiter, client = ConcurrencyLimiter(1), Client()
    request = start(streams, client, limiter, method="GET")
    await turns()
    assert limiter.in_flight == 1, "more is being made"
    client.takes.set()
    await request
    assert limiter.in_flight == 0


async def test_who_expects_to_be_told_to_send_is_told_by_the_application() -> None:
    limiter, client = ConcurrencyLimiter(1), Client()
    request = start(echo, client, limiter, headers=[(b"expect", b"100-continue")])
    await turns()
    assert limiter.in_flight == 1
    client.takes.set()
    client.sends(b"now")
    await request
    assert client.answer[1]["body"] == b"now"
