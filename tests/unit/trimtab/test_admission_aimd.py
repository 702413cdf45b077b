"""The AIMD rule, without a clock: when the limit is lowered, when it is raised, and when it is left alone."""

from __future__ import annotations

import pytest

from trimtab.admission.aimd import FORGET_SECONDS, Aimd, AimdRule
from trimtab.admission.retry_after import LONGEST_SECONDS, retry_after_seconds

SLOW, FAST = 3.0, 0.1


class Scene:
    """A rule with a ceiling of 64, and the seconds that pass."""

    def __init__(self, ceiling: int = 64, rule: AimdRule | None = AimdRule()) -> None:
        self.aimd = Aimd(ceiling, rule)
        self.now = 1000.0

    def ends(self, number: int, seconds: float, **how: bool) -> None:
        """So many requests end, each admitted `seconds` ago, a millisecond apart."""
        for _ in range(number):
            self.now += 0.001
            self.aimd.completed(self.now - seconds, self.now, **how)

    def window(self, seconds: float) -> int:
        """A whole window in which somebody had to wait, of requests admitted after the last change: the limit then."""
        self.aimd.binds(self.now)
        self.now += seconds
        self.ends(max(20, self.aimd.limit), seconds)
        return self.aimd.limit


def test_more_than_half_slow_lowers_the_limit_as_soon_as_it_is_certain() -> None:
    scene = Scene()
    scene.aimd.binds(scene.now)
    scene.ends(20, SLOW)
    assert scene.aimd.limit == 64
    scene.ends(1, SLOW)
    assert scene.aimd.limit == 32
    scene = Scene(ceiling=10)
    scene.aimd.binds(scene.now)
    scene.ends(10, SLOW)
    assert scene.aimd.limit == 10
    scene.ends(1, SLOW)
    assert scene.aimd.limit == 5


@pytest.mark.parametrize(("seconds", "limit"), [(1.6, 51), (2.0, 48), (3.0, 32), (6.0, 16), (60.0, 16)])
def test_it_is_lowered_by_as_much_as_requests_take_too_long_within_bounds(seconds: float, limit: int) -> None:
    scene = Scene()
    scene.aimd.binds(scene.now)
    scene.ends(21, seconds)
    assert scene.aimd.limit == limit


def test_half_of_a_window_slow_is_no_reason() -> None:
    scene = Scene()
    scene.aimd.binds(scene.now)
    scene.ends(32, FAST)
    scene.ends(32, SLOW)
    assert scene.aimd.limit == 64


def test_a_limit_that_does_not_bind_is_left_alone() -> None:
    scene = Scene()
    scene.ends(1000, SLOW)
    assert (scene.aimd.limit, scene.aimd.watching) == (64, False)


def test_a_lowered_limit_that_binds_no_more_is_left_alone() -> None:
    scene = Scene()
    scene.window(SLOW)
    scene.now += SLOW
    scene.ends(1000, SLOW)
    assert (scene.aimd.limit, scene.aimd.watching) == (32, False)


def test_who_was_admitted_before_a_change_does_not_count_after_it() -> None:
    scene = Scene()
    scene.aimd.binds(scene.now)
    scene.ends(21, SLOW)
    scene.aimd.binds(scene.now)
    scene.ends(43, SLOW)
    assert scene.aimd.limit == 32, "one decrease a round trip"
    scene.now += 10
    scene.ends(17, SLOW)
    assert scene.aimd.limit == 16


def test_the_limit_is_never_lowered_below_the_floor() -> None:
    scene = Scene()
    assert [scene.window(SLOW) for _ in range(5)] == [32, 16, 8, 8, 8]
    for ceiling, floor in ((1, 1), (2, 2), (4, 2), (400, 50)):
        scene = Scene(ceiling)
        for _ in range(12):
            limit = scene.window(SLOW)
        assert limit == floor, ceiling


def test_growth_accelerates_and_begins_anew_after_a_decrease() -> None:
    scene = Scene()
    for _ in range(3):
        scene.window(SLOW)
    assert [scene.window(FAST) for _ in range(4)] == [9, 11, 14, 18]
    assert scene.window(SLOW) == 9
    assert [scene.window(FAST) for _ in range(10)] == [10, 12, 15, 19, 24, 30, 37, 45, 54, 64]


def test_it_grows_only_while_it_binds() -> None:
    scene = Scene()
    for _ in range(3):
        scene.window(SLOW)
    assert scene.window(FAST) == 9
    scene.ends(500, FAST)
    assert (scene.aimd.limit, scene.aimd.watching) == (9, False)
    assert scene.window(FAST) == 10, "and the growth begins anew"


def test_a_lowered_limit_is_forgotten_when_it_has_not_bound_for_long() -> None:
    scene = Scene()
    for _ in range(2):
        scene.window(SLOW)
    scene.aimd.binds(scene.now)
    scene.now += FORGET_SECONDS
    assert scene.aimd.limit_at(scene.now) == 16
    scene.now += 1
    assert scene.aimd.limit_at(scene.now) == 64
    scene.aimd.binds(scene.now)
    assert scene.aimd.limit == 64


def test_requests_that_asked_nothing_do_not_hide_a_slow_database() -> None:
    scene = Scene()
    scene.aimd.binds(scene.now)
    scene.ends(1000, FAST, asked=False)
    scene.ends(21, SLOW)
    assert scene.aimd.limit == 32


@pytest.mark.parametrize(("seconds", "limit"), [(0.0, 51), (FAST, 51), (SLOW, 32)])
def test_what_was_given_up_or_failed_counts_however_short_it_was_and_also_if_it_never_got_to_ask(
    seconds: float, limit: int
) -> None:
    scene = Scene()
    scene.aimd.binds(scene.now)
    scene.ends(21, seconds, bad=True, asked=False)
    assert scene.aimd.limit == limit


def test_a_ceiling_takes_along_a_limit_that_is_at_it_and_bounds_one_that_is_not() -> None:
    scene = Scene()
    scene.aimd.set_ceiling(80)
    assert scene.aimd.limit == 80
    scene.aimd.set_ceiling(64)
    assert scene.window(SLOW) == 32
    scene.aimd.set_ceiling(100)
    assert scene.aimd.limit == 32, "a slow database is not answered with more"
    scene.aimd.set_ceiling(24)
    assert scene.aimd.limit == 24
    for _ in range(5):
        scene.window(SLOW)
    assert scene.aimd.limit == 3
    scene.aimd.set_ceiling(400)
    assert scene.window(SLOW) == 3


def test_without_a_rule_the_limit_is_the_ceiling() -> None:
    scene = Scene(rule=None)
    assert scene.window(SLOW) == 64
    scene.aimd.set_ceiling(5)
    assert scene.aimd.limit == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slow_seconds": 0.0}, "slow_seconds is 0.0"),
        ({"largest_factor": 1.0}, "factors of a decrease are 0.25 and 1.0"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AimdRule(**wrong)  # type: ignore[arg-type]


def test_retry_after_follows_little_s_law_within_bounds_and_spreads() -> None:
    assert retry_after_seconds(2.0, in_flight=64, waiting=64, random=0.0) == 4
    assert retry_after_seconds(2.0, in_flight=64, waiting=64, random=0.99) == 8
    assert retry_after_seconds(0.01, in_flight=64, waiting=0, random=0.5) == 1
    assert retry_after_seconds(60.0, in_flight=1, waiting=1000, random=0.5) == LONGEST_SECONDS
    assert retry_after_seconds(1.0, in_flight=0, waiting=0, random=0.0) == 1
