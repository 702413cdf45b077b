"""Whether PgBouncer still takes clients. It closes its TCP listener at SIGTERM, and works on for those it has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

CONNECT_TIMEOUT_SECONDS = 2.0


def listener_probe(host: str, port: int) -> Callable[[], Awaitable[bool]]:
    """Connects and goes. A listener that is slow to accept still listens; one that refuses does not."""

    async def listening() -> bool:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return True
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    return listening
