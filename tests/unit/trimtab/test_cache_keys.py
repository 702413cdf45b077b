"""The joint histogram of a group's keys, against known traffic."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest

from trimtab.cache import Cache, CacheGroup
from trimtab.cache.keys import MAX_SAMPLED, WINDOW_SECONDS, KeyHistogram, KeySample

KEYS = 30_000
READS = 300_000


def counted(sample: KeySample, now: float) -> KeyHistogram:
    histogram = sample.histogram(now)
    assert histogram is not None
    return histogram


def touch(sample: KeySample, hashed: int, now: float, *, written: bool = False) -> None:
    if not hashed & sample.mask:
        (sample.write if written else sample.read)(hashed, now)


def bucket(count: int) -> int:
    return 1 << int(math.log2(count)) if count else 0


def test_few_keys_are_counted_exactly_by_reads_and_writes() -> None:
    sample = KeySample()
    traffic = {1: (1, 0), 2: (3, 1), 3: (4, 2), 4: (7, 3), 5: (0, 5), 6: (8, 0)}
    for hashed, (reads, writes) in traffic.items():
        for _ in range(reads):
            touch(sample, hashed, 10.0)
        for _ in range(writes):
            touch(sample, hashed, 20.0, written=True)
    assert sample.histogram(10 + WINDOW_SECONDS - 1) is None, "no window is complete"
    histogram = counted(sample, 10 + WINDOW_SECONDS)
    assert histogram.keys == {(1, 0): 1, (2, 1): 1, (4, 2): 2, (0, 4): 1, (8, 0): 1}
    assert histogram.window_seconds == WINDOW_SECONDS


def test_traffic_like_zipf_is_estimated_within_the_stated_error() -> None:
    """Shared by 2 ln: the number of keys within 4 standard errors of 3.2%, each large bucket within 4 of its own."""
    dice = np.random.default_rng(3)
    draws = np.minimum(dice.zipf(1.1, READS), KEYS)
    writes = dice.integers(1, KEYS, READS // 20)
    hashes = [random.Random(number).getrandbits(61) for number in range(KEYS + 1)]
    sample = KeySample()
    for key in draws:
        touch(sample, hashes[key], 1.0)
    for key in writes:
        touch(sample, hashes[key], 1.0, written=True)
    read, written = Counter(draws.tolist()), Counter(writes.tolist())
    truth = Counter((bucket(read[key]), bucket(written[key])) for key in read.keys() | written.keys())
    histogram = counted(sample, 1.0 + WINDOW_SECONDS)
    assert sample.mask > 0, "the traffic is too small to try the sampling"
    assert len(sample._reads) + len(sample._writes) <= MAX_SAMPLED
    keys = sum(truth.values())
    assert sum(histogram.keys.values()) == pytest.approx(keys, rel=4 * 0.032)
    factor = sample.mask + 1
    large = {where: count for where, count in truth.items() if count >= 20 * factor}
    assert len(large) >= 4
    for where, count in large.items():
        assert histogram.keys.get(where, 0) == pytest.approx(count, rel=4 * math.sqrt(factor / count)), where


def test_the_sample_is_bounded_and_follows_the_number_of_keys_down_again() -> None:
    sample, now = KeySample(), 0.0
    for hashed in range(200_000):
        touch(sample, hashed, now)
    assert len(sample._reads) <= MAX_SAMPLED
    masks = []
    for _ in range(12):
        now += WINDOW_SECONDS
        for hashed in range(100):
            touch(sample, hashed, now)
        masks.append(sample.mask)
    assert masks == sorted(masks, reverse=True)
    assert masks[-1] == 0
    assert sum(counted(sample, now + WINDOW_SECONDS).keys.values()) == 100


def test_a_window_that_nobody_turned_is_over_all_the_same() -> None:
    sample = KeySample()
    touch(sample, 8, 100.0)
    for _ in range(2):  # asking changes nothing
        assert counted(sample, 100 + WINDOW_SECONDS).keys == {(1, 0): 1}
        assert counted(sample, 100 + 2 * WINDOW_SECONDS).keys == {}
    touch(sample, 8, 100 + 2.5 * WINDOW_SECONDS)
    assert counted(sample, 101 + 2.5 * WINDOW_SECONDS).keys == {}, "the last window was empty"


async def test_the_cache_counts_lookups_and_invalidations_and_keeps_no_key() -> None:
    now = 1000.0
    cache = Cache([CacheGroup("item", ttl_seconds=600), CacheGroup("list", ttl_seconds=600)], clock=lambda: now)

    async def load() -> bytes:
        return b"x"

    assert cache.key_histogram("item") is None
    for key, reads in (("secret a", 1), ("secret b", 5), ("secret c", 5)):
        for number in range(reads):
            if number % 2 == 0 or cache.peek("item", key) is None:
                await cache.get("item", key, load)
    await cache.invalidate("item", "secret c")
    now += WINDOW_SECONDS
    histogram = cache.key_histogram("item")
    assert histogram is not None
    assert histogram.keys == {(1, 0): 1, (4, 0): 1, (4, 1): 1}
    assert cache.key_histogram("list") is None
    sample = cache._states["item"].keys
    assert not any(isinstance(key, str) for key in [*sample._reads, *sample._writes])
