"""A shop catalog that only plays: it answers every kind of request, as badly as a test wants, and counts what came."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FINE = "fine"
"""Other answers of a behaviour: `500`, `404`, `shed` (503 with Retry-After), `cut` (no answer), `slow`."""

SLOW_SECONDS = 0.15

Behaviour = Callable[[int], str]
"""How the n-th read of one item is answered, counted from 0."""


@dataclass
class Seen:
    """What arrived after the accounts had signed in, in order."""

    paths: list[str] = field(default_factory=list)
    reads: Counter[str] = field(default_factory=Counter)

    def share(self, *prefixes: str) -> float:
        """Share of the requests whose method and path begin so."""
        return sum(path.startswith(prefixes) for path in self.paths) / len(self.paths)


@contextmanager
def playing(behaviour: Behaviour = lambda n: FINE) -> Iterator[tuple[str, Seen]]:
    """The service's address and what it sees."""
    seen = Seen()
    lock = threading.Lock()
    created, reads, registered = itertools.count(100_000), itertools.count(), itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            method, path = self.command, self.path.split("?")[0]
            how = FINE
            with lock:
                if signing_in(self.path):
                    pass
                else:
                    seen.paths.append(f"{method} {self.path}")
                    if method == "GET" and path.removeprefix("/items/").isdigit():
                        how = behaviour(next(reads))
                        seen.reads[how] += 1
                body, status = content(method, path)
            if how == "cut":
                self.close_connection = True
                return
            if how == "slow":
                time.sleep(SLOW_SECONDS)
            self.send_response({"500": 500, "404": 404, "shed": 503}.get(how, status))
            if how == "shed":
                self.send_header("Retry-After", "1")
            data = b"" if status == 204 else json.dumps(body).encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    def signing_in(path: str) -> bool:
        """The generator's preparation: its accounts, and five pages of items to learn words from."""
        return not seen.paths and ("/auth/" in path or path.endswith("limit=100"))

    def content(method: str, path: str) -> tuple[dict[str, Any], int]:
        match method, path:
            case "POST", "/auth/register":
                return {"id": next(registered)}, 201
            case "POST", "/auth/token":
                return {"access_token": "token"}, 200
            case "POST", _:
                return {"id": next(created)}, 201
            case "DELETE", _:
                return {}, 204
            case _:
                return {"items": [{"name": "green lamp"}, {"name": "oak chair"}]}, 200

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()
