"""The clock around every request: its duration by route, and its database time in the answer."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.telemetry.collectors.requests import RequestHistogram, request_histogram
from trimtab.telemetry.request import RequestRecord, current, route_of

CLIENT_GONE = 499
"""Status of a request whose client left before the answer began (nginx's number for it)."""


class TelemetryMiddleware:
    """Pure ASGI: times each request until the last byte of its answer is handed to the server.

    `route` is the path template that matched, `unmatched` where none did. An answer that took statements of the
    database carries `Server-Timing: db;dur=12.3;desc="3 statements"` (milliseconds; W3C Server Timing): what is known
    when the headers go, so that of a streamed answer it is the part before the first byte.
    """

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry, histogram: RequestHistogram | None = None) -> None:
        self._app = app
        self._durations = (histogram or request_histogram(registry)).of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _TimedRequest(scope, send)
        started = perf_counter()
        outer = current.get()
        current.set(request)
        try:
            await self._app(scope, receive, request.note_and_send)
        except Exception:
            request.status = request.status or 500
            raise
        finally:
            current.set(outer)
            seconds = (request.ended or perf_counter()) - started
            request.where = route = route_of(scope)
            request.forward = None
            self._durations[scope["method"], route, request.status or CLIENT_GONE].observe(seconds)


class _TimedRequest(RequestRecord):
    """The record and the send of a request in one object, because every object that a request needs is measurable."""

    __slots__ = ("ended", "forward", "status")

    def __init__(self, scope: Scope, forward: Send) -> None:
        self.where = scope
        self.database_seconds = 0.0
        self.statements = 0
        self.forward: Send | None = forward
        self.status = 0
        self.ended = 0.0

    # Not a coroutine of its own: it hands on the awaitable of the layer above, which is cheaper by one a message.
    def note_and_send(self, message: Message) -> Awaitable[None]:
        if self.forward is None:
            raise RuntimeError("the application sent a message after it had returned")
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.statements:
                message = {**message, "headers": [*message.get("headers", ()), server_timing(self)]}
        elif not message.get("more_body", False):
            self.ended = perf_counter()
        return self.forward(message)


def server_timing(record: RequestRecord) -> tuple[bytes, bytes]:
    """The database time as a header."""
    plural = "" if record.statements == 1 else "s"
    value = f'db;dur={1000 * record.database_seconds:.1f};desc="{record.statements} statement{plural}"'
    return (b"server-timing", value.encode())
