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
        record = RequestRecord(scope)
        status, ended = 0, 0.0
        started = perf_counter()

        # Not a coroutine of its own: it hands on the awaitable of the layer above, which is cheaper by one a message.
        def note_and_send(message: Message) -> Awaitable[None]:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                if record.statements:
                    message = {**message, "headers": [*message.get("headers", ()), server_timing(record)]}
            elif not message.get("more_body", False):
                ended = perf_counter()
            return send(message)

        outer = current.get()
        current.set(record)
        try:
            await self._app(scope, receive, note_and_send)
        except Exception:
            status = status or 500
            raise
        finally:
            current.set(outer)
            record.where = route = route_of(scope)
            seconds = (ended or perf_counter()) - started
            self._durations[scope["method"], route, status or CLIENT_GONE].observe(seconds)


def server_timing(record: RequestRecord) -> tuple[bytes, bytes]:
    """The database time as a header."""
    plural = "" if record.statements == 1 else "s"
    value = f'db;dur={1000 * record.database_seconds:.1f};desc="{record.statements} statement{plural}"'
    return (b"server-timing", value.encode())
