"""The probing law, tick by tick."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.tuner_core.test_model import known
from tuner.crds.status import Bottleneck
from tuner.decide.decision import Reason, Verdict
from tuner.decide.memory import PoolMemory, Probe
from tuner.decide.pool import BLOCK_SECONDS, MAX_BLOCK_SECONDS, PoolView, blocked_above, failed, propose, step_up
from tuner.model.capacity import Sample
from tuner.observation import Absent

POOLER = Verdict(Bottleneck.POOLER, "clients wait")
READY = PoolMemory(saturated_ticks=1)


def view(size: int = 8, rate: float = 1000.0, saturated: bool = True, **changes: Any) -> PoolView:
    values: dict[str, Any] = {
        "size": size,
        "unit": 2,
        "low": 2,
        "high": 60,
        "verdict": POOLER if saturated else Verdict(Bottleneck.NONE, "no queue"),
        "slowing": False,
        "sample": Sample(size, rate, saturated),
        "executing": float(size),
        "violated": False,
        "mix_changed": False,
        "seconds": 0.01,
        "now": 10_000.0,
    }
    return PoolView(**(values | changes))


def trial(size: int = 12, base: int = 8, rate: float = 1000.0, **changes: Any) -> PoolMemory:
    values: dict[str, Any] = {"base_noise": 0.01, "saturated": True, "started": 9_000.0, "base_seconds": 0.01}
    return PoolMemory(probe=Probe(base, size, rate, **(values | changes)), saturated_ticks=5)


def after(memory: PoolMemory, *ticks: PoolView) -> Any:
    for tick in ticks:
        step = propose(tick, known((8, 1000.0)), memory)
        memory = step.if_not
    return step


@pytest.mark.parametrize(("size", "factor", "wanted"), [(2, 1.5, 4), (8, 1.5, 12), (10, 1.5, 16), (8, 2.0, 16)])
def test_the_next_size_in_whole_connections_a_pod(size: int, factor: float, wanted: int) -> None:
    assert step_up(size, 2, factor) == wanted


def test_two_saturated_ticks_start_a_trial_of_one_and_a_half() -> None:
    first = propose(view(), known((8, 1000.0)), PoolMemory())
    assert not first.proposal.moves
    second = propose(view(), known((8, 1000.0)), first.if_not)
    assert (second.proposal.wanted, second.proposal.reason, second.proposal.urgent) == (12, Reason.PROBE_UP, True)
    probe = second.if_done(10).probe
    assert probe is not None and (probe.base, probe.size) == (8, 10), "the guards may have made the step smaller"


def test_after_a_good_gain_it_doubles() -> None:
    assert propose(view(), known((8, 1000.0)), replace(READY, last_gain=0.6)).proposal.wanted == 16
    assert propose(view(), known((8, 1000.0)), replace(READY, last_gain=0.59)).proposal.wanted == 12


def test_a_clear_gain_is_kept_after_one_tick_and_the_next_trial_follows() -> None:
    step = after(trial(), view(12, 1400.0))
    assert step.if_not.probe is None and step.proposal.reason is Reason.PROBE_UP
    assert step.proposal.wanted == 24


def test_a_small_gain_takes_two_ticks() -> None:
    assert after(trial(), view(12, 1100.0)).proposal.reason is Reason.PROBING
    step = after(trial(), view(12, 1100.0), view(12, 1102.0))
    assert step.proposal.reason is Reason.PROBE_UP and "+10%" in step.proposal.message


def test_no_gain_goes_back_and_blocks_30_minutes_then_60_up_to_8_hours() -> None:
    step = after(trial(), view(12, 1010.0), view(12, 1012.0))
    assert (step.proposal.wanted, step.proposal.reason) == (8, Reason.PROBE_RETURNED)
    done = step.if_done(8)
    assert done.probe is None and done.up_blocked_until == 10_000.0 + BLOCK_SECONDS
    assert failed(done, True, 0.0).up_blocked_until == 2 * BLOCK_SECONDS
    for _ in range(9):
        done = failed(done, True, 0.0)
    assert done.up_blocked_until == MAX_BLOCK_SECONDS


def test_until_the_return_is_written_it_is_proposed_again() -> None:
    step = after(trial(), view(12, 1010.0), view(12, 1012.0), view(12, 1011.0))
    assert step.proposal.reason is Reason.PROBE_RETURNED and step.if_not.probe is not None


def test_a_failed_double_does_not_block_the_smaller_step() -> None:
    done = after(trial(size=16), view(16, 1010.0), view(16, 1012.0)).if_done(8)
    assert done.up_blocked_until == 0
    assert not blocked_above(8, 2, known((8, 1000.0), (16, 1010.0)), done, 10_000.0)
    assert blocked_above(8, 2, known((8, 1000.0), (12, 1010.0)), done, 100.0)
    assert not blocked_above(8, 2, known((8, 1000.0), (12, 1040.0)), done, 100.0)
    assert not blocked_above(8, 2, known((8, 1000.0), (12, 1010.0)), done, 100.0 + BLOCK_SECONDS), "too old"


def test_noise_takes_more_ticks_instead_of_a_wrong_answer() -> None:
    noisy = trial(base_noise=0.06)
    assert after(noisy, view(12, 1000.0), view(12, 1100.0)).proposal.reason is Reason.PROBING
    rates = (1000.0, 1100.0, 950.0, 1050.0, 1000.0, 1010.0)
    assert after(noisy, *(view(12, rate) for rate in rates)).proposal.reason is Reason.PROBE_RETURNED


def test_a_queue_that_disappeared_pays_when_more_is_done_or_it_takes_less_time() -> None:
    more = after(trial(), view(12, 1100.0, saturated=False), view(12, 1100.0, saturated=False))
    assert more.proposal.reason is Reason.PROBE_KEPT
    quicker = [view(12, 1000.0, saturated=False, seconds=0.008)] * 2
    assert after(trial(), *quicker).proposal.reason is Reason.PROBE_KEPT
    inside = after(trial(), *([view(12, 1000.0, saturated=False)] * 2))
    assert inside.proposal.reason is Reason.PROBE_RETURNED, "the queue only moved into PostgreSQL"


def test_a_slowdown_ends_a_trial_without_growth_and_without_a_verdict_on_it() -> None:
    up = after(trial(), view(12, 500.0, slowing=True))
    assert (up.proposal.wanted, up.proposal.safety) == (8, True) and up.if_done(8).up_blocked_until == 0
    down = after(trial(size=4), view(4, 500.0, slowing=True))
    assert not down.proposal.moves and down.if_not.probe is None


def test_missing_samples_end_nothing() -> None:
    step = after(trial(), view(12, sample=Absent("not every pod has it yet")))
    assert not step.proposal.moves and step.if_not.probe == trial().probe


def test_once_up_is_blocked_a_third_less_is_tried_and_kept_at_99_percent() -> None:
    blocked = replace(READY, up_blocked_until=20_000.0)
    down = propose(view(12), known((12, 1000.0)), blocked)
    assert (down.proposal.wanted, down.proposal.reason, down.proposal.urgent) == (8, Reason.PROBE_DOWN, False)
    kept = after(trial(size=8, base=12), view(8, 990.0, now=100.0), view(8, 992.0, now=100.0))
    assert kept.if_not.probe is None
    lost = after(trial(size=8, base=12), view(8, 960.0), view(8, 962.0))
    assert lost.proposal.reason is Reason.PROBE_RETURNED and lost.if_done(12).down_blocked_until > 0


def test_what_was_measured_below_is_not_tried_again() -> None:
    blocked = replace(READY, up_blocked_until=20_000.0)
    step = propose(view(12, now=100.0), known((8, 700.0), (12, 1000.0)), blocked)
    assert not step.proposal.moves and "gave less" in step.proposal.message


def test_a_size_past_the_knee_moves_to_it() -> None:
    blocked = replace(READY, up_blocked_until=20_000.0)
    step = propose(view(24), known((12, 3100.0), (24, 3150.0)), blocked)
    assert (step.proposal.wanted, step.proposal.reason) == (12, Reason.PAST_KNEE)


def test_a_pool_that_is_too_large_to_saturate_shrinks_only_when_the_objective_suffers() -> None:
    calm = view(48, saturated=False, executing=40.0)
    assert not after(PoolMemory(), calm, calm, calm).proposal.moves
    violated = replace(calm, violated=True)
    assert after(PoolMemory(), violated, violated).proposal.wanted == 32
    few = replace(violated, executing=3.0)
    assert not after(PoolMemory(), few, few).proposal.moves


def test_lowered_bounds_are_obeyed_at_once_and_even_in_a_slowdown() -> None:
    step = propose(view(8, high=4, slowing=True), known((8, 1000.0)), PoolMemory())
    assert (step.proposal.wanted, step.proposal.safety) == (4, True)


def test_at_the_upper_bound_it_says_so() -> None:
    assert propose(view(8, high=8), known((8, 1000.0)), READY).proposal.reason is Reason.BOUND


def test_a_new_mix_lifts_the_blocks() -> None:
    blocked = replace(READY, up_blocked_until=20_000.0, up_failures=3)
    step = propose(view(mix_changed=True), known((8, 1000.0)), blocked)
    assert step.proposal.reason is Reason.PROBE_UP and step.if_not.up_failures == 0
