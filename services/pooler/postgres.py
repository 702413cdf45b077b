"""PostgreSQL as the agent sees it: whether it would take a login, asked without logging in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from services.pooler.settings import Settings

PING_TIMEOUT_SECONDS = 2


def login_probe(settings: Settings) -> Callable[[], Awaitable[bool]]:
    """Asks as pg_isready does: up to the request for a password, so that no connection of the role is used.

    It sees a server that is down, starts, stops or has no connection left at all; not the role's own limit.
    """
    conninfo = make_conninfo(
        host=settings.database_host,
        port=settings.database_port,
        dbname=settings.database_name,
        user=settings.database_user,
        connect_timeout=PING_TIMEOUT_SECONDS,
    ).encode()

    async def accepts_logins() -> bool:
        return await asyncio.to_thread(PGconn.ping, conninfo) == Ping.OK

    return accepts_logins
