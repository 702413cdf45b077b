"""The times of a cached answer: life, window, bound of this process, early refresh; leases and pauses."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from trimtab.cache import CacheGroup, Held
from trimtab.cache.entry import Entry
from trimtab.cache.leases import (
    FIRST_LEASE_SECONDS,
    MAX_LEASE_SECONDS,
    MAX_PAUSE_SECONDS,
    MIN_LEASE_SECONDS,
    MakingTime,
)
from trimtab.cache.refresh import earliest, is_drawn
from trimtab.knobs.document import MAX_TTL_SECONDS


def held(payload: bytes | None = b"x", *, life: float = 10, making: float = 0, written: float = 100) -> Held:
    entry = Entry(payload, int(1000 * written), int(1000 * life), making_milliseconds=int(1000 * making))
    return Held(entry, fetched=100.0)


def test_the_shorter_of_its_life_and_the_ttl_in_force_holds() -> None:
    answer = held(life=10)
    answer.bind(60, 0, math.inf)
    assert answer.fresh_until == 110, "a raised TTL does not lengthen its life"
    answer.bind(4, 0, math.inf)
    assert answer.fresh_until == 104 == answer.stale_until, "a lowered TTL binds it"


def test_the_window_follows_the_life_and_the_bound_of_this_process_cuts_both() -> None:
    answer = held(life=10)
    answer.bind(60, 5, 2)
    assert (answer.fresh_until, answer.stale_until, answer.here_until, answer.due) == (110, 115, 102, 102)
    nothing = held(None, life=10)
    nothing.bind(60, 5, math.inf)
    assert nothing.stale_until == 110 == nothing.due, "what does not exist has no window and no early refresh"


def test_a_pod_whose_clock_is_ahead_makes_no_answer_live_longer() -> None:
    answer = held(written=5000, life=10)
    answer.bind(60, 0, math.inf)
    assert answer.fresh_until == 110


def test_reads_draw_as_often_as_the_formula_says() -> None:
    """exp(-(end - t)/delta) of the reads, by the quantiles of the draw."""
    for rest, making in ((0.5, 0.25), (1.0, 0.25), (0.1, 1.0)):
        share = sum(is_drawn(10 - rest, 10, making, (i + 0.5) / 10_000) for i in range(10_000)) / 10_000
        assert share == pytest.approx(math.exp(-rest / making), abs=2e-4)
    assert is_drawn(10, 10, 0, 1.0), "at the end everybody"


def test_nobody_draws_before_the_horizon_or_in_the_first_half() -> None:
    assert earliest(110, 10, 0.1) == pytest.approx(108.4)
    assert earliest(110, 10, 5) == 105
    assert not is_drawn(108.4, 110, 0.1, 1e-6)


def test_a_lease_lives_twice_as_long_as_a_making_takes_within_bounds() -> None:
    making = MakingTime()
    assert making.lease_seconds == FIRST_LEASE_SECONDS
    for _ in range(100):
        making.add(0.001)
    assert making.lease_seconds == MIN_LEASE_SECONDS
    for _ in range(100):
        making.add(1.5)
    assert making.lease_seconds == pytest.approx(3.0, rel=0.1)
    steady = making.lease_seconds
    for seconds in itertools.islice(itertools.cycle((0.5, 2.5)), 100):
        making.add(seconds)
    assert making.lease_seconds > 2 * steady, "what varies is given more time"
    for _ in range(100):
        making.add(300)
    assert making.lease_seconds == MAX_LEASE_SECONDS


def test_pauses_begin_at_half_a_making_and_grow_to_a_bound() -> None:
    making = MakingTime()
    for _ in range(50):
        making.add(0.04)
    pauses = list(itertools.islice(making.pauses(), 30))
    assert 0.75 * 0.02 <= pauses[0] <= 1.25 * 0.02
    assert max(pauses) <= 1.25 * MAX_PAUSE_SECONDS
    assert min(pauses[10:]) >= 0.75 * MAX_PAUSE_SECONDS


@pytest.mark.parametrize("setting", ["l1_seconds", "negative_seconds", "stale_seconds"])
@pytest.mark.parametrize("seconds", [-1, MAX_TTL_SECONDS + 1, math.nan])
def test_settings_out_of_bounds_are_refused_by_name(setting: str, seconds: float) -> None:
    settings: dict[str, Any] = {setting: seconds}
    with pytest.raises(ValueError, match=f"{setting} of the cache group item is {seconds} s, must be 0 to"):
        CacheGroup("item", ttl_seconds=5, **settings)
