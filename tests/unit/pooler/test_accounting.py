"""Counters that outlive PgBouncer's, and which seconds count as saturated."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pooler.accounting import (
    MAX_INTERVAL_SECONDS,
    MAX_SIZES,
    NO_STATS,
    SATURATED_WAITING_PER_SERVER,
    Sample,
    Totals,
    advance,
    increase,
    restarted,
)
from services.pooler.console import CLIENT_STATES, SERVER_STATES, Pool, Stats


def pool(waiting: int = 0, servers: int = 0) -> Pool:
    return Pool(
        servers={**dict.fromkeys(SERVER_STATES, 0), "active": servers},
        clients={**dict.fromkeys(CLIENT_STATES, 0), "waiting": waiting},
        max_wait_seconds=0.0,
    )


def sample(at: float, transactions: int, waiting: int = 0, size: int = 4, servers: int = 0) -> Sample:
    return Sample(at, size, replace(NO_STATS, transactions=transactions), pool(waiting, servers))


def run(*samples: Sample) -> Totals:
    totals, before = Totals(), None
    for now in samples:
        totals, before = advance(totals, before, now), now
    return totals


def test_the_first_sample_brings_what_pgbouncer_has_counted_so_far() -> None:
    assert run(sample(0, 700)).stats.transactions == 700


def test_a_restart_loses_nothing() -> None:
    assert run(sample(0, 100), sample(1, 150), sample(2, 30), sample(3, 40)).stats.transactions == 190


def test_a_fall_of_one_counter_is_a_restart_of_all() -> None:
    before = Stats(10, 10, 10, 1.0, 1.0, 5.0)
    now = Stats(20, 20, 20, 0.5, 2.0, 6.0)
    assert restarted(before, now)
    assert increase(before, now) == now


@pytest.mark.parametrize(
    ("first", "second", "seconds"),
    [
        (1, 1, 1.0),  # exactly a quarter of 4
        (0, 9, 0.0),  # only at the end
        (9, 0, 0.0),  # only at the beginning
        (0, 0, 0.0),
    ],
)
def test_saturated_means_waiting_at_both_ends(first: int, second: int, seconds: float) -> None:
    totals = run(sample(0, 0, first), sample(1, 50, second))
    assert totals.saturated[4].seconds == seconds
    assert totals.saturated[4].transactions == (50 if seconds else 0)


@pytest.mark.parametrize(
    "now",
    [
        sample(1, 50, waiting=9, size=5),  # another size
        sample(1, 50, waiting=9, servers=5),  # servers beyond the size are still open
        sample(MAX_INTERVAL_SECONDS + 0.1, 50, waiting=9),  # a gap
        sample(0, 50, waiting=9),  # no time passed
        replace(sample(1, 0, waiting=9), stats=NO_STATS),  # a restart
    ],
)
def test_an_interval_that_says_nothing_about_one_size_is_not_counted(now: Sample) -> None:
    totals = run(sample(0, 10, waiting=9), now)
    assert all(saturation.seconds == 0 and saturation.transactions == 0 for saturation in totals.saturated.values())


def test_no_limit_is_no_size() -> None:
    assert run(sample(0, 0, waiting=5, size=0), sample(1, 9, waiting=5, size=0)).saturated == {}


def test_the_sizes_kept_are_bounded_and_the_longest_unused_goes() -> None:
    totals = run(*(sample(at, 0, size=at + 1) for at in range(MAX_SIZES)), sample(MAX_SIZES, 0, size=1))
    totals = advance(totals, None, sample(MAX_SIZES + 1, 0, size=9999))
    assert len(totals.saturated) == MAX_SIZES
    assert {1, 9999} <= totals.saturated.keys()
    assert 2 not in totals.saturated


steps = st.lists(
    st.tuples(
        st.floats(0.01, 8.0),  # seconds since the sample before
        st.integers(0, 1000),  # transactions since
        st.integers(0, 12),  # clients waiting
        st.integers(1, 6),  # size
        st.booleans(),  # PgBouncer restarted
    ),
    min_size=1,
    max_size=40,
)


@given(steps)
def test_totals_are_true_and_saturation_is_a_part_of_them(
    history: list[tuple[float, int, int, int, bool]],
) -> None:
    at, counter, true_total = 0.0, 0, 0
    samples = []
    for seconds, transactions, waiting, size, restart in history:
        at += seconds
        # A restart shows only where the counter falls; nobody could tell one that has caught up already.
        began_anew = restart and transactions < counter
        counter = transactions if began_anew else counter + transactions
        true_total += transactions
        samples.append(sample(at, counter, waiting, size))
    totals = run(*samples)
    assert totals.stats.transactions == true_total
    assert sum(s.transactions for s in totals.saturated.values()) <= true_total
    for size, saturation in totals.saturated.items():
        possible = [
            now.at - before.at
            for before, now in pairwise(samples)
            if before.size == now.size == size
            and min(before.pool.waiting, now.pool.waiting) >= SATURATED_WAITING_PER_SERVER * size
        ]
        assert saturation.seconds <= sum(possible) + 1e-9


@given(steps)
def test_no_total_ever_falls(history: list[tuple[float, int, int, int, bool]]) -> None:
    totals, before, at = Totals(), None, 0.0
    for seconds, transactions, waiting, size, _ in history:
        at += seconds
        now = sample(at, transactions, waiting, size)  # jumps up and down: many restarts
        later = advance(totals, before, now)
        assert all(getattr(later.stats, f.name) >= getattr(totals.stats, f.name) for f in fields(Stats))
        assert all(later.saturated[size].seconds >= kept.seconds for size, kept in totals.saturated.items())
        totals, before = later, now
