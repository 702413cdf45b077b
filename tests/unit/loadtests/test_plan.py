from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.mix import Mix, MixError, default_mix
from loadtests.plan import LoadPlan, PlanError
from loadtests.popularity import ZipfKeys


def test_the_default_mix_makes_a_hundred() -> None:
    assert sum(default_mix().percent.values()) == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("read=80", "the shares make 80"),
        ("read=80,serch=20", "serch is unknown"),
        ("read=120,search=-20", "search=-20 is negative"),
        ("read", "'read' is not KIND=PERCENT"),
        ("", "is not KIND=PERCENT"),
    ],
)
def test_a_bad_mix_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(MixError, match=message):
        Mix.parse(text)


def test_a_mix_draws_in_proportion() -> None:
    kinds, totals = Mix.parse("read=75,report=25").cumulative()
    drawn = Counter(Random(1).choices(kinds, cum_weights=totals, k=4000))
    assert set(drawn) == {"read", "report"}
    assert drawn["read"] / 4000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"users": 0}, "users is 0"),
        ({"hold_seconds": 0}, "hold_seconds is 0"),
        ({"url": "catalog-api:8000"}, "must start with http"),
        ({"items": 0}, "items is 0"),
    ],
)
def test_a_bad_plan_is_refused_with_the_reason(change: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        LoadPlan(**({"url": "http://api:8000"} | change))  # type: ignore[arg-type]


def test_users_ramp_up_and_stay() -> None:
    plan = LoadPlan(url="http://api:8000", users=40, ramp_seconds=10, hold_seconds=5)
    assert [plan.users_at(second) for second in (0, 5, 10, 14)] == [1, 20, 40, 40]


@given(n=st.integers(1, 5000), percent=st.sampled_from([0, 50, 90, 100, 150]), seed=st.integers(0, 99))
def test_keys_are_within_the_seeded_ones(n: int, percent: int, seed: int) -> None:
    keys = ZipfKeys(n, percent / 100, Random(seed))
    assert all(1 <= keys.draw() <= n for _ in range(50))


def test_popularity_is_zipf() -> None:
    n, draws = 1000, 40_000
    keys = ZipfKeys(n, 1.0, Random(7))
    ranks = Counter(keys.rank() for _ in range(draws))
    # The continuous form gives rank 1 the share ln 2 / ln(n + 1).
    assert ranks[1] / draws == pytest.approx(0.1003, abs=0.01)
    assert ranks[1] > 2 * ranks[4] > 2 * ranks[16]


def test_every_key_has_one_rank() -> None:
    keys = ZipfKeys(97, 0.0, Random(3))
    assert len({keys.draw() for _ in range(5000)}) == 97
