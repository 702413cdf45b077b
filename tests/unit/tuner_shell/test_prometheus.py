"""What the client makes of an answer, from a server that says what a test wants it to say."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tuner.observe.prometheus import Failure, Prometheus, PrometheusError


@contextmanager
def answering(body: bytes, status: int = 200, packed: bool = False) -> Iterator[str]:
    """The address of a server that answers every query so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            sent = gzip.compress(body) if packed else body
            if packed:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            try:
                self.wfile.write(sent)
            except (BrokenPipeError, ConnectionResetError):  # the client has read enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def vector(samples: int) -> bytes:
    result = [{"metric": {"pod": f"api-{n}"}, "value": [1000.5, str(n)]} for n in range(samples)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


async def asked(url: str, max_answer_bytes: int) -> Any:
    client = Prometheus(url, attempts=1, max_answer_bytes=max_answer_bytes)
    try:
        return await client.query("up")
    finally:
        await client.close()


async def test_an_answer_of_the_largest_size_is_read() -> None:
    body = vector(1000)
    with answering(body) as url:
        read = await asked(url, len(body))
    assert (read.time, len(read.samples), read.samples[7].value) == (1000.5, 1000, 7.0)


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_that_is_too_large_is_given_up_with_its_limit(packed: bool) -> None:
    body = vector(50_000)
    with (
        answering(body, packed=packed) as url,
        pytest.raises(PrometheusError, match=f"more than {len(body) - 1} bytes") as error,
    ):
        await asked(url, len(body) - 1)
    assert error.value.reason is Failure.BAD_ANSWER


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, b"", Failure.UNAUTHORIZED),
        (404, b"<html>", Failure.BAD_STATUS),
        (200, b"<html>", Failure.BAD_ANSWER),
        (200, b'{"status": "success", "data": {"resultType": "matrix"}}', Failure.BAD_ANSWER),
        (200, b'{"status": "success", "warnings": ["store down"]}', Failure.PARTIAL),
        (422, b'{"status": "error", "error": "bad query"}', Failure.BAD_STATUS),
    ],
)
async def test_what_is_no_answer_has_its_reason(status: int, body: bytes, reason: Failure) -> None:
    with answering(body, status) as url, pytest.raises(PrometheusError) as error:
        await asked(url, 1000)
    assert error.value.reason is reason and url in str(error.value)
