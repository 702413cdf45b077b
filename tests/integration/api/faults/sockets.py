"""Clients below HTTP libraries: they leave in the middle, send a part, or read nothing."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

from tests.integration.api.faults.stack import Watched


async def connect(api: Watched) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(api.url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def connect_deaf(api: Watched) -> socket.socket:
    """A client with a small window."""
    parts = urlsplit(api.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((parts.hostname, parts.port))
    client.setblocking(False)
    return client


async def fill(client: socket.socket, data: bytes) -> None:
    """Send everything; the server reads it whether or not it can answer."""
    await asyncio.get_running_loop().sock_sendall(client, data)


def request(api: Watched, target: str, body: bytes = b"") -> bytes:
    headers = {"Host": "catalog", **api.headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{target} HTTP/1.1\r\n{head}\r\n".encode() + body
