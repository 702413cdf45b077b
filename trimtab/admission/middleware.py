"""Admission as ASGI middleware: who gets no place is answered with an honest 503.

A request that finds a free place pays for a comparison and a look at the clock. Only while somebody has to wait are
statuses read and durations judged. Who waits is listened to: a client that leaves frees its place in the queue.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.admission.limiter import ConcurrencyLimiter, OverloadedError
from trimtab.admission.read_ahead import ReadAhead
from trimtab.telemetry.request import current

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
_UNAVAILABLE = frozenset({503, 504})


class AdmissionMiddleware:
    """Pure ASGI: HTTP requests pass through the limiter, except those for `exempt` paths (health)."""

    def __init__(self, app: ASGIApp, *, limiter: ConcurrencyLimiter, exempt: Collection[str] = HEALTH_PATHS) -> None:
        self._app = app
        self._limiter = limiter
        self._exempt = frozenset(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        admitted_at = self._limiter.try_acquire()
        if admitted_at is not None:
            await self._run(admitted_at, scope, receive, send)
            return
        ahead = ReadAhead(receive)
        try:
            try:
                admitted_at = await self._wait(ahead)
            except OverloadedError as error:
                await _refuse(send, error)
                return
            if admitted_at is not None:
                await self._run(admitted_at, scope, ahead.receive, send)
        finally:
            ahead.close()

    async def _run(self, admitted_at: float, scope: Scope, receive: Receive, send: Send) -> None:
        outcome = None
        if self._limiter.watching:
            outcome = _Outcome(send)
            send = outcome.send
        gave_up = False
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            gave_up = True
            raise
        finally:
            record = current.get()
            self._limiter.release(
                admitted_at,
                bad=gave_up or (outcome is not None and outcome.failed),
                asked=record is None or record.statements > 0,
            )

    async def _wait(self, ahead: ReadAhead) -> float | None:
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


class _Outcome:
    """Whether the application answers that its database failed it: 503 or 504, without Retry-After."""

    __slots__ = ("_send", "failed")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.failed = False

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start" and message["status"] in _UNAVAILABLE:
            self.failed = all(name.lower() != b"retry-after" for name, _ in message.get("headers", ()))
        return self._send(message)


async def _refuse(send: Send, error: OverloadedError) -> None:
    """503 as RFC 9457 problem details. The cause is the server's load, so nothing of it goes to the client."""
    problem = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": f"The service is at its limit of concurrent requests; retry after {error.retry_after_seconds} s.",
    }
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(error.retry_after_seconds).encode()),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
