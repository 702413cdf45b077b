"""One maker in all pods: the others wait for its answer, no longer than a lease lives, and Redis is asked sparingly."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.trimtab.cache.pods import PATIENT_SECONDS, Database, Pods, until
from trimtab.cache.redis_tier import Found, RedisTier

PODS = 4
CALLERS = 25


async def until_scripts_run(pods: Pods, scripts: int) -> None:
    await until(lambda: pods.scripts_run() >= scripts)


async def test_callers_in_all_pods_wait_for_one_making(pods: Pods, database: Database) -> None:
    caches = [pods.new() for _ in range(PODS)]
    for group, key in (("search", "1"), ("item", "1")):
        database.rows["1"] = group.encode()
        database.reads, database.gate = 0, asyncio.Event()
        scripts = pods.scripts_run()
        callers = [
            asyncio.create_task(cache.get(group, key, database.load(key))) for cache in caches for _ in range(CALLERS)
        ]
        # All have asked for the lease, and the others have asked again.
        await until_scripts_run(pods, scripts + 3 * PODS)
        database.gate.set()
        assert await asyncio.gather(*callers) == [group.encode()] * len(callers)
        assert database.reads == 1


async def test_a_maker_that_fails_gives_its_lease_back(pods: Pods, database: Database) -> None:
    first, second = pods.new(), pods.new()
    for group in ("search", "item"):
        database.rows["1"], database.fails = b"one", ConnectionError("reset")
        with pytest.raises(ConnectionError):
            await first.get(group, "1", database.load("1"))
        database.fails = None
        scripts = pods.scripts_run()
        assert await second.get(group, "1", database.load("1")) == b"one"
        assert pods.scripts_run() == scripts + 2, "the lease at the first asking, then the storing"
        assert not await pods.client(first).exists(f"trimtab:lease:{group}:1")


async def test_a_maker_that_dies_delays_the_others_no_longer_than_its_lease_lives(
    pods: Pods, database: Database
) -> None:
    cache = pods.new()
    database.rows = {"0": b"zero", "1": b"one", "2": b"two"}
    await cache.get("search", "0", database.load("0"))  # the time of making is known: leases of 1 s
    dead = RedisTier(pods.client(cache), wait_seconds=PATIENT_SECONDS)
    for key, lease_seconds in (("1", 0.3), ("2", 1000.0)):
        found = await dead.acquire("search", key, versioned=False, token=b"the dead", lease_seconds=lease_seconds)
        assert isinstance(found, Found)
        assert found.is_leased
        scripts = pods.scripts_run()
        assert await cache.get("search", key, database.load(key)) == database.rows[key]
        assert pods.scripts_run() - scripts < 30, "it looked with growing pauses"
    assert await pods.client(cache).get("trimtab:lease:search:2") == b"the dead", "nobody takes the lease of another"
    assert await pods.client(cache).exists("trimtab:entry:search:2"), "but what was made without it is stored"
    assert database.reads == 3


async def test_a_lease_that_was_lost_is_not_taken_from_the_next_holder(pods: Pods) -> None:
    tier = RedisTier(pods.client(pods.new()), wait_seconds=PATIENT_SECONDS)
    for versioned in (False, True):
        group = "item" if versioned else "search"

        async def ask(token: bytes, group: str = group, versioned: bool = versioned) -> Found:
            found = await tier.acquire(group, "1", versioned=versioned, token=token, lease_seconds=60)
            assert isinstance(found, Found)
            return found

        assert (await ask(b"lost____")).is_leased
        await pods.client(pods.new()).delete(f"trimtab:lease:{group}:1")  # it expired
        assert (await ask(b"next____")).is_leased
        await tier.release(group, "1", b"lost____")
        assert not (await ask(b"third___")).is_leased
        await tier.release(group, "1", b"next____")
        assert (await ask(b"third___")).is_leased
