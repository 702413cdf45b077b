"""Notice that a client leaves while its request waits, without losing what it sent.

A server tells of a client that left only to who asks for the next message. So a request that waits reads ahead: one
message, and, where that was the whole body, the next, which comes when the client leaves. The application then reads
what was read ahead, in order. A body of several messages is not read further: it stays where the server holds it back.
"""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import Message, Receive


class ReadAhead:
    """One request's messages. Give `receive` to the application, and call `close` in the end."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: deque[Message] = deque()
        self._pending: asyncio.Future[Message] | None = None

    async def body(self, max_bytes: int) -> bool:
        """Read the body, or the first `max_bytes` of it and a little more. False: the client has left. First of all."""
        seen = 0
        while seen <= max_bytes:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return False
            self._read.append(message)
            seen += len(message.get("body", b""))
            if not message.get("more_body", False):
                break
        return True

    async def until_gone(self) -> None:
        """Return when the client has left; never, where that cannot be seen. May be cancelled without loss."""
        more_body = False
        while not more_body:
            if self._pending is None:
                self._pending = asyncio.ensure_future(self._receive())
            message = await asyncio.shield(self._pending)
            self._pending = None
            self._read.append(message)
            if message["type"] == "http.disconnect":
                return
            more_body = message.get("more_body", False)
        await asyncio.get_running_loop().create_future()

    async def receive(self) -> Message:
        """The next message for the application."""
        if self._read:
            return self._read.popleft()
        if self._pending is not None:
            pending, self._pending = self._pending, None
            return await pending
        return await self._receive()

    def close(self) -> None:
        """The request has ended: wait for no more messages."""
        if self._pending is not None:
            self._pending.cancel()
