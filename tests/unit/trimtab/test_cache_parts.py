"""The small parts of the cache: entries, the in-process tier, the breaker, single flight."""

from __future__ import annotations

import asyncio

import pytest

from trimtab.cache.breaker import CircuitBreaker
from trimtab.cache.entry import NO_VERSION, Entry, decode
from trimtab.cache.flights import SingleFlight
from trimtab.cache.groups import CacheGroup
from trimtab.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryTier


@pytest.mark.parametrize("payload", [b"", b"{}", bytes(range(256)), None])
def test_an_entry_survives_encoding(payload: bytes | None) -> None:
    entry = Entry(payload, 1_700_000_000_123, 60_000, bytes(range(16)))
    assert decode(entry.encode()) == entry


@pytest.mark.parametrize("data", [b"", b"T", b"x" * 40])
def test_foreign_bytes_are_no_entry(data: bytes) -> None:
    assert decode(data) is None


def test_an_entry_is_fresh_below_the_shorter_of_its_life_and_the_ttl_in_force() -> None:
    entry = Entry(b"", 1000, 500, NO_VERSION)
    assert entry.is_fresh(1499, 10_000)
    assert not entry.is_fresh(1500, 10_000), "a raised TTL does not lengthen its life"
    assert entry.is_fresh(1099, 100)
    assert not entry.is_fresh(1100, 100), "a lowered TTL binds it"


def entry_of(size: int) -> Entry:
    return Entry(b"x" * size, 0, 1)


def test_memory_is_bounded_by_entries_least_recently_used_first() -> None:
    tier = MemoryTier(max_entries=2, max_bytes=10**6)
    for key in ("a", "b"):
        tier.put(("g", key), entry_of(1), 0)
    tier.get(("g", "a"))
    tier.put(("g", "c"), entry_of(1), 0)
    assert [tier.get(("g", key)) is not None for key in "abc"] == [True, False, True]
    assert tier.bytes_of("g") == 2 * (1 + ENTRY_OVERHEAD_BYTES)


def test_memory_is_bounded_by_bytes_and_counts_them_by_group() -> None:
    tier = MemoryTier(max_entries=1000, max_bytes=10_000)
    for number in range(50):
        tier.put((f"g{number % 2}", str(number)), entry_of(1000), number)
        assert tier.bytes_of("g0") + tier.bytes_of("g1") <= 10_000
    held = len(tier)
    assert held == 10_000 // (1000 + ENTRY_OVERHEAD_BYTES)
    tier.put(("g0", "giant"), entry_of(20_000), 0)
    assert tier.get(("g0", "giant")) is None
    assert len(tier) == held, "what does not fit evicts nobody"
    tier.drop_group("g0")
    assert tier.bytes_of("g0") == 0
    tier.put(("g1", "49"), entry_of(10), 0)
    tier.drop(("g1", "49"))
    tier.drop(("g1", "49"))
    assert tier.bytes_of("g1") == len(tier) * (1000 + ENTRY_OVERHEAD_BYTES)


def test_the_breaker_opens_after_failures_in_a_row_and_closes_by_a_trial() -> None:
    breaker = CircuitBreaker(failures=3, open_seconds=1)
    for _ in range(2):
        breaker.failed(10)
    breaker.succeeded()
    for _ in range(3):
        assert breaker.allows(10)
        breaker.failed(10)
    assert breaker.is_open
    assert not breaker.allows(10.9)
    assert breaker.allows(11), "a trial"
    assert not breaker.allows(11.5), "one at a time"
    breaker.failed(11.5)
    assert not breaker.allows(12.4)
    assert breaker.allows(12.5)
    breaker.succeeded()
    assert breaker.allows(12.5)


async def test_single_flight_shares_work_results_and_errors() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    started = 0
    go = asyncio.Event()

    async def work() -> int:
        nonlocal started
        started += 1
        await go.wait()
        if started == 2:
            raise ValueError("second")
        return started

    first = [asyncio.create_task(flights.run("k", work)) for _ in range(5)]
    await asyncio.sleep(0)
    first[0].cancel()
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*first[1:]) == [1, 1, 1, 1], "the leader's cancellation harms nobody"
    second = [asyncio.create_task(flights.run("k", work)) for _ in range(3)]
    results = await asyncio.gather(*second, return_exceptions=True)
    assert [str(result) for result in results] == ["second"] * 3
    assert started == 2


async def test_who_comes_after_leave_does_not_join_the_flight() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    go = asyncio.Event()

    async def old() -> str:
        await go.wait()
        return "old"

    async def new() -> str:
        return "new"

    before = asyncio.create_task(flights.run("k", old))
    await asyncio.sleep(0)
    flights.leave("k")
    assert await flights.run("k", new) == "new"
    go.set()
    assert await before == "old"


def test_a_group_with_a_ttl_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="the TTL of the cache group item is 0 s, must be 1 to"):
        CacheGroup("item", ttl_seconds=0)
