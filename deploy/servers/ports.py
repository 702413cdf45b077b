"""Ports of 127.0.0.1 that nobody listens on.

Drawn below the kernel's range for outgoing connections (32768 and up on Linux): a server that is stopped and started
again on its port must not find it taken by some client's connection. Drawn at random, so that processes that draw at
the same time rarely meet; `Server.start` draws again when they do.
"""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
FIRST, LAST = 15_000, 29_999
ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of 127.0.0.1 right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def draw() -> int:
    """A free port. Raises OSError when 200 draws found none."""
    for _ in range(ATTEMPTS):
        port = random.SystemRandom().randint(FIRST, LAST)
        if is_free(port):
            return port
    raise OSError(f"no free port between {FIRST} and {LAST} on {HOST} after {ATTEMPTS} draws")
