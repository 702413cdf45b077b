"""No slow reader undoes a write: readers, writers, refreshes and audits of a few keys in three pods, at random.

A write is a new number for a key, then `invalidate`. Whoever asks after that returned gets that number or a later one:
in the pod that wrote at once, elsewhere after l1_seconds. Checked for every answer, with a clock that runs fast, so
that entries expire, are refreshed early, and are served from their window all the time.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial

import pytest

from tests.integration.trimtab.cache.pods import Pods
from trimtab.cache import Cache, CacheGroup, Invalidation

SPEED = 10.0
GROUP = CacheGroup("item", ttl_seconds=2, invalidation=Invalidation.ON_WRITE, l1_seconds=0.5, stale_seconds=2)


class History:
    """What was written to one key, and who must know of it since when."""

    def __init__(self) -> None:
        self.number = 0
        self.told: list[tuple[float, Cache, int]] = []

    def least(self, cache: Cache, now: float) -> int:
        """The oldest number that an answer to this pod may still have."""
        return max(
            (number for at, writer, number in self.told if writer is cache or at + GROUP.l1_seconds <= now), default=0
        )


async def agitate(pods: Pods, *, seed: int, checks: int) -> dict[str, int]:
    """Readers and writers until so many answers were checked; gives the requests by tier and result."""
    dice = random.Random(seed)
    pods.clock.rate = SPEED
    caches = [pods.new(groups=[GROUP], audit_share=0.2) for _ in range(3)]
    histories = {key: History() for key in "ab"}
    checked = 0

    async def load(key: str) -> bytes | None:
        row = histories[key].number
        await asyncio.sleep(dice.choice((0, 0.002, 0.02, 0.05)))
        return str(row).encode()

    async def write() -> None:
        while checked < checks:
            history, cache = histories[key := dice.choice("ab")], dice.choice(caches)
            history.number += 1
            number = history.number
            if dice.random() < 0.9:
                await cache.invalidate("item", key)
                history.told.append((pods.clock(), cache, number))
            else:
                numbers = {each: histories[each].number for each in histories}
                await cache.invalidate_group("item")
                for each, latest in numbers.items():
                    histories[each].told.append((pods.clock(), cache, latest))
            await asyncio.sleep(dice.choice((0, 0, 0.005, 0.02, 0.05, 0.4)))

    async def read() -> None:
        nonlocal checked
        while checked < checks:
            key, cache = dice.choice("ab"), dice.choice(caches)
            if dice.random() < 0.02:
                cache.clear_memory()
            least = histories[key].least(cache, pods.clock())
            held = cache.peek("item", key)
            answer = held.payload if held is not None else await cache.get("item", key, partial(load, key))
            assert answer is not None
            assert int(answer) >= least, f"key {key}: {int(answer)} was given, {least} was written"
            checked += 1
            await asyncio.sleep(dice.random() * 0.004)

    async with asyncio.TaskGroup() as tasks:
        for work in (write(), *(read() for _ in range(12))):
            tasks.create_task(work)
    for key, history in histories.items():
        await caches[0].invalidate("item", key)
        assert await pods.new(groups=[GROUP]).get("item", key, partial(load, key)) == str(history.number).encode()
    counts: dict[str, int] = {}
    for cache in caches:
        for (_, tier, result), count in cache.stats.requests.items():
            counts[f"{tier} {result}"] = counts.get(f"{tier} {result}", 0) + count
    return counts


async def test_no_old_answer_after_a_write(pods: Pods) -> None:
    counts = await agitate(pods, seed=11, checks=4000)
    assert min(counts[kind] for kind in ("memory hit", "redis hit", "redis miss")) > 0
    assert counts.get("memory stale", 0) + counts.get("redis stale", 0) > 0, "the window was tried too"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_no_old_answer_after_a_write_in_a_long_run(pods: Pods, seed: int) -> None:
    await agitate(pods, seed=seed, checks=30_000)
