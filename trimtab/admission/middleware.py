"""Admission as ASGI middleware: who gets no place is answered with an honest 503."""

from __future__ import annotations

import json
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from trimtab.admission.limiter import ConcurrencyLimiter, OverloadedError

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})


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
        try:
            await self._limiter.acquire()
        except OverloadedError as error:
            await _refuse(send, error)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._limiter.release()


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
