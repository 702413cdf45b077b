"""Admission as ASGI middleware: who gets no place is answered with an honest 503.

A request that finds a free place pays for a comparison, a look at the clock and one at the headers of its answer. Who
waits is listened to: a client that leaves frees its place in the queue.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Collection
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.admission.limiter import ConcurrencyLimiter, OverloadedError
from trimtab.admission.read_ahead import ReadAhead
from trimtab.telemetry.request import current

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
BODY_SECONDS = 10.0
"""How long a client may take to send the body of a request, up to BODY_BYTES."""

BODY_BYTES = 64 * 1024
"""Of a longer body so much is waited for outside; the application reads the rest in its place."""

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
_UNAVAILABLE = frozenset({503, 504})


class AdmissionMiddleware:
    """Pure ASGI: HTTP requests pass through the limiter, except those for `exempt` paths (health).

    A place is for work, not for waiting for clients: the body is read before one is taken, and an answer of a known
    length is sent after it was given back. So clients that send or read slowly hold nobody up. A body that takes longer
    than `body_seconds` is answered with 408. Who waits to be told to send (Expect: 100-continue) is not told so here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limiter: ConcurrencyLimiter,
        exempt: Collection[str] = HEALTH_PATHS,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._limiter = limiter
        self._exempt = frozenset(exempt)
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        sends_body = scope.get("method", "GET") not in _WITHOUT_BODY and _sends_body(scope)
        if not sends_body:
            admitted_at = self._limiter.try_acquire()
            if admitted_at is not None:  # _run, without a coroutine of its own
                place = _Held(self._limiter, admitted_at, send)
                try:
                    await self._app(scope, receive, place.send)
                except asyncio.CancelledError:
                    place.give_back(gave_up=True)
                    raise
                finally:
                    place.give_back()
                return
        ahead = ReadAhead(receive)
        try:
            if sends_body and not await self._body(ahead, send):
                return
            admitted_at = self._limiter.try_acquire()
            if admitted_at is None:
                admitted_at = await self._wait(ahead, send)
            if admitted_at is not None:
                await self._run(admitted_at, scope, ahead.receive, send)
        finally:
            ahead.close()

    async def _body(self, ahead: ReadAhead, send: Send) -> bool:
        """Whether the body came, so that the request goes on."""
        try:
            async with asyncio.timeout(self._body_seconds):
                return await ahead.body(BODY_BYTES)
        except TimeoutError:
            detail = f"The body did not arrive within {self._body_seconds:g} s; send it faster."
            await _refuse(send, 408, detail, (b"connection", b"close"))
            return False

    async def _run(self, admitted_at: float, scope: Scope, receive: Receive, send: Send) -> None:
        place = _Held(self._limiter, admitted_at, send)
        try:
            await self._app(scope, receive, place.send)
        except asyncio.CancelledError:
            place.give_back(gave_up=True)
            raise
        finally:
            place.give_back()

    async def _wait(self, ahead: ReadAhead, send: Send) -> float | None:
        """The time of admission; None when the client left before, or was refused."""
        try:
            return await self._admitted(ahead)
        except OverloadedError as error:
            again = error.retry_after_seconds
            detail = f"The service is at its limit of concurrent requests; retry after {again} s."
            await _refuse(send, 503, detail, (b"retry-after", str(again).encode()))
            return None

    async def _admitted(self, ahead: ReadAhead) -> float | None:
        """The time of admission, None when the client left before. Raises OverloadedError."""
        place = self._limiter.queue()
        gone = asyncio.ensure_future(ahead.until_gone())
        try:
            await asyncio.wait((place.admitted, gone), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._limiter.leave(place)
            raise
        finally:
            left = gone.done()
            gone.cancel()
        if left:
            self._limiter.leave(place)
            gone.result()  # raises what the server raised
            return None
        return place.admitted.result()


class _Held:
    """A place of admission while the application works for it."""

    __slots__ = ("_admitted_at", "_limiter", "_send", "_start")

    def __init__(self, limiter: ConcurrencyLimiter, admitted_at: float, send: Send) -> None:
        self._limiter = limiter
        self._admitted_at: float | None = admitted_at
        self._send = send
        self._start: Message | None = None

    def send(self, message: Message) -> Awaitable[None]:
        if self._start is None:
            self._start = message
            for name, _ in message.get("headers", ()):
                if name == b"content-length":
                    self.give_back()  # the answer is made; what is left is up to the client
                    break
        elif not message.get("more_body", False):
            self.give_back()
        return self._send(message)

    def give_back(self, *, gave_up: bool = False) -> None:
        """Once; later calls do nothing."""
        admitted_at, self._admitted_at = self._admitted_at, None
        if admitted_at is None:
            return
        if self._limiter.watching:
            record = current.get()
            asked = record is None or record.statements > 0
            self._limiter.release(admitted_at, bad=gave_up or self._database_failed(), asked=asked)
        else:
            self._limiter.release()

    def _database_failed(self) -> bool:
        """The application answers so without Retry-After."""
        start = self._start
        if start is None or start["status"] not in _UNAVAILABLE:
            return False
        return all(name.lower() != b"retry-after" for name, _ in start.get("headers", ()))


def _sends_body(scope: Scope) -> bool:
    """Whether a body is waited for here: not where the client waits to be told to send it."""
    return all(name != b"expect" for name, _ in scope["headers"])


async def _refuse(send: Send, status: int, detail: str, header: tuple[bytes, bytes]) -> None:
    """RFC 9457 problem details. The cause of a 503 is the server's load, so nothing of it goes to the client."""
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        header,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
