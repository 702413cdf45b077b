"""Medians, ratios, bursts, the order of rounds, and who gets which core."""

from __future__ import annotations

import pytest

from tests.bench.figures import bursts, middle, order, ratios, spread_percent
from tests.bench.placement import PlacementError, place


def test_a_ratio_is_made_round_by_round() -> None:
    # The machine halves its speed in the second round, for both.
    assert ratios([200, 100, 210], [100, 50, 100]) == [2.0, 2.0, 2.1]
    with pytest.raises(ValueError, match="2 rounds of ours and 1 of theirs"):
        ratios([1, 2], [1])


def test_the_middle_is_the_median() -> None:
    assert middle([9.0, 1.0, 2.0, 2.5, 100.0]) == 2.5
    assert spread_percent([1.0, 2.0, 3.0]) == 100.0


def test_every_side_is_in_every_round_and_not_always_at_the_same_place() -> None:
    orders = [tuple(order(["a", "b"], number)) for number in range(20)]
    assert {tuple(sorted(one)) for one in orders} == {("a", "b")}
    assert set(orders) == {("a", "b"), ("b", "a")}
    assert orders == [tuple(order(["a", "b"], number)) for number in range(20)]


def test_events_close_together_are_one_burst() -> None:
    assert bursts([], 0.5) == []
    assert bursts([10.0, 11.0, 12.0], 0.5) == [1, 1, 1]
    # Unsorted, as two processes write them: 3 at the first expiry, 1 at the second.
    assert bursts([1.02, 2.0, 1.0, 1.01], 0.5) == [3, 1]


def test_the_server_has_a_core_of_its_own() -> None:
    assert (place({0, 1}).server, place({0, 1}).others) == (1, (0,))
    assert (place({2, 5, 7}).server, place({2, 5, 7}).others) == (7, (2, 5))
    with pytest.raises(PlacementError, match="may use 1 core"):
        place({3})
