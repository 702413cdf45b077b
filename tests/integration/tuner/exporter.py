"""Pods' metrics as a test wants them: one HTTP server, one path a pod, values that may be functions of time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Value = float | Callable[[], float]


def growing(per_second: float, start: float = 0.0) -> Callable[[], float]:
    """A counter that began at `start` now and grows steadily."""
    began = time.monotonic()
    return lambda: start + per_second * (time.monotonic() - began)


class Exporter:
    """`pages[pod]` maps series, as text with labels, to values. A pod without a page answers 404: it is not there."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[str, Value]] = {}
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = exporter.pages.get(self.path.removeprefix("/"))
                body = b"" if page is None else exporter.render(dict(page)).encode()
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # a Prometheus that was killed while it scraped
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Exporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def render(self, page: dict[str, Value]) -> str:
        return "".join(f"{series} {value() if callable(value) else value}\n" for series, value in page.items())

    def scrape_configs(self, pods: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
        """What makes Prometheus scrape these pods (namespace, name) with the labels that PodMonitors set."""
        return [
            {
                "job_name": f"{namespace}-{pod}",
                "metrics_path": f"/{pod}",
                "static_configs": [{"targets": [self.address], "labels": {"namespace": namespace, "pod": pod}}],
            }
            for namespace, pod in pods
        ]
