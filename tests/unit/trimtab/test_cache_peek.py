"""What may be answered from memory alone, and what is left to `get`."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from trimtab.cache import Cache, CacheGroup, Invalidation

ITEM = CacheGroup("item", ttl_seconds=10, invalidation=Invalidation.ON_WRITE, l1_seconds=1, negative_seconds=2)
SEARCH = CacheGroup("search", ttl_seconds=10, stale_seconds=4)


class Scene:
    """A cache without Redis, a clock that stands, and the making of an answer."""

    def __init__(self, audit_share: float = 0.0) -> None:
        self.now = 1000.0
        self.answer: bytes | None = b"answer"
        self.made = 0
        self.gate: asyncio.Event | None = None
        self.cache = Cache([ITEM, SEARCH], clock=lambda: self.now, audit_share=audit_share)

    async def load(self) -> bytes | None:
        self.made += 1
        if self.gate is not None:
            await self.gate.wait()
        return self.answer

    async def get(self, group: str, key: str = "1") -> bytes | None:
        return await self.cache.get(group, key, self.load)

    def peek(self, group: str, key: str = "1") -> bytes | None:
        held = self.cache.peek(group, key)
        return None if held is None else held.payload


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_is_fresh_in_memory_is_given_and_counted_as_a_hit(scene: Scene) -> None:
    assert scene.cache.peek("search", "1") is None
    assert not scene.cache.stats.requests, "a miss is counted by get, which is asked next"
    await scene.get("search")
    assert scene.peek("search") == b"answer"
    assert scene.cache.stats.requests == {("search", "memory", "miss"): 1, ("search", "memory", "hit"): 1}


async def test_that_there_is_nothing_is_an_answer_too(scene: Scene) -> None:
    scene.answer = None
    await scene.get("item")
    scene.now += 0.5
    held = scene.cache.peek("item", "1")
    assert held is not None
    assert held.payload is None
    assert scene.cache.stats.requests["item", "memory", "negative"] == 1


@pytest.mark.parametrize(("group", "seconds"), [("item", 1), ("search", 10)])
async def test_it_ends_with_the_bound_of_this_process_or_the_ttl(scene: Scene, group: str, seconds: float) -> None:
    await scene.get(group)
    scene.now += 0.89 * seconds  # the jitter takes up to a tenth of a life
    assert scene.peek(group) == b"answer"
    scene.now += 0.11 * seconds
    assert scene.cache.peek(group, "1") is None


async def test_a_lowered_ttl_binds_at_once_and_a_raised_one_gives_back_no_more_than_the_life(scene: Scene) -> None:
    await scene.get("search")
    scene.now += 5
    scene.cache.set_ttl("search", 5)
    assert scene.cache.peek("search", "1") is None
    scene.cache.set_ttl("search", 600)
    assert scene.peek("search") == b"answer"
    scene.now += 5
    assert scene.cache.peek("search", "1") is None


async def test_stale_answers_are_given_only_while_they_are_made_anew(scene: Scene) -> None:
    await scene.get("search")
    scene.now += 11
    assert scene.cache.peek("search", "1") is None
    scene.gate, scene.answer = asyncio.Event(), b"newer"
    assert await scene.get("search") == b"answer"
    assert scene.peek("search") == b"answer"
    assert scene.cache.stats.requests["search", "memory", "stale"] == 2
    scene.now += 3
    assert scene.cache.peek("search", "1") is None, "never beyond the window"
    waiting = asyncio.create_task(scene.get("search"))
    await asyncio.sleep(0)
    scene.gate.set()
    assert await waiting == b"newer"
    assert scene.made == 2, "who came after the window joined the refresh"


async def test_a_write_here_is_seen_at_once(scene: Scene) -> None:
    for forget in (scene.cache.invalidate("item", "1"), scene.cache.invalidate_group("item")):
        await scene.get("item")
        assert scene.peek("item") == b"answer"
        await forget
        assert scene.cache.peek("item", "1") is None


async def test_a_share_of_the_hits_is_left_to_get() -> None:
    scene = Scene(audit_share=0.01)
    await scene.get("search")
    left = [number for number in range(20_000) if scene.cache.peek("search", "1") is None]
    assert 120 <= len(left) <= 290, "1% in expectation, 14 in standard deviation"
    gaps = {second - first for first, second in itertools.pairwise(left)}
    assert len(gaps) > 20, "at no rhythm"
    await scene.cache.close()


async def test_an_unknown_group_names_the_declared_ones(scene: Scene) -> None:
    with pytest.raises(KeyError, match="no cache group 'items'; declared are item, search"):
        scene.cache.peek("items", "1")
