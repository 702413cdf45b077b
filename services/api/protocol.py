"""uvicorn's HTTP protocol with a bound on what a client may send before its headers end.

uvicorn keeps URL and headers until they are complete, however long they are, and the application sees them only then:
without a bound a single connection can fill the memory. RequestLimitsMiddleware answers what is merely too long; this
is for what does not end.
"""

from __future__ import annotations

from asyncio import Transport

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.api.problems import MEDIA_TYPE
from services.api.request_limits import MAX_HEADER_BYTES, MAX_URL_BYTES

MAX_HEAD_BYTES = 4 * (MAX_URL_BYTES + MAX_HEADER_BYTES)
"""More than an honest mistake: who is nearer to the limits gets an answer that says which of them it was."""

_PROBLEM = orjson.dumps(
    {
        "type": "about:blank",
        "title": "Request Header Fields Too Large",
        "status": 431,
        "detail": f"URL and headers have more than {MAX_HEAD_BYTES} bytes",
    }
)
_ANSWER = b"\r\n".join(
    [
        b"HTTP/1.1 431 Request Header Fields Too Large",
        b"connection: close",
        b"content-type: " + MEDIA_TYPE.encode(),
        b"content-length: %d" % len(_PROBLEM),
        b"",
        _PROBLEM,
    ]
)


class BoundedHeadProtocol(HttpToolsProtocol):
    """Closes connections whose request line and headers do not end within MAX_HEAD_BYTES."""

    transport: Transport
    _is_in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        # The chunk in which a head begins is not counted: bytes of the request before it may stand there, too.
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_ANSWER)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()
