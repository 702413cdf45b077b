"""What is said to PgBouncer, in which order, how often."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pooler.apply import DOUBT_SECONDS, STARVED_SECONDS, Applier, LoginEvidence, limit_commands
from services.pooler.console import CLIENT_STATES, SERVER_STATES, ConsoleError, Limits, Pool


def pool(servers: int, waiting: int = 0, login: int = 0) -> Pool:
    return Pool(
        servers={**dict.fromkeys(SERVER_STATES, 0), "active": servers, "login": login},
        clients={**dict.fromkeys(CLIENT_STATES, 0), "waiting": waiting},
        max_wait_seconds=0.0,
    )


@dataclass
class FakeConsole:
    """PgBouncer's behaviour as measured: limits at once, servers only when `settle` says so."""

    limit: int = 1
    servers: int = 0
    waiting: int = 0
    sessions: int = 1
    said: list[str] = field(default_factory=list)
    deaf: bool = False

    async def limits(self) -> Limits:
        return Limits(self.limit, self.limit, self.servers)

    async def pool(self) -> Pool:
        return pool(self.servers, self.waiting)

    async def command(self, command: str) -> None:
        self.said.append(command)
        if command.startswith("SET default_pool_size=") and not self.deaf:
            self.limit = int(command.partition("=")[2])


class Logins:
    """PostgreSQL's answer to a ping."""

    def __init__(self, accepted: bool = True) -> None:
        self.accepted = accepted
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        return self.accepted


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def applier(console: FakeConsole, logins: Logins | None = None, clock: Clock | None = None) -> Applier:
    return Applier(console, logins or Logins(), clock or Clock())  # type: ignore[arg-type]  # the fake of the port


async def steps(keeper: Applier, size: int, count: int, clock: Clock | None = None) -> bool:
    confirmed = False
    for _ in range(count):
        confirmed = (await keeper.step(size)).confirmed
        await asyncio.sleep(0)
        if clock:
            clock.now += 0.1
    return confirmed


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_the_limits_become_the_size_with_the_database_limit_first(pool_size: int, connections: int, size: int) -> None:
    commands = limit_commands(Limits(pool_size, connections, 0), size)
    assert (f"SET max_db_connections={size}" in commands) == (connections != size)
    assert (f"SET default_pool_size={size}" in commands) == (pool_size != size)
    assert list(commands) == sorted(commands, reverse=True), "max_db_connections comes first"
    assert len(commands) == (connections != size) + (pool_size != size)


@pytest.mark.parametrize("size", [0, -1])
def test_no_size_below_one_is_ever_said(size: int) -> None:
    with pytest.raises(ValueError, match="no limit"):
        limit_commands(Limits(1, 1, 0), size)


async def test_growing_needs_no_reconnect() -> None:
    console = FakeConsole(limit=2, servers=2)
    assert await steps(applier(console), 6, 3)
    assert console.said == ["SET max_db_connections=6", "SET default_pool_size=6"]


async def test_a_shrink_says_reconnect_once_after_the_limits_and_is_confirmed_when_servers_are_gone() -> None:
    console = FakeConsole(limit=12, servers=12)
    keeper = applier(console)
    assert not await steps(keeper, 2, 20)
    assert console.said == ["SET max_db_connections=2", "SET default_pool_size=2", "RECONNECT"]
    console.servers = 2
    assert await steps(keeper, 2, 1)
    assert console.said.count("RECONNECT") == 1


async def test_a_shrink_of_idle_room_needs_no_reconnect() -> None:
    console = FakeConsole(limit=12, servers=2)
    assert await steps(applier(console), 2, 5)
    assert "RECONNECT" not in console.said


async def test_each_shrink_has_its_own_reconnect() -> None:
    console = FakeConsole(limit=12, servers=12)
    keeper = applier(console)
    await steps(keeper, 6, 5)
    await steps(keeper, 2, 5)
    await steps(keeper, 6, 5)
    await steps(keeper, 2, 5)
    assert console.said.count("RECONNECT") == 4


async def test_a_server_of_any_state_counts() -> None:
    console = FakeConsole(limit=2, servers=0)
    assert (await applier(console).step(2)).confirmed

    async def one_too_many() -> Pool:
        return pool(2, login=1)

    console.pool = one_too_many  # type: ignore[method-assign]
    assert not (await applier(console).step(2)).confirmed


async def test_no_reconnect_while_a_ping_is_not_answered() -> None:
    console, logins, clock = FakeConsole(limit=12, servers=12), Logins(accepted=False), Clock()
    keeper = applier(console, logins, clock)
    await steps(keeper, 2, 100, clock)
    assert "RECONNECT" not in console.said
    assert 2 <= logins.asked <= 11, "once a second, not at each step"
    logins.accepted = True
    await steps(keeper, 2, 20, clock)
    assert console.said.count("RECONNECT") == 1


async def test_a_ping_without_an_answer_holds_nobody_up() -> None:
    console = FakeConsole(limit=12, servers=12)
    silence = asyncio.Event()

    async def never() -> bool:
        await silence.wait()
        return True

    keeper = Applier(console, never, Clock())  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await steps(keeper, 2, 10)
    assert "RECONNECT" not in console.said
    silence.set()
    await steps(keeper, 2, 5)
    assert console.said.count("RECONNECT") == 1


async def test_no_reconnect_after_clients_waited_though_servers_might_be_opened() -> None:
    console, clock = FakeConsole(limit=12, servers=5, waiting=9), Clock()
    keeper = applier(console, clock=clock)
    await steps(keeper, 12, 40, clock)
    await steps(keeper, 2, 20, clock)
    assert "RECONNECT" not in console.said
    clock.now += DOUBT_SECONDS
    await steps(keeper, 2, 20, clock)
    assert console.said.count("RECONNECT") == 1


async def test_a_reload_is_answered_by_setting_again_and_a_restart_by_a_new_reconnect() -> None:
    console = FakeConsole(limit=4, servers=4)
    keeper = applier(console)
    assert await steps(keeper, 4, 2)
    assert console.said == []
    console.limit = 1
    assert await steps(keeper, 4, 1)
    assert console.said == ["SET max_db_connections=4", "SET default_pool_size=4"]


async def test_a_pgbouncer_that_ignores_the_size_is_an_error_that_says_why() -> None:
    with pytest.raises(ConsoleError, match="pool_size"):
        await applier(FakeConsole(limit=1, deaf=True)).step(4)


def test_evidence_is_starvation_without_any_server_added_and_ends_with_doubt() -> None:
    evidence, limits = LoginEvidence(), Limits(8, 8, 3)
    for now, servers in ((0.0, 1), (2.0, 2), (4.0, 3), (6.0, 8), (8.0, 3), (10.9, 3)):
        evidence.see(now, limits, pool(servers, waiting=5))
        assert not evidence.refused(now), "slow growth, a full pool and a short dent are no refusals"
    evidence.see(8.0 + STARVED_SECONDS, limits, pool(3, waiting=5, login=1))
    assert evidence.refused(11.0)
    assert not evidence.refused(11.0 + DOUBT_SECONDS)
    evidence.see(40.0, limits, pool(3, waiting=0))
    assert not evidence.refused(40.0)
