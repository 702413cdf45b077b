"""A change that made things worse is undone; noise, load and long-bad service are not blamed on it."""

from __future__ import annotations

import math

from tests.unit.tuner_core.build import api_pod, pooler_pod
from tuner.decide.memory import Block, Memory, Pending
from tuner.decide.regression import block_of, judge
from tuner.observation import Absent

CHANGED = 1000.0


def window(
    before: float, after: float, rate_after: float = 100.0, bad: tuple[float | None, float | None] = (0.0, 0.0)
) -> Memory:
    """Ticks of 5 s with mean W + H in seconds, a little noise, before and after a change at t = 1000."""
    blocks = []
    for tick in range(-24, 13):
        seconds, rate, share = (before, 100.0, bad[0]) if tick < 0 else (after, rate_after, bad[1])
        wobble = 1 + 0.05 * math.sin(7 * tick)
        blocks.append(Block(CHANGED + 5 * tick, math.log(seconds * wobble), rate, share))
    return Memory(window=tuple(blocks))


def pending(confirmed: float | None = CHANGED) -> Pending:
    return Pending(decisions=(), generation=2, replicas=None, started=CHANGED, confirmed_at=confirmed)


def undo(memory: Memory, now: float = CHANGED + 60) -> bool | None:
    return judge(pending(), memory, 0.05, now).undo


def test_twice_as_long_without_more_done_is_undone_within_75_seconds() -> None:
    assert undo(window(0.01, 0.02)) is True
    assert judge(pending(), window(0.01, 0.02), 0.05, CHANGED + 20).undo is None, "not before it was seen for 45 s"


def test_the_same_or_better_is_kept() -> None:
    assert undo(window(0.01, 0.01)) is False
    assert undo(window(0.01, 0.005)) is False


def test_longer_because_more_is_done_is_no_regression() -> None:
    assert undo(window(0.01, 0.02, rate_after=110.0)) is False


def test_a_jump_of_bad_requests_is_undone_at_once() -> None:
    assert undo(window(0.01, 0.01, bad=(0.01, 0.4)), now=CHANGED + 30) is True


def test_service_that_was_bad_before_is_not_blamed_on_the_change() -> None:
    assert undo(window(0.01, 0.01, bad=(0.6, 1.0))) is False
    assert undo(window(0.01, 0.01, bad=(None, None))) is False


def test_nothing_is_judged_unconfirmed_or_on_too_little() -> None:
    assert judge(pending(None), window(0.01, 0.1), 0.05, CHANGED + 60).undo is None
    short = Memory(window=window(0.01, 0.1).window[20:])
    judged = judge(pending(), short, 0.05, CHANGED + 60)
    assert judged.undo is False
    assert not judged.conclusive, "a change that could not be judged is not said to be verified"
    assert judge(pending(), window(0.01, 0.01), 0.05, CHANGED + 60).conclusive


def test_a_tick_without_data_is_no_block() -> None:
    assert block_of((pooler_pod(),), (api_pod(),), 5.0) is not None
    assert block_of((pooler_pod(0), pooler_pod(1, wait_seconds_per_second=Absent("gone"))), (), 5.0) is None
    assert block_of((pooler_pod(rate=0.0),), (), 5.0) is None
