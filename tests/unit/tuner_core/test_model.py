"""Beliefs: capacity only while saturated, slowdown apart from load, forecast with jumps, cache counters, mix."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.unit.tuner_core.build import api_pod, observation, pooler_pod
from tuner.model.arrivals import Arrivals
from tuner.model.beliefs import Beliefs, learn
from tuner.model.cache import Caches
from tuner.model.capacity import MAX_SAMPLES, MAX_SIZES, Capacity, Sample, relative_error, sample_of
from tuner.model.mix import Mix
from tuner.model.slowdown import Slowdown
from tuner.observation import Absent, CacheTraffic, Saturated, Statement, present


def known(*rates: tuple[int, float], times: int = 3) -> Capacity:
    capacity = Capacity(pods=2)
    for size, rate in rates:
        for _ in range(times):
            capacity = capacity.learn(Sample(size, rate, saturated=True), 2, 0.0)
    return capacity


def test_an_unsaturated_tick_teaches_no_capacity() -> None:
    assert Capacity(pods=2).learn(Sample(8, 100.0, saturated=False), 2, 0.0).sizes == ()


def test_the_knee_is_the_least_size_with_97_percent_of_the_best() -> None:
    # Orders of FACTS.md: 16 gives 3129, 8 gives 92% of it, 12 (assumed) 98%.
    assert known((4, 2620), (8, 2877), (12, 3070), (16, 3129), (32, 3024)).knee() == 12


def test_another_number_of_pods_starts_anew() -> None:
    capacity = known((4, 100.0)).learn(Sample(8, 50.0, saturated=True), 3, 0.0)
    assert [size for size, _ in capacity.sizes] == [8]


def test_capacity_is_bounded() -> None:
    capacity = Capacity(pods=1)
    for size in range(1, 3 * MAX_SIZES):
        for _ in range(2 * MAX_SAMPLES):
            capacity = capacity.learn(Sample(size, 1.0, saturated=True), 1, float(size))
    assert len(capacity.sizes) == MAX_SIZES
    assert all(len(evidence.rates) == MAX_SAMPLES for _, evidence in capacity.sizes)


def test_the_rate_while_saturated_is_that_of_the_saturated_seconds_alone() -> None:
    half = (Saturated(size=3, seconds=3.0, transactions=300.0), Saturated(size=2, seconds=2.0, transactions=10.0))
    pod = replace(pooler_pod(size=3, rate=62.0), saturated=half)
    assert sample_of((pod,), 3, 5.0) == Sample(3, 100.0, saturated=True)


def test_a_pod_with_another_size_or_without_data_gives_no_sample() -> None:
    other = pooler_pod(1, size=2)
    assert isinstance(sample_of((pooler_pod(0, size=1), other), 1, 5.0), Absent)
    assert isinstance(sample_of((replace(other, saturated=Absent("gone")),), 2, 5.0), Absent)
    assert isinstance(sample_of((), 2, 5.0), Absent)


def test_the_error_of_one_sample_is_unknown() -> None:
    assert math.isinf(relative_error((5.0,)))
    assert relative_error((90.0, 110.0)) == pytest.approx(0.1)


def test_the_first_tick_at_a_new_size_is_dropped() -> None:
    beliefs = Beliefs()
    seen = observation(pooler_pods=(pooler_pod(0, size=4, saturated=True), pooler_pod(1, size=4, saturated=True)))
    beliefs = learn(beliefs, seen, max_pods=2)
    assert beliefs.capacity.sizes == ()
    beliefs = learn(beliefs, seen, max_pods=2)
    assert [size for size, _ in beliefs.capacity.sizes] == [8]


def test_a_new_ttl_makes_the_service_times_before_it_no_reference() -> None:
    seen = observation(pooler_pods=(pooler_pod(0, size=4, saturated=True), pooler_pod(1, size=4, saturated=True)))
    beliefs = Beliefs()
    for _ in range(5):
        beliefs = learn(beliefs, seen, max_pods=2)
    assert beliefs.slowdown.references
    heavier = tuple(replace(pod, queries_per_second=20.0) for pod in (present(seen.pooler_pods) or ()))
    same = learn(beliefs, replace(seen, pooler_pods=heavier), max_pods=2)
    pods = (api_pod(cache=(CacheTraffic("search", 10.0, 40.0, ttl_seconds=2.0),)),)
    longer = learn(beliefs, replace(seen, pooler_pods=heavier, api_pods=pods), max_pods=2)
    assert same.slowdown.suspected and not longer.slowdown.suspected


def slowed(slowdown: Slowdown, rate: float, service: float, ticks: int) -> Slowdown:
    for _ in range(ticks):
        slowdown = slowdown.learn(8, rate, service)
    return slowdown


def test_a_slowdown_by_30_percent_is_suspected_at_once_and_certain_in_two_ticks() -> None:
    slowdown = slowed(Slowdown(), rate=1000, service=0.008, ticks=5)
    assert not slowdown.suspected
    one = slowed(slowdown, rate=1000 / 1.3, service=0.008 * 1.3, ticks=1)
    assert one.suspected and not one.degraded
    two = slowed(one, rate=1000 / 1.3, service=0.008 * 1.3, ticks=1)
    assert two.degraded and two.g == pytest.approx(math.log(1.3))


def test_more_load_on_a_healthy_database_is_no_slowdown() -> None:
    # S rises with X until the pool saturates; there is no reference at a higher X.
    slowdown = Slowdown()
    for rate, service in ((200, 0.002), (400, 0.0025), (700, 0.004), (1000, 0.008)):
        slowdown = slowed(slowdown, rate, service, ticks=4)
        assert not slowdown.suspected, rate


def test_twenty_percent_is_noise() -> None:
    slowdown = slowed(Slowdown(), rate=1000, service=0.008, ticks=5)
    assert not slowed(slowdown, rate=830, service=0.0096, ticks=3).suspected


def test_a_slowdown_ends_with_its_cause_or_becomes_the_new_normal() -> None:
    normal = slowed(Slowdown(), rate=1000, service=0.008, ticks=5)
    slow = slowed(normal, rate=500, service=0.016, ticks=3)
    assert not slowed(slow, rate=1000, service=0.008, ticks=1).suspected
    assert not slowed(slow, rate=500, service=0.016, ticks=4).suspected


def test_the_forecast_follows_a_ramp_and_restarts_at_a_jump() -> None:
    arrivals = Arrivals()
    for tick in range(40):
        arrivals = arrivals.learn(100.0 + 2 * tick * 5, tick * 5.0)
    assert arrivals.slope == pytest.approx(2, abs=0.3)
    assert arrivals.forecast(30) == pytest.approx(arrivals.level + 30 * arrivals.slope)
    steady = Arrivals()
    for tick in range(20):
        steady = steady.learn(100.0, tick * 5.0)
    assert steady.learn(300.0, 100.0).level == pytest.approx(100.0), "one outlier is not yet a jump"
    assert steady.learn(300.0, 100.0).learn(300.0, 105.0).level == 300.0


def test_a_falling_load_is_not_extrapolated() -> None:
    assert Arrivals(level=100, slope=-5, ticks=9).forecast(60) == 100


def test_cache_counters_sum_over_pods_and_keep_what_is_not_seen() -> None:
    pods = (api_pod(0), api_pod(1, cache=(CacheTraffic("search", 30.0, 20.0),)))
    caches = Caches().learn(pods, 5.0)
    belief = caches.of("search")
    assert belief is not None and belief.hits_per_second == 40.0 and belief.hit_ratio == pytest.approx(0.4)
    assert caches.learn((), 5.0).of("search") == belief


def test_writes_per_key_need_the_number_of_keys() -> None:
    with_keys = (CacheTraffic("item", 1.0, 1.0, writes_per_second=5.0, keys=2000.0),)
    belief = Caches().learn((api_pod(cache=with_keys),), 5.0).of("item")
    assert belief is not None and belief.writes_per_key == pytest.approx(0.0025)
    bare = Caches().learn((api_pod(),), 5.0).of("search")
    assert bare is not None and bare.writes_per_key is None


@pytest.mark.parametrize(
    ("invalidations", "on_write"),
    [(("OnWrite", "OnWrite"), True), (("OnWrite", "None"), False), (("OnWrite", Absent("older pod")), False)],
)
def test_a_group_is_invalidated_on_write_where_every_pod_says_so(
    invalidations: tuple[str | Absent, ...], on_write: bool
) -> None:
    pods = tuple(
        api_pod(
            i, cache=(CacheTraffic("item", 1.0, 1.0, invalidation=said, memory_seconds=1.0 + i, window_seconds=3.0),)
        )
        for i, said in enumerate(invalidations)
    )
    belief = Caches().learn(pods, 5.0).learn(pods, 5.0).of("item")
    assert belief is not None
    assert (belief.invalidated_on_write, belief.beyond_seconds) == (on_write, 5.0)


def test_a_new_mix_is_seen_and_its_factor_takes_it_out_of_the_service_time() -> None:
    before = (Statement("read", 100.0, 0.1), Statement("report", 1.0, 0.1))
    after = (Statement("read", 10.0, 0.01), Statement("report", 10.0, 1.0))
    mix, changed = Mix().learn(before)
    assert not changed, "the first sight is no change"
    assert mix.learn(before) == (mix, False)
    assert mix.distance(after) > 0.3
    _, changed = mix.learn(after)
    assert changed
    assert mix.factor(after) / mix.factor(before) == pytest.approx((1.01 / 20) / (0.2 / 101))
