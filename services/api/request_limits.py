"""Pure ASGI: refuse requests whose URL, headers or body are too large; the body stated or streamed."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.problems import problem

MAX_URL_BYTES = 8 * 1024
MAX_HEADER_BYTES = 16 * 1024
DISCARDED_BYTES = 1024 * 1024
DISCARDING_SECONDS = 2.0
"""A refused body is read to its end, within these bounds: a connection that closes on a client which still sends is
reset, and the client may never see the answer. Within them the connection stays, beyond them it closes."""

CLOSE = {"Connection": "close"}


class RequestLimitsMiddleware:
    """URLs beyond their limit get 414, headers 431, bodies of more than `max_body_bytes` 413."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        url_bytes = len(scope["raw_path"]) + len(scope["query_string"])
        if url_bytes > MAX_URL_BYTES:
            await problem(414, f"The URL has {url_bytes} bytes, the limit is {MAX_URL_BYTES} bytes")(
                scope, receive, send
            )
            return
        header_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        if header_bytes > MAX_HEADER_BYTES:
            detail = f"The headers have {header_bytes} bytes, the limit is {MAX_HEADER_BYTES} bytes"
            await problem(431, detail)(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        stated = _stated_length(scope)
        if stated is not None and stated > self._max_body_bytes:
            # Who waits to be told to go on (Expect: 100-continue) is told not to, and sends nothing.
            is_read = not _waits_for_leave(scope) and stated <= DISCARDED_BYTES and await _discarded(receive)
            answer = problem(413, self._detail(f"{stated} bytes"), headers=None if is_read else CLOSE)
            await answer(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body_bytes:
                is_read = not message.get("more_body", False) or await _discarded(receive)
                detail = self._detail(f"more than {self._max_body_bytes} bytes")
                raise HTTPException(413, detail, None if is_read else CLOSE)
            return message

        return counted

    def _detail(self, size: str) -> str:
        return f"The request body has {size}, the limit is {self._max_body_bytes} bytes"


async def _discarded(receive: Receive) -> bool:
    """Read the rest of a body and forget it. False: it is too long, or comes too slowly."""
    seen = 0
    try:
        async with asyncio.timeout(DISCARDING_SECONDS):
            while seen <= DISCARDED_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return True
                seen += len(message.get("body", b""))
    except TimeoutError:
        pass
    return False


def _stated_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else None
    return None


def _waits_for_leave(scope: Scope) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])
