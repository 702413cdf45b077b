"""Pure ASGI: refuse request bodies beyond a size, stated or streamed."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.problems import problem


class BodyLimitMiddleware:
    """Bodies of more than `max_bytes` get 413."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        stated = _stated_length(scope)
        if stated is not None and stated > self._max_bytes:
            # The rest of the body is not read, so the connection cannot be used again.
            answer = problem(413, self._detail(f"{stated} bytes"), headers={"Connection": "close"})
            await answer(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise HTTPException(413, self._detail(f"more than {self._max_bytes} bytes"), {"Connection": "close"})
            return message

        await self._app(scope, counted, send)

    def _detail(self, size: str) -> str:
        return f"The request body has {size}, the limit is {self._max_bytes} bytes"


def _stated_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else None
    return None
