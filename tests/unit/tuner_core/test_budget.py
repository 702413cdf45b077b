"""The budget's arithmetic, with the numbers of CONTROL.md and CONTRACTS.md."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tuner_core.build import EPOCH, LATER_EPOCH, ack, document, pooler_pod
from tuner.decide.budget import (
    Charged,
    Fence,
    Ledger,
    charge,
    dump_ledger,
    is_later,
    largest_size,
    may_publish,
    next_generation,
    next_ledger,
    parse_ledger,
    unretired,
)
from tuner.observation import CHART_DEFAULTS, Absent, Acknowledgement


def doc(generation: int, size: int, pods: int = 2, epoch: str = EPOCH) -> Charged:
    return Charged(epoch, generation, size, pods)


def test_allocatable_is_the_fence_less_the_slack() -> None:
    fence = Fence(max_connections=100, reserved=13)
    assert (fence.fence, fence.slack, fence.allocatable) == (87, 8, 79)
    assert Fence(20, 10).slack == 2, "never less than 2"


def test_policies_on_one_server_share_it_and_never_take_what_others_hold() -> None:
    assert Fence(100, 13, elsewhere=0, policies=2).allocatable == 39
    assert Fence(100, 13, elsewhere=60, policies=2).allocatable == 19, "the giver has not shrunk yet"
    assert Fence(10, 13).allocatable == 0


def test_the_charge_takes_the_largest_size_and_the_most_pods_of_all() -> None:
    assert charge((doc(1, 20, 2), doc(2, 10, 4))) == 80
    assert charge(()) == 0


def test_trading_size_for_pods_needs_the_smaller_size_confirmed_first() -> None:
    large, small, many = doc(1, 20, 2), doc(2, 10, 2), doc(3, 10, 4)
    assert not may_publish(40, (large,), many)
    assert may_publish(40, (large,), small)
    assert not may_publish(40, (large, small), many)
    assert may_publish(40, (small,), many)


def test_beyond_the_budget_only_what_raises_nothing_and_fits_by_itself() -> None:
    over = doc(0, 60, 2, epoch="")
    assert may_publish(79, (over,), doc(1, 39))
    assert not may_publish(79, (over,), doc(1, 40))
    assert not may_publish(79, (over,), doc(1, 30, 3))
    assert largest_size(79, (over,), 2) == 39


def test_no_budget_leaves_no_size() -> None:
    assert largest_size(1, (), 2) == 0
    assert not may_publish(1, (), doc(1, 1))


def test_a_document_retires_when_every_existing_pod_confirmed_a_later_one() -> None:
    stored = document(3, pooler=4)
    ledger = Ledger((doc(1, 9), doc(2, 6), doc(3, 4)))
    both = tuple(pooler_pod(i, size=4, acknowledged=ack(3)) for i in range(2))
    assert unretired(stored, ledger, both, 2, False) == (doc(3, 4),)
    late = (both[0], replace(both[1], acknowledged=ack(2), pool_size=6))
    assert unretired(stored, ledger, late, 2, False) == (doc(2, 6), doc(3, 4))
    silent = (both[0], replace(both[1], acknowledged=Absent("no answer"), pool_size=Absent("no answer")))
    assert unretired(stored, ledger, silent, 2, False) == (doc(1, 9), doc(2, 6), doc(3, 4))


def test_without_pods_nothing_retires() -> None:
    assert unretired(document(2), Ledger((doc(1, 9),)), (), 2, False) == (doc(1, 9), doc(2, 1))


def test_the_charts_values_never_retire() -> None:
    chart = Charged("", 0, 7, 2)
    pods = tuple(pooler_pod(i, size=1, acknowledged=ack(5)) for i in range(2))
    known = unretired(document(5), Ledger((chart,)), pods, 2, False)
    assert not isinstance(known, Absent) and chart in known
    assert not is_later(CHART_DEFAULTS, chart)


def test_without_a_ledger_the_pods_own_sizes_count_and_a_silent_pod_forbids() -> None:
    pods = (pooler_pod(0, size=6), pooler_pod(1, size=9))
    known = unretired(None, Absent("no ledger"), pods, 2, False)
    assert not isinstance(known, Absent) and charge(known) == 18
    silent = (pods[0], replace(pods[1], pool_size=Absent("no answer")))
    assert isinstance(unretired(None, Absent("no ledger"), silent, 2, False), Absent)
    assert isinstance(unretired(None, Absent("no ledger"), (), 2, False), Absent)


def test_a_pod_that_reports_more_than_its_document_is_charged_for_it() -> None:
    pods = (pooler_pod(0, size=30, acknowledged=ack(5)),)
    known = unretired(document(5, pooler=4), Ledger(()), pods, 2, False)
    assert not isinstance(known, Absent) and charge(known) == 60


def test_a_pod_that_has_not_said_yet_what_it_runs_is_charged_until_it_does() -> None:
    stored, ledger = document(5, pooler=30), Ledger((Charged("", 0, 2, 2), doc(5, 30)))
    starting = (pooler_pod(0, size=30, acknowledged=ack(5)), pooler_pod(1, size=40, acknowledged=Absent("starting")))
    known = unretired(stored, ledger, starting, 2, False)
    assert not isinstance(known, Absent) and charge(known) == 80
    smaller = document(6, pooler=4)
    later = next_ledger(known, doc(6, 4))
    confirmed = tuple(pooler_pod(i, size=4, acknowledged=ack(6)) for i in range(2))
    known = unretired(smaller, later, confirmed, 2, False)
    assert not isinstance(known, Absent) and charge(known) == 8, "only the chart's own values stay for ever"


def test_epochs_order_before_generations() -> None:
    assert is_later(Acknowledgement(LATER_EPOCH, 1), doc(99, 5))
    assert not is_later(Acknowledgement(EPOCH, 99), doc(1, 5, epoch=LATER_EPOCH))


def test_the_next_generation_follows_what_any_pod_has_seen() -> None:
    assert next_generation(EPOCH, None, ()) == 1
    assert next_generation(EPOCH, document(3), (pooler_pod(acknowledged=ack(7)),)) == 8
    assert next_generation(LATER_EPOCH, document(3), (pooler_pod(acknowledged=ack(7)),)) == 1


def test_the_ledger_survives_its_text_and_stays_short() -> None:
    ledger = next_ledger(tuple(doc(g, 5) for g in range(1, 400)), doc(400, 6))
    assert ledger.documents == (doc(399, 5), doc(400, 6))
    assert parse_ledger(dump_ledger(ledger)) == ledger


def test_a_ledger_that_cannot_be_read_is_absent_never_empty() -> None:
    for text in (None, "", "{", '{"documents": [{"epoch": "", "generation": 0, "pool_size": 0, "max_pods": 1}]}'):
        assert isinstance(parse_ledger(text), Absent), text
