"""App pool, replicas and TTL: the formulas with their numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.tuner_core.build import api_pod
from tuner.crds.knobs import CacheTTL
from tuner.crds.status import Bottleneck
from tuner.decide import apppool, replicas, ttl
from tuner.decide.decision import Reason, Verdict
from tuner.decide.memory import Memory
from tuner.model.arrivals import Arrivals
from tuner.model.cache import GroupBelief
from tuner.observation import Absent

QUIET = Verdict(Bottleneck.NONE, "no queue")
WAITS = Verdict(Bottleneck.APP_POOL, "requests wait")


@pytest.mark.parametrize(("connections", "pods", "size"), [(16, 1, 24), (16, 4, 8), (2, 1, 5), (9, 1, 15), (1, 8, 1)])
def test_a_pods_pool_is_its_share_and_two_deviations(connections: int, pods: int, size: int) -> None:
    assert apppool.share_of(connections, pods) == size


def test_the_pools_follow_in_the_same_document_only_when_split_anew() -> None:
    assert not apppool.propose_pool(4, 16, 1, QUIET, resplit=False).moves
    assert apppool.propose_pool(4, 16, 1, QUIET, resplit=True).wanted == 24
    assert apppool.propose_pool(30, 16, 1, QUIET, resplit=True).moves is False, "80% or more is near enough"
    assert apppool.propose_pool(40, 16, 1, QUIET, resplit=True).wanted == 24


def test_requests_that_wait_at_the_app_enlarge_its_pool() -> None:
    assert apppool.propose_pool(4, 2, 1, WAITS, resplit=False).wanted == 6
    assert apppool.propose_pool(4, None, 1, WAITS, resplit=False).wanted == 6, "without a pooler too"
    assert not apppool.propose_pool(4, None, 1, QUIET, resplit=True).moves


def test_the_admission_ceiling_is_twice_the_pool_and_never_lowered() -> None:
    assert apppool.propose_concurrency(4, 24).wanted == 48
    assert not apppool.propose_concurrency(100, 24).moves


def steady(level: float) -> Arrivals:
    return Arrivals(level=level, ticks=9)


COST = replicas.Cost(cpu_seconds=0.01, cores=1.0)  # a pod can serve 100 requests/s


@pytest.mark.parametrize(("level", "pods"), [(10, 1), (70, 1), (71, 2), (140, 2), (350, 5), (0, 1)])
def test_replicas_by_the_formula(level: float, pods: int) -> None:
    assert replicas.needed(steady(level), COST, 30) == pods


def test_noise_and_slope_ask_for_more() -> None:
    assert replicas.needed(replace(steady(70), variance=16.0), COST, 30) == 2
    assert replicas.needed(replace(steady(70), slope=1.0), COST, 30) == 2


def test_replicas_go_up_at_once_and_down_only_after_12_ticks() -> None:
    up, _ = replicas.propose(1, steady(200), COST, 30, Memory())
    assert up.wanted == 3 and up.urgent and up.prediction is not None
    memory = Memory()
    for tick in range(12):
        down, memory = replicas.propose(5, steady(100), COST, 30, memory)
        assert down.moves is (tick == 11)
    assert down.wanted == 4, "by at most 20%"


def test_within_12_percent_nothing_goes_down() -> None:
    memory = Memory()
    for _ in range(20):
        down, memory = replicas.propose(10, steady(620), COST, 30, memory)  # 9 would do
    assert not down.moves


def test_no_cpu_limit_means_no_evidence() -> None:
    cost = replicas.cost_of((api_pod(cpu_limit_cores=Absent("no limit")),))
    assert isinstance(cost, Absent)
    assert replicas.propose(1, steady(900), cost, 30, Memory())[0].reason is Reason.NO_EVIDENCE


def test_a_reversal_doubles_the_window_downward_and_hours_shrink_it() -> None:
    fell = Memory(last_direction=((replicas.KNOB, -1),))
    once = replicas.window_after(fell, upward=True, now=1000.0)
    assert once.replica_window == 24
    later = replicas.window_after(replace(once, last_direction=()), upward=True, now=1000.0 + 2 * 3600)
    assert later.replica_window == 12


LIMITS = CacheTTL(group="search", min_seconds=1, max_seconds=600, max_stale_percent=1)
MISSES = GroupBelief("search", hits_per_second=10, misses_per_second=40)


def test_ttl_doubles_only_while_the_database_is_half_busy() -> None:
    assert ttl.propose(8, LIMITS, MISSES, busy=0.5).wanted == 16
    assert not ttl.propose(8, LIMITS, MISSES, busy=0.49).moves
    assert not ttl.propose(8, LIMITS, MISSES, busy=None).moves
    assert not ttl.propose(8, LIMITS, None, busy=1.0).moves


def test_near_the_staleness_limit_it_goes_by_20_percent_at_least_a_second() -> None:
    # mu = 0.001: T_stale = 2 x 0.01/0.001 = 20 s; half the limit is predicted at 10 s.
    written = replace(MISSES, writes_per_key=0.001)
    assert ttl.longest(LIMITS, written) == 20
    assert ttl.propose(8, LIMITS, written, busy=1.0).wanted == 16
    assert ttl.propose(10, LIMITS, written, busy=1.0).wanted == 12
    assert ttl.propose(19, LIMITS, written, busy=1.0).wanted == 20
    assert not ttl.propose(20, LIMITS, written, busy=1.0).moves


def test_downward_at_once_when_limit_or_writes_or_audit_say_so() -> None:
    assert ttl.propose(900, LIMITS, MISSES, busy=0.0).reason is Reason.LIMIT_LOWERED
    stale = ttl.propose(100, LIMITS, replace(MISSES, writes_per_key=0.001), busy=0.0)
    assert (stale.wanted, stale.reason, stale.safety) == (20, Reason.STALENESS_LIMIT, True)
    audited = ttl.propose(100, LIMITS, replace(MISSES, stale=30, audited=500), busy=0.0)
    assert (audited.wanted, audited.reason) == (50, Reason.STALENESS_LIMIT)
    assert not ttl.propose(100, LIMITS, replace(MISSES, stale=1, audited=40), busy=0.0).moves, "too few audits"


def test_writes_that_invalidate_do_not_hold_a_ttl_down() -> None:
    # 0.1 writes/s and key: T_stale would be 0.2 s; but an entry is stale for 20 ms a write, a share of 0.002.
    written = replace(MISSES, writes_per_key=0.1)
    on_write = replace(written, invalidated_on_write=True)
    assert ttl.propose(30, LIMITS, written, busy=1.0).wanted == 1
    assert ttl.longest(LIMITS, on_write) == 600
    assert ttl.propose(30, LIMITS, on_write, busy=1.0).wanted == 60
    assert ttl.longest(LIMITS, replace(on_write, writes_per_key=0.6)) == 1, "0.6 x 20 ms are more than 1%"
    audited = ttl.propose(30, LIMITS, replace(on_write, stale=30, audited=500), busy=1.0)
    assert (audited.wanted, audited.reason) == (15, Reason.STALENESS_LIMIT), "writes from outside show in the audit"


def test_memory_tier_and_stale_window_take_their_part_of_the_ttl() -> None:
    written = replace(MISSES, writes_per_key=0.001, beyond_seconds=6.0)
    assert ttl.longest(LIMITS, written) == 14
    assert ttl.propose(20, LIMITS, written, busy=1.0).wanted == 14
    assert ttl.predicted_staleness(written, 14) == pytest.approx(0.01)
    assert ttl.longest(LIMITS, replace(written, invalidated_on_write=True)) == 600


def test_a_limit_of_100_percent_is_no_limit() -> None:
    anything = LIMITS.model_copy(update={"max_stale_percent": 100})
    assert ttl.longest(anything, replace(MISSES, writes_per_key=5.0)) == 600
    assert ttl.propose(8, anything, replace(MISSES, writes_per_key=5.0), busy=1.0).wanted == 16


def test_the_wilson_bound() -> None:
    assert ttl.wilson_lower(10, 100) == pytest.approx(0.0552, abs=1e-4)
    assert ttl.wilson_lower(0, 0) == 0


def test_what_hits_already_is_left_alone() -> None:
    assert not ttl.propose(8, LIMITS, replace(MISSES, hits_per_second=4000.0), busy=1.0).moves
