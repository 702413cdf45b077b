"""Each guard alone: what it holds, what it lets pass, what it says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tuner.crds.policy import Freeze
from tuner.crds.status import Bottleneck, KnobName
from tuner.decide import guards
from tuner.decide.decision import Reason, Verdict
from tuner.decide.memory import Memory, Quarantine
from tuner.decide.proposal import Proposal, guarded
from tuner.observation import Conflict, ConflictKind

POOL = KnobName.POOLER_POOL_SIZE.value
REPLICAS = KnobName.REPLICAS.value


def move(
    before: int = 8,
    after: int = 12,
    knob: str = POOL,
    reason: Reason = Reason.PROBE_UP,
    urgent: bool = False,
    safety: bool = False,
) -> Proposal:
    return Proposal(knob, before, after, reason, "because", urgent, safety)


def berlin(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [
        ("2026-11-23T06:59:59", False),  # Monday 07:59:59 in Berlin
        ("2026-11-23T07:00:00", True),
        ("2026-11-23T07:59:59", True),
        ("2026-11-23T08:00:00", False),
        ("2026-11-22T07:30:00", False),  # Sunday
        ("2026-07-06T06:30:00", True),  # Monday 08:30 in summer time
    ],
)
def test_a_freeze_window_holds_from_its_begin_to_its_end(moment: str, frozen: bool) -> None:
    window = Freeze(schedule="0 8 * * 1-5", duration_seconds=3600, time_zone="Europe/Berlin")
    held = guards.during_freeze((window,), berlin(moment))(move())
    assert (held.reason is Reason.FREEZE) is frozen
    assert held.moves is not frozen


def test_a_window_in_an_unknown_zone_freezes() -> None:
    window = Freeze(schedule="0 8 * * *", duration_seconds=3600, time_zone="Nowhere/Land")
    assert not guards.during_freeze((window,), 0.0)(move()).moves


def test_paused_holds_everything() -> None:
    assert guards.when_paused(True)(move(safety=True)).reason is Reason.PAUSED
    assert guards.when_paused(False)(move()).moves


def test_missing_data_holds_all_but_the_fallback() -> None:
    assert guards.without_data("60 s old", fallback=True)(move()).reason is Reason.STALE_DATA
    assert guards.without_data("60 s old", fallback=True)(move(reason=Reason.FALLBACK)).moves
    assert not guards.without_data("60 s old", fallback=False)(move(reason=Reason.FALLBACK)).moves
    assert guards.without_data("", fallback=False)(move()).moves


def test_an_autoscaler_keeps_replicas_and_a_second_policy_everything() -> None:
    hpa = (Conflict(ConflictKind.HPA, "catalog-api"),)
    assert not guards.on_conflict(hpa, None, 0.0)(move(1, 2, REPLICAS)).moves
    assert guards.on_conflict(hpa, None, 0.0)(move()).moves
    second = (Conflict(ConflictKind.SECOND_POLICY, "other"),)
    assert guards.on_conflict(second, None, 0.0)(move()).reason is Reason.CONFLICT


def test_a_target_scaled_by_hand_is_left_alone_for_30_minutes() -> None:
    assert not guards.on_conflict((), 1000.0, 1000.0 + 1799)(move(1, 2, REPLICAS)).moves
    assert guards.on_conflict((), 1000.0, 1000.0 + 1801)(move(1, 2, REPLICAS)).moves


def test_bounds_shorten_and_never_turn_a_move_round() -> None:
    guard = guards.within_bounds(4, 10)
    assert guard(move(8, 12)).wanted == 10
    assert guard(move(8, 2)).wanted == 4
    assert guard(move(10, 12)).reason is Reason.BOUND
    assert guard(move(20, 30)).wanted == 20
    assert guard(move(20, 15)).wanted == 15, "towards the range is allowed"
    assert guard(move(2, 3)).wanted == 3


def test_one_step_doubles_at_most_but_always_moves_a_unit() -> None:
    assert guards.within_step(100)(move(8, 40)).wanted == 16
    assert guards.within_step(10, unit=2)(move(2, 4)).wanted == 4
    assert guards.within_step(50, unit=2)(move(10, 20)).wanted == 14
    assert guards.within_step(10)(move(40, 4)).wanted == 4, "downward is the laws' own"


def test_the_budget_stops_growth_only() -> None:
    guard = guards.within_budget(largest=21, allocatable=21, unit=2)
    assert guard(move(8, 30)).wanted == 20
    assert guard(move(20, 22)).reason is Reason.BUDGET
    assert guard(move(40, 30)).wanted == 30


def test_a_quarantined_value_and_all_beyond_it_wait() -> None:
    guard = guards.quarantined((Quarantine(POOL, 12, upward=True, until=100.0),), now=50.0)
    assert guard(move(8, 12)).reason is Reason.QUARANTINE
    assert not guard(move(8, 16)).moves
    assert guard(move(8, 10)).moves
    assert guard(move(16, 12)).moves, "from above it is another direction"
    assert guards.quarantined((Quarantine(POOL, 12, upward=True, until=100.0),), now=101.0)(move(8, 12)).moves


def test_cooldown_binds_discretionary_moves() -> None:
    guard = guards.cooled_down(Memory(last_change=((POOL, 100.0),)), 60, now=130.0)
    assert guard(move(8, 6)).reason is Reason.COOLDOWN
    assert guard(move(8, 12, urgent=True)).moves
    assert guard(move(8, 6, safety=True)).moves
    assert not guards.cooled_down(Memory(last_change=((POOL, 100.0),)), 60, now=159.0)(move(8, 6)).moves
    assert guards.cooled_down(Memory(last_change=((POOL, 100.0),)), 60, now=160.0)(move(8, 6)).moves


def test_settling_holds_all_but_safety() -> None:
    assert guards.settled("TTL settles")(move(urgent=True)).reason is Reason.SETTLING
    assert guards.settled("TTL settles")(move(safety=True)).moves


@pytest.mark.parametrize("knob", [POOL, REPLICAS, "apiPoolSize", "apiConcurrency"])
@pytest.mark.parametrize("bottleneck", [Bottleneck.DATABASE, Bottleneck.DEGRADED, Bottleneck.STALLED])
def test_a_database_in_trouble_gets_no_more_load(knob: str, bottleneck: Bottleneck) -> None:
    guard = guards.no_growth(Verdict(bottleneck, "evidence"), slowing=False)
    assert not guard(move(8, 12, knob, urgent=True)).moves
    assert guard(move(12, 8, knob)).moves
    assert guard(move(1, 2, "cacheTTL/search")).moves


def test_even_an_undo_does_not_grow_into_a_slow_database() -> None:
    undo = move(8, 12, reason=Reason.UNDO, safety=True)
    assert not guards.no_growth(Verdict(Bottleneck.DEGRADED, "slow"), slowing=True)(undo).moves
    assert not guards.no_growth(Verdict(Bottleneck.POOLER, "queue"), slowing=True)(undo).moves, "one slow tick blocks"
    assert guards.no_growth(Verdict(Bottleneck.DATABASE, "busy"), slowing=False)(undo).moves


def test_guards_stack_and_the_first_that_holds_says_why() -> None:
    held = guarded(move(8, 40), (guards.within_step(100), guards.within_bounds(2, 14), guards.when_paused(True)))
    assert (held.wanted, held.reason) == (8, Reason.PAUSED)
    cut = guarded(move(8, 40), (guards.within_step(100), guards.within_bounds(2, 14)))
    assert cut.wanted == 14 and "doubl" not in cut.message and "policy allows 2 to 14" in cut.message
