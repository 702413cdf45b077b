"""The port that Prometheus scrapes: answered by a thread, so that it can be read while the service is busy."""

from __future__ import annotations

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client import start_http_server as _start_http_server


def start_metrics_server(port: int, registry: CollectorRegistry, address: str = "0.0.0.0") -> MetricsServer:
    """Serve the registry at /metrics. Port 0: any free one."""
    server, thread = _start_http_server(port, addr=address, registry=registry)
    return MetricsServer(server, thread)


class MetricsServer:
    """A running metrics port."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_port)

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
