"""What came of predictions: throughput since the confirmation, CPU and hit ratio as they are now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.tuner_core.build import api_pod, observation, policy, pooler_pod
from tuner.crds.status import Outcome
from tuner.decide.decision import Decision, Prediction, Reason
from tuner.decide.memory import Block, Memory, Pending
from tuner.decide.observed import being_judged, prediction_errors
from tuner.decide.plan import decide
from tuner.decide.situation import survey
from tuner.model.beliefs import Beliefs, learn
from tuner.observation import Absent, CacheTraffic

SEEN = observation(
    api_pods=tuple(api_pod(i, cpu_cores=0.3, cache=(CacheTraffic("search", 30.0, 10.0),)) for i in range(2)),
    pooler_pods=tuple(pooler_pod(i, rate=550.0) for i in range(2)),
)
NOW = SEEN.time
BELIEFS = learn(Beliefs(), SEEN, max_pods=2)


def settled(knob: str, metric: str, value: float, confirmed_ago: float | None = 61.0) -> Memory:
    """A move that is due to be judged: 900 transactions/s before, 1,100 since it was confirmed."""
    moved = Decision(NOW - 65, knob, 1, 2, Reason.DEMAND, "", Prediction(metric, value, "expected"))
    window = tuple(Block(NOW - ago, 0.0, 900.0 if ago > 65 else 1100.0, 0.0) for ago in range(95, 0, -5))
    at = None if confirmed_ago is None else NOW - confirmed_ago
    return Memory(pending=Pending((moved,), None, None, NOW - 65, at), window=window, journal=(moved,))


@pytest.mark.parametrize(
    ("knob", "metric", "predicted", "error"),
    [
        ("poolerPoolSize", "transactionsPerSecond", 1000.0, 0.1),
        ("replicas", "cpuPercent", 60.0, -0.5),
        ("cacheTTL/search", "hitRatioPercent", 50.0, 0.5),
        ("cacheTTL/other", "hitRatioPercent", 50.0, None),
        ("replicas", "moonPhase", 1.0, None),
    ],
)
def test_a_move_that_is_judged_has_its_error(knob: str, metric: str, predicted: float, error: float | None) -> None:
    plan = decide(policy(), SEEN, BELIEFS, settled(knob, metric, predicted), NOW)
    assert [d.outcome for d in plan.judged] == [Outcome.KEPT]
    assert dict(plan.errors) == ({} if error is None else {knob: pytest.approx(error, abs=0.02)})


def test_a_move_that_waits_or_cannot_be_judged_has_none() -> None:
    assert decide(policy(), SEEN, BELIEFS, settled("replicas", "cpuPercent", 60.0, 30.0), NOW).errors == ()
    late = replace(settled("replicas", "cpuPercent", 60.0, None), window=())
    assert late.pending is not None
    unconfirmed = replace(late.pending, started=NOW - 300, generation=9)
    plan = decide(policy(), SEEN, BELIEFS, replace(late, pending=unconfirmed), NOW)
    assert [d.outcome for d in plan.judged] == [Outcome.INCONCLUSIVE] and plan.errors == ()


def test_what_is_about_to_be_undone_counts_too() -> None:
    memory = settled("replicas", "cpuPercent", 60.0)
    assert memory.pending is not None
    memory = replace(memory, pending=replace(memory.pending, undo=True))
    assert being_judged(memory, ()) == memory.pending.decisions if memory.pending else False
    situation = survey(policy(), SEEN, BELIEFS, memory, NOW)
    assert prediction_errors(situation, BELIEFS, memory, being_judged(memory, ())) == (("replicas", -0.5),)


def test_a_pod_that_does_not_say_makes_no_number() -> None:
    silent = replace(SEEN, api_pods=(api_pod(0), api_pod(1, cpu_cores=Absent("no metric"))))
    plan = decide(policy(), silent, BELIEFS, settled("replicas", "cpuPercent", 60.0), NOW)
    assert plan.judged and plan.errors == ()
