"""Connections with a bounded age, and a stop that loses no request.

A keep-alive client stays on the pod that it knows. So that new pods get traffic, each connection is closed with an
answer (`Connection: close`) once it is old; so that a stopping pod loses none, it first says that it is not ready and
closes every connection with its next answer, waits until the endpoints have been updated, and only then stops.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

MAX_CONNECTION_AGE_SECONDS = 30.0
AGE_JITTER = 0.5
READY_PATH = "/readyz"
DRAIN_SECONDS = 8.0
"""How long endpoints may take to learn that the pod is not ready."""

_CLOSE = (b"connection", b"close")
_NOT_READY = b'{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"The pod is draining."}'


class ConnectionAges:
    """When each HTTP/1.1 connection shall close. A connection is known by its client's address and port.

    A port that a client uses again soon inherits the age, which closes that connection early, once. Connections that
    are not seen for twice the longest age are forgotten; servers close idle ones long before.
    """

    def __init__(
        self, max_age_seconds: float = MAX_CONNECTION_AGE_SECONDS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if max_age_seconds <= 0:
            raise ValueError(f"the connection age is {max_age_seconds} s, it must be above 0")
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._close_at: OrderedDict[tuple[str, int], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._close_at)

    def is_old(self, client: tuple[str, int]) -> bool:
        """Whether the connection shall close with this answer; it is forgotten then."""
        now = self._clock()
        close_at = self._close_at.get(client)
        if close_at is None:
            self._forget_unseen(now)
            life = self._max_age_seconds * random.uniform(1 - AGE_JITTER, 1 + AGE_JITTER)  # noqa: S311
            self._close_at[client] = now + life
            return False
        if now < close_at:
            return False
        del self._close_at[client]
        return True

    def _forget_unseen(self, now: float) -> None:
        """The oldest come first; the order is that of the connections' beginnings."""
        longest = self._max_age_seconds * (1 + AGE_JITTER)
        while self._close_at:
            client, close_at = next(iter(self._close_at.items()))
            if now < close_at + longest:
                return
            del self._close_at[client]


class Drain:
    """Whether this process takes new work, and how it stops taking it."""

    def __init__(
        self,
        max_connection_age_seconds: float = MAX_CONNECTION_AGE_SECONDS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ages = ConnectionAges(max_connection_age_seconds, clock=clock)
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether readiness fails and every answer closes its connection."""
        return self._draining

    def begin(self) -> None:
        """Take no new work. There is no way back."""
        if not self._draining:
            logger.info("draining: not ready any more, every answer closes its connection")
            self._draining = True

    async def run(self, seconds: float = DRAIN_SECONDS) -> None:
        """Begin, and wait until the endpoints have been updated; stop the server afterwards."""
        self.begin()
        await asyncio.sleep(seconds)


class DrainMiddleware:
    """Pure ASGI: closes old connections with their answers, all of them while draining; fails readiness then.

    Put it outermost. With a server that rewrites the client's address from a proxy's header (uvicorn: proxy_headers)
    connections cannot be told apart, so serve with that switched off.
    """

    def __init__(self, app: ASGIApp, *, drain: Drain, ready_path: str = READY_PATH) -> None:
        self._app = app
        self._drain = drain
        self._ready_path = ready_path

    # Neither this nor the send is a coroutine of its own: they hand on those of their neighbours, which is cheaper.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        drain = self._drain
        if drain.draining and scope["path"] == self._ready_path:
            return _not_ready(send)
        client = scope.get("client")
        is_old = client is not None and drain.ages.is_old(tuple(client))

        def send_and_close(message: Message) -> Awaitable[None]:
            # Asked again here: the drain may have begun while the request ran.
            if message["type"] == "http.response.start" and (is_old or drain.draining):
                headers = [header for header in message.get("headers", ()) if header[0].lower() != b"connection"]
                message = {**message, "headers": [*headers, _CLOSE]}
            return send(message)

        return self._app(scope, receive, send_and_close)


async def _not_ready(send: Send) -> None:
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(_NOT_READY)).encode()),
        _CLOSE,
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _NOT_READY})
