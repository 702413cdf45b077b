"""Making PgBouncer keep to a pool size: what to say to it, once, and when it has come true.

Shrinking needs RECONNECT, or busy servers stay (12 -> 2 was still 9 after 2 s; with it 2 after 0.2 s). But RECONNECT
suspends the pool's own limit while its servers are busy (pool 6: 7, after five RECONNECTs 11), so max_db_connections,
which is never suspended, goes first, and RECONNECT is said once for each shrink. And if PostgreSQL refuses a login
right after RECONNECT, PgBouncer has no server left and drops everyone who waits: so not while logins are refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from services.pooler.console import Console, ConsoleError, Limits, Pool

RECONNECT = "RECONNECT"
PROBE_SECONDS = 1.0
"""Least time between two questions to PostgreSQL whether it accepts logins."""
STARVED_SECONDS = 3.0
"""Clients that wait so long while no server is added mean refused logins: PgBouncer tries again each second."""
DOUBT_SECONDS = 10.0
"""After logins seemed refused, RECONNECT waits this long: PgBouncer does not say that they work again."""

log = structlog.get_logger()


def limit_commands(limits: Limits, size: int) -> tuple[str, ...]:
    """The SETs that bring PgBouncer's limits to `size`; none when they are there. Pure.

    max_db_connections first in both directions: shrinking, it is the limit that RECONNECT cannot suspend; growing,
    the pool never wants more than the database may have.
    """
    if size < 1:
        raise ValueError(f"a pool size of {size} is refused, it must be at least 1: PgBouncer reads 0 as no limit")
    commands = []
    if limits.max_connections != size:
        commands.append(f"SET max_db_connections={size}")
    if limits.pool_size != size:
        commands.append(f"SET default_pool_size={size}")
    return tuple(commands)


def servers_open(limits: Limits, pool: Pool) -> int:
    """Server connections by the larger of PgBouncer's two counts: the one it limits by, and the one by states. Pure."""
    return max(limits.connections, pool.total_servers)


class LoginEvidence:
    """Whether PgBouncer seems to be refused by PostgreSQL: clients wait, servers are lacking, none comes.

    PgBouncer opens servers one by one, each within milliseconds. It covers what a ping does not show: the role's
    connection limit, a wrong password. Pure: time in seconds comes in as an argument.
    """

    def __init__(self) -> None:
        self._starved_since: float | None = None
        self._established = 0
        self._doubt_until = float("-inf")

    def see(self, now: float, limits: Limits, pool: Pool) -> None:
        established = pool.total_servers - pool.servers["login"]
        added, self._established = established > self._established, established
        if pool.waiting == 0 or established >= limits.effective:
            self._starved_since = None
        elif added or self._starved_since is None:
            self._starved_since = now
        elif now - self._starved_since >= STARVED_SECONDS:
            self._doubt_until = now + DOUBT_SECONDS

    def refused(self, now: float) -> bool:
        return now < self._doubt_until


@dataclass(frozen=True)
class Applied:
    """What a step saw last, after what it said to PgBouncer: its limits are `size`."""

    size: int
    limits: Limits
    pool: Pool

    @property
    def servers(self) -> int:
        return servers_open(self.limits, self.pool)

    @property
    def confirmed(self) -> bool:
        """No server is open beyond the size, and PgBouncer will open none."""
        return self.servers <= self.size


class Applier:
    """Brings PgBouncer to a size step by step. Each step looks first, so a RELOAD or a restart is just a difference.

    `accepts_logins` asks PostgreSQL without logging in: a login of the agent's own would be a connection that the
    budget does not count.
    """

    def __init__(
        self,
        console: Console,
        accepts_logins: Callable[[], Awaitable[bool]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._accepts_logins = accepts_logins
        self._clock = clock
        self._lock = asyncio.Lock()
        self._evidence = LoginEvidence()
        self._reconnected: tuple[int, int] | None = None
        self._probe: asyncio.Task[bool] | None = None
        self._probe_after = float("-inf")
        self._said_waiting = False

    async def step(self, size: int) -> Applied:
        """Look, say what is missing, look again: the limits are `size` when this returns.

        Raises ConsoleError when PgBouncer cannot be reached or refuses.
        """
        async with self._lock:
            limits, pool = await self._look()
            commands = limit_commands(limits, size)
            if commands:
                log.info("applying the pool size", size=size, was=limits.effective, commands=list(commands))
                for command in commands:
                    await self._console.command(command)
                self._reconnected, self._probe, self._said_waiting = None, None, False
                limits, pool = await self._look()
                left = limit_commands(limits, size)
                if left:
                    raise ConsoleError(
                        f"PgBouncer took {list(commands)} and still lacks {list(left)}: "
                        "does pgbouncer.ini set pool_size on the database's or the user's line?"
                    )
            applied = Applied(size, limits, pool)
            if not applied.confirmed:
                await self._reconnect_once(size, applied.servers)
            return applied

    async def _look(self) -> tuple[Limits, Pool]:
        limits = await self._console.limits()
        pool = await self._console.pool()
        self._evidence.see(self._clock(), limits, pool)
        return limits, pool

    async def _reconnect_once(self, size: int, servers: int) -> None:
        shrink = (self._console.sessions, size)
        if self._reconnected == shrink or not self._may_log_in():
            return
        self._reconnected = shrink
        await self._console.command(RECONNECT)
        log.info("said RECONNECT", size=size, servers=servers)

    def _may_log_in(self) -> bool:
        """Whether a probe begun at an earlier step was answered well; begins one where none is under way.

        Never waits: a PostgreSQL that gives no answer must not keep readiness waiting.
        """
        now = self._clock()
        if self._evidence.refused(now):
            self._say_waiting("clients wait although PgBouncer may open servers")
            return False
        if self._probe is None:
            if now >= self._probe_after:
                self._probe = asyncio.create_task(_wait_for(self._accepts_logins()), name="pooler-login-probe")
            return False
        if not self._probe.done():
            return False
        accepted, self._probe = self._probe.result(), None
        if not accepted:
            self._probe_after = now + PROBE_SECONDS
            self._say_waiting("a ping is not answered")
        return accepted

    def _say_waiting(self, why: str) -> None:
        if not self._said_waiting:
            log.warning("RECONNECT waits: PostgreSQL refuses logins", why=why)
        self._said_waiting = True


async def _wait_for(answer: Awaitable[bool]) -> bool:
    return await answer
