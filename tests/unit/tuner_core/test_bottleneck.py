"""The verdict table, one line a test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.tuner_core.build import api_pod, pooler_pod
from tuner.crds.status import Bottleneck
from tuner.decide.bottleneck import Evidence, judge
from tuner.model.beliefs import Beliefs
from tuner.model.capacity import Sample
from tuner.model.slowdown import Slowdown
from tuner.observation import Absent, ApiPod, Maybe, PoolerPod


def verdict(
    poolers: tuple[PoolerPod, ...] | None = (pooler_pod(0), pooler_pod(1)),
    apis: tuple[ApiPod, ...] = (api_pod(),),
    saturated: bool = False,
    sample: Maybe[Sample] | None = None,
    blocked: bool = False,
    beliefs: Beliefs | None = None,
) -> Bottleneck:
    seen = sample if sample is not None else Sample(2, 100.0, saturated)
    return judge(Evidence(poolers, apis, seen, 2, blocked), beliefs or Beliefs()).bottleneck


def test_no_queue() -> None:
    assert verdict() is Bottleneck.NONE


def test_clients_wait_and_nothing_is_done() -> None:
    stuck = replace(pooler_pod(rate=0.0), clients_waiting=3.0, assignments_per_second=0.0)
    assert verdict(poolers=(stuck,), saturated=True) is Bottleneck.STALLED


def test_saturated_is_the_pooler_until_more_did_not_pay() -> None:
    assert verdict(saturated=True) is Bottleneck.POOLER
    assert verdict(saturated=True, blocked=True) is Bottleneck.DATABASE


def test_two_slow_ticks_are_degraded_even_while_saturated() -> None:
    assert verdict(saturated=True, beliefs=Beliefs(slowdown=Slowdown(recent=(0.3,)))) is Bottleneck.POOLER
    assert verdict(saturated=True, beliefs=Beliefs(slowdown=Slowdown(recent=(0.3, 0.3)))) is Bottleneck.DEGRADED


def test_the_apps_own_queue() -> None:
    waiting = api_pod(checkout_wait_seconds_per_second=3.0, checked_out=5.0)
    assert verdict(apis=(waiting,)) is Bottleneck.APP_POOL
    assert verdict(apis=(waiting,), poolers=None) is Bottleneck.APP_POOL, "without a pooler too"
    idle = api_pod(checkout_wait_seconds_per_second=3.0, checked_out=1.0)
    assert verdict(apis=(idle,)) is Bottleneck.NONE


@pytest.mark.parametrize(
    ("cores", "waiting", "expected"),
    [(0.79, 0.0, "None"), (0.8, 0.0, "Replicas"), (0.85, 3.0, "AppPool"), (0.9, 3.0, "Replicas")],
)
def test_cpu_binds_before_the_apps_pool_only_when_it_is_full(cores: float, waiting: float, expected: str) -> None:
    pod = api_pod(cpu_cores=cores, checkout_wait_seconds_per_second=waiting, checked_out=5.0)
    assert verdict(apis=(pod,)) == expected


@pytest.mark.parametrize("missing", ["cpu_cores", "cpu_limit_cores", "checked_out", "pool_size"])
def test_an_api_pod_without_data_is_not_enough_evidence(missing: str) -> None:
    changes: dict[str, Any] = {missing: Absent("gone")}
    assert verdict(apis=(api_pod(0), api_pod(1, **changes))) is Bottleneck.UNKNOWN


@pytest.mark.parametrize("missing", ["clients_waiting", "assignments_per_second", "transactions_per_second"])
def test_a_pooler_pod_without_data_is_not_enough_evidence(missing: str) -> None:
    changes: dict[str, Any] = {missing: Absent("gone")}
    assert verdict(poolers=(pooler_pod(0), replace(pooler_pod(1), **changes)), saturated=True) is Bottleneck.UNKNOWN


def test_no_ready_pod_and_no_sample_are_not_enough_evidence() -> None:
    assert verdict(poolers=()) is Bottleneck.UNKNOWN
    assert verdict(apis=()) is Bottleneck.UNKNOWN
    assert verdict(sample=Absent("the first tick after a change")) is Bottleneck.UNKNOWN
