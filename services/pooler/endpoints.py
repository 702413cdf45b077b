"""The agent's HTTP endpoints: /metrics, /readyz, /healthz, on threads of their own beside the event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from services.pooler.agent import Agent, Readiness

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

READINESS_TIMEOUT_SECONDS = 5.0
REQUEST_TIMEOUT_SECONDS = 10
"""A client that opens a connection and says nothing loses it after this."""


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Probes and scrapes are no news."""


class Endpoints:
    """A running server; `port` is the one that it listens on (asked for 0, a free one)."""

    def __init__(self, agent: Agent, registry: CollectorRegistry, address: str, port: int) -> None:
        application = make_application(agent, registry, asyncio.get_running_loop())
        self._server: WSGIServer = make_server(
            address, port, application, server_class=ThreadingWSGIServer, handler_class=_Handler
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoints", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


def make_application(agent: Agent, registry: CollectorRegistry, loop: asyncio.AbstractEventLoop) -> WSGIApplication:
    """`agent` lives in `loop`; requests come from other threads."""
    metrics: WSGIApplication = make_wsgi_app(registry)

    def readiness() -> Readiness:
        future = asyncio.run_coroutine_threadsafe(agent.readiness(), loop)
        try:
            return future.result(READINESS_TIMEOUT_SECONDS)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            future.cancel()
            return Readiness(False, f"PgBouncer did not answer within {READINESS_TIMEOUT_SECONDS:g} s")

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)
        if path == "/readyz":
            answer = readiness()
            return _text(start_response, "200 OK" if answer.ready else "503 Service Unavailable", answer.sentence)
        if path == "/healthz":
            if agent.alive:
                return _text(start_response, "200 OK", "alive")
            return _text(start_response, "503 Service Unavailable", "the agent's loop hangs")
        return _text(start_response, "404 Not Found", "there are /metrics, /readyz and /healthz")

    return application


def _text(start_response: StartResponse, status: str, sentence: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{sentence}\n".encode()]
