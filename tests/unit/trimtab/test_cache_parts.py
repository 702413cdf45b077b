"""The small parts of the cache: entries, the in-process tier, the breaker, single flight."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextvars import ContextVar

import pytest

from trimtab.cache.breaker import CircuitBreaker
from trimtab.cache.entry import Entry, decode
from trimtab.cache.flights import SingleFlight
from trimtab.cache.groups import CacheGroup
from trimtab.cache.held import Held
from trimtab.cache.memory import ENTRY_OVERHEAD_BYTES, SECOND_CHANCES, MemoryTier


@pytest.mark.parametrize("payload", [b"", b"{}", bytes(range(256)), None])
def test_an_entry_survives_encoding(payload: bytes | None) -> None:
    entry = Entry(payload, 1_700_000_000_123, 60_000, bytes(range(16)), 1234)
    assert decode(entry.encode()) == entry


@pytest.mark.parametrize("data", [b"", b"T", b"x" * 40])
def test_foreign_bytes_are_no_entry(data: bytes) -> None:
    assert decode(data) is None


def held_of(size: int) -> Held:
    return Held(Entry(b"x" * size, 0, 1), 0.0)


def held_keys(tier: MemoryTier, group: str) -> list[str]:
    return sorted(tier.of(group))


def test_memory_is_bounded_by_entries_least_recently_used_first() -> None:
    tier = MemoryTier(max_entries=2, max_bytes=10**6)
    for key in ("a", "b"):
        tier.put("g", key, held_of(1))
    tier.of("g")["a"].used = True
    tier.put("g", "c", held_of(1))
    assert held_keys(tier, "g") == ["a", "c"]
    tier.put("g", "d", held_of(1))
    assert held_keys(tier, "g") == ["a", "d"] or held_keys(tier, "g") == ["c", "d"], "a had its second chance"
    assert tier.bytes_of("g") == 2 * (1 + ENTRY_OVERHEAD_BYTES)


def test_an_eviction_looks_at_a_bounded_number_of_entries() -> None:
    tier = MemoryTier(max_entries=1000, max_bytes=10**9)
    for number in range(1000):
        tier.put("g", str(number), held_of(1))
        tier.of("g")[str(number)].used = True
    tier.put("g", "new", held_of(1))
    assert len(tier) == 1000
    assert sum(not held.used for held in tier.of("g").values()) == 1 + SECOND_CHANCES


def test_memory_is_bounded_by_bytes_and_counts_them_by_group() -> None:
    tier = MemoryTier(max_entries=1000, max_bytes=20_000)
    for number in range(50):
        tier.put(f"g{number % 2}", str(number), held_of(1000))
        assert tier.bytes_of("g0") + tier.bytes_of("g1") <= 20_000
    held = len(tier)
    assert held == 20_000 // (1000 + ENTRY_OVERHEAD_BYTES) == len(tier.of("g0")) + len(tier.of("g1"))
    tier.put("g0", "giant", held_of(30_000))
    assert "giant" not in tier.of("g0")
    assert len(tier) == held, "what does not fit evicts nobody"
    tier.drop_group("g0")
    assert tier.bytes_of("g0") == 0
    tier.put("g1", "49", held_of(10))
    tier.drop("g1", "49")
    tier.drop("g1", "49")
    assert tier.bytes_of("g1") == len(tier) * (1000 + ENTRY_OVERHEAD_BYTES)
    tier.clear()
    assert (len(tier), tier.bytes_of("g1"), tier.of("g1")) == (0, 0, {})


def test_the_overhead_of_an_entry_is_what_it_takes() -> None:
    tier = MemoryTier(max_entries=10**6, max_bytes=10**9)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(5000):
        tier.put("g", f"key {number}", Held(Entry(bytes([number % 256]) * 1000, 10**12 + number, 10**6), 1e9 + number))
        tier.of("g")[f"key {number}"].bind(60, 0, 1)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.75 * tier.bytes_of("g") < after - before < 1.1 * tier.bytes_of("g")


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


async def test_a_flight_that_is_over_is_not_joined_before_it_has_landed() -> None:
    """Its result may be one that those who come now cannot use: they would ask again and again without a pause."""
    flights: SingleFlight[str, int] = SingleFlight()
    count = 0

    async def work() -> int:
        nonlocal count
        count += 1
        return count

    async def joins_at_once() -> list[int]:
        return [await flights.run("k", work) for _ in range(3)]

    assert flights.start("k", work)
    assert not flights.start("k", work)
    results = await asyncio.gather(*(joins_at_once() for _ in range(3)))
    assert all(first < second < third for first, second, third in results)


async def test_what_is_started_runs_outside_the_request_that_caused_it() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    seen: list[str] = []
    flights: SingleFlight[str, None] = SingleFlight()

    async def work() -> None:
        seen.append(request.get())

    request.set("mine")
    flights.start("background", work)
    await flights.run("foreground", work)
    assert seen == ["none", "mine"]
