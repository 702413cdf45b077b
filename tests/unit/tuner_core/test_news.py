"""A look without a new scrape: it says what the last one said, counts for nothing, and moves nothing but safety."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.tuner_core.build import EPOCH, ack, api_pod, document, observation, policy, pooler_pod
from tests.unit.tuner_core.stack import Stack, knee_at
from tuner.crds.status import TuningPolicy
from tuner.decide.decision import Decision, Reason
from tuner.decide.memory import Memory, Pending, PoolMemory
from tuner.decide.plan import Plan, decide
from tuner.model.beliefs import Beliefs, learn
from tuner.observation import Observation, Store

CROWDED = observation(
    api_pods=(api_pod(acknowledged=ack(1), pool_size=12, checked_out=4.0),),
    pooler_pods=tuple(pooler_pod(i, size=2, saturated=True, acknowledged=ack(1)) for i in range(2)),
    store=Store(EPOCH, "7", document(1, pooler=2, poolSize=12), '{"documents": []}'),
)
REPEATED = replace(CROWDED, news=False)
READY = Memory(pool=PoolMemory(saturated_ticks=2))


def learned(seen: Observation, ticks: int = 3) -> Beliefs:
    beliefs = Beliefs()
    for tick in range(ticks):
        beliefs = learn(beliefs, replace(seen, time=seen.time - 5 * (ticks - tick)), max_pods=2)
    return beliefs


def planned(seen: Observation, memory: Memory = READY, by: TuningPolicy | None = None) -> Plan:
    return decide(by or policy(), seen, learned(CROWDED), memory, seen.time)


def test_the_same_is_said_and_nothing_is_written() -> None:
    news, repeated = planned(CROWDED), planned(REPEATED)
    assert news.write is not None
    assert repeated.write is None and repeated.scale is None and repeated.decisions == ()
    assert repeated.verdict == news.verdict
    assert repeated.knobs == news.knobs, "what Apply would do next is still the same"
    assert repeated.conditions == news.conditions


def test_nothing_is_learned_or_counted_twice() -> None:
    beliefs = learned(CROWDED)
    assert learn(beliefs, REPEATED, max_pods=2) == beliefs
    before = CROWDED.time - 9
    moved = Decision(before, "replicas", 1, 2, Reason.DEMAND, "")
    settling = Pending((moved,), 1, None, started=before, confirmed_at=before + 4, ticks_since=1)
    memory = replace(READY, pending=settling, replica_wishes=(3,), last_fresh=CROWDED.time)
    assert planned(REPEATED, memory).memory == memory
    counted = planned(CROWDED, memory).memory
    assert counted.pending is not None and counted.pending.ticks_since == 2
    assert counted.pool.saturated_ticks == 3 and len(counted.window) == 1 and len(counted.replica_wishes) == 2


def test_a_trial_is_judged_by_what_was_measured_in_it() -> None:
    """Every second look repeats the one before: the pool ends where it ends without, in twice the looks."""
    plain, halting = Stack(policy(), knee_at(12), noise=0.0), Stack(policy(), knee_at(12), noise=0.0)
    for _ in range(40):
        plain.step()
    for _ in range(40):
        halting.step()
        repeated = replace(halting.observe(), news=False)
        again = decide(halting.policy, repeated, learn(halting.beliefs, repeated, 2), halting.memory, halting.now)
        assert again.write is None and again.scale is None
        assert again.memory.pool == halting.memory.pool and again.memory.window == halting.memory.window
        halting.memory = again.memory
    assert halting.connections == plain.connections


def test_a_limit_that_a_person_lowered_waits_for_no_scrape() -> None:
    lower = policy(knobs={"poolerPoolSize": {"min": 2, "max": 2}})
    plan = planned(REPEATED, by=lower)
    assert [(d.knob, d.after, d.reason) for d in plan.decisions] == [("poolerPoolSize", 2, Reason.LIMIT_LOWERED)]


@pytest.mark.parametrize("age", [46.0, 400.0])
def test_old_measurements_are_missing_whatever_is_repeated(age: float) -> None:
    plan = planned(replace(REPEATED, metrics_age_seconds=age), replace(READY, last_fresh=CROWDED.time - age))
    assert plan.write is None and "old" in plan.verdict.evidence
