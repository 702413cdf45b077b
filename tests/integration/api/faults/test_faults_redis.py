"""What is wrong with Redis is never wrong with a request: it costs a bounded wait, then reads of the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis

from tests.integration.api.faults.load import Load, until
from tests.integration.api.faults.proxy import Manner, Proxy
from tests.integration.api.faults.stack import ITEMS, Stack, Watched, signed_in
from tests.integration.api.server_process import serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

LONG_TTL = '{"item": 3600, "list": 1, "search": 1}'
"""Of items: an invalidation that is lost shows for an hour, not for as long as a test waits anyway."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(seeded: Stack) -> AsyncIterator[Proxy]:
    async with Proxy(seeded.redis.address) as between:
        yield between


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(seeded: Stack) -> AsyncIterator[Watched]:
    """Talks to Redis directly."""
    async with serving(seeded.settings(), API_CACHE_TTL_SECONDS=LONG_TTL) as server:
        yield await signed_in(server)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(seeded: Stack, proxy: Proxy) -> AsyncIterator[Watched]:
    """A second pod, which talks to the same Redis through the proxy."""
    async with serving(seeded.settings(redis_port=proxy.port), API_CACHE_TTL_SECONDS=LONG_TTL) as server:
        yield await signed_in(server)


@pytest_asyncio.fixture(loop_scope="module")
async def pods(stack: Stack, api: Watched, behind: Watched, proxy: Proxy) -> AsyncIterator[tuple[Watched, Watched]]:
    yield api, behind
    await proxy.heal()
    if stack.redis.running:
        with stack.redis.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("maxmemory", "64mb")


async def test_redis_killed_and_back(stack: Stack, api: Watched) -> None:
    """No request fails, none waits for long, no confirmed change is unseen; when Redis is back it is used again."""
    async with Load(api.url, api.headers, ITEMS) as load:
        await api.until_redis_is_used()
        await asyncio.to_thread(stack.redis.kill)
        await load.more(300)
        await asyncio.to_thread(stack.redis.start)
        await api.until_redis_is_used()
        await load.more(100)
    assert load.book.failures == []
    assert load.book.refused == 0
    assert load.book.slowest() < 10


@pytest.mark.long
async def test_redis_slow(pods: tuple[Watched, Watched], proxy: Proxy) -> None:
    """Redis answers after 500 ms: after a few of them nobody waits for it any more, but it is tried now and then."""
    _, behind = pods
    async with Load(behind.url, behind.headers, ITEMS) as load:
        await behind.until_redis_is_used()
        proxy.delay_seconds = 0.5
        started, asked = time.monotonic(), proxy.requests
        await load.more(300)
        seconds, asked = time.monotonic() - started, proxy.requests - asked
        assert asked < 150 + 10 * seconds, f"{asked} requests to Redis within {seconds:.1f} s for 300 answers"
        await proxy.heal()
        await behind.until_redis_is_used()
        await load.more(100)
    assert load.book.failures == []
    assert load.book.refused == 0


@pytest.mark.long
async def test_redis_accepts_and_never_answers(pods: tuple[Watched, Watched], proxy: Proxy) -> None:
    """The same for a Redis that takes connections and requests and says nothing."""
    _, behind = pods
    async with Load(behind.url, behind.headers, ITEMS) as load:
        await behind.until_redis_is_used()
        proxy.manner = Manner.SILENT
        proxy.cut()
        started, accepted = time.monotonic(), proxy.accepted
        await load.more(500)
        seconds, accepted = time.monotonic() - started, proxy.accepted - accepted
        assert accepted < 100 + 10 * seconds, f"{accepted} connections to Redis within {seconds:.1f} s"
        assert load.book.slowest(started) < 10
        await proxy.heal()
        await behind.until_redis_is_used()
    assert load.book.failures == []
    assert load.book.refused == 0


@pytest.mark.long
async def test_a_change_made_while_redis_is_out_of_reach(pods: tuple[Watched, Watched], proxy: Proxy) -> None:
    """The pod that changed an item never shows the old one again; the others show the new one soon after the network
    heals, for good, though Redis held the old one for an hour more."""
    other, cut_off = pods
    item = ITEMS[-1]
    old = await other.price(item)
    assert await cut_off.price(item) == old
    await proxy.refuse()
    new = old + 1
    assert await cut_off.change_price(item, new) == 200
    for _ in range(20):
        assert await cut_off.price(item) == new
    await proxy.heal()

    async def both_know() -> bool:
        assert await cut_off.price(item) == new
        return await other.price(item) == new

    await until(both_know, "the invalidation that was owed is delivered")
    for _ in range(30):
        assert await cut_off.price(item) == new
        assert await other.price(item) == new
        await asyncio.sleep(0.05)  # over the life in memory, so that Redis is asked again


@pytest.mark.long
async def test_redis_full(stack: Stack, pods: tuple[Watched, Watched]) -> None:
    """Redis refuses to write (noeviction, full): no request fails, and a change shows in every pod all the same."""
    api, behind = pods
    item = ITEMS[0]
    old = await api.price(item)
    assert await behind.price(item) == old
    with stack.redis.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.OutOfMemoryError):
            client.set("x", "y")
    new = old + 1
    assert await api.change_price(item, new) == 200

    async def both_know() -> bool:
        assert await api.price(item) == new
        return await behind.price(item) == new

    await until(both_know, "the change shows in the other pod while Redis is full")
    async with Load(api.url, api.headers, ITEMS) as load:
        await load.more(200)
        with stack.redis.client() as client:
            client.config_set("maxmemory", "64mb")
        await api.until_redis_is_used()
    assert load.book.failures == []
    assert load.book.refused == 0


@pytest.mark.long
async def test_redis_flushed(stack: Stack, pods: tuple[Watched, Watched]) -> None:
    """Everything is gone from Redis, again and again: no request fails and no old answer comes back."""
    api, _ = pods
    async with Load(api.url, api.headers, ITEMS, writers=3) as load:
        for _ in range(10):
            await load.more(60)
            await asyncio.to_thread(stack.redis.flush)
        await api.until_redis_is_used()
    assert load.book.failures == []
    assert load.book.refused == 0


@pytest.mark.long
async def test_redis_with_another_password(stack: Stack, pods: tuple[Watched, Watched]) -> None:
    """Redis refuses the password for a while: as if it were down, and back by itself."""
    api, _ = pods
    async with Load(api.url, api.headers, ITEMS) as load:
        await api.until_redis_is_used()
        with stack.redis.client() as client:
            client.config_set("requirepass", "another")
            client.client_kill_filter(_type="normal", skipme=True)
            await load.more(300)
            client.config_set("requirepass", stack.redis.password)
        await api.until_redis_is_used()
    assert load.book.failures == []
    assert load.book.refused == 0
