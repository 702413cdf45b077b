"""The whole of one tick: modes, holds, the order of moves, what is written and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.tuner_core.build import EPOCH, LATER_EPOCH, ack, api_pod, document, observation, policy, pooler_pod
from tests.unit.tuner_core.stack import Stack, knee_at
from tuner.crds.status import Bottleneck, ConditionType, Outcome, TuningPolicy
from tuner.decide.budget import Charged, Ledger, dump_ledger, parse_ledger
from tuner.decide.decision import Decision, Reason
from tuner.decide.memory import Memory, Pending, PoolMemory
from tuner.decide.plan import Plan, decide, executed
from tuner.decide.settle import reason_to_wait
from tuner.decide.situation import survey
from tuner.model.beliefs import Beliefs, learn
from tuner.observation import Absent, Conflict, ConflictKind, Database, Neighbour, Observation, Store, Target

CROWDED: dict[str, Any] = {
    "api_pods": (api_pod(acknowledged=ack(1), pool_size=12, checked_out=4.0),),
    "pooler_pods": tuple(pooler_pod(i, size=2, saturated=True, acknowledged=ack(1)) for i in range(2)),
    "store": Store(EPOCH, "7", document(1, pooler=2, poolSize=12), dump_ledger(Ledger((Charged(EPOCH, 1, 2, 2),)))),
}
READY = Memory(pool=PoolMemory(saturated_ticks=2))


def plan(seen: Observation, memory: Memory = READY, by: TuningPolicy | None = None, ticks: int = 3) -> Plan:
    beliefs = Beliefs()
    for _ in range(ticks):
        beliefs = learn(beliefs, seen, max_pods=2)
    return decide(by or policy(), seen, beliefs, memory, seen.time)


def condition(result: Plan, kind: ConditionType) -> str:
    return next(c.status for c in result.conditions if c.type is kind)


def test_a_binding_queue_is_answered_by_one_document_with_its_ledger() -> None:
    result = plan(observation(**CROWDED))
    assert result.verdict.bottleneck is Bottleneck.POOLER
    assert result.write is not None and result.scale is None
    written = result.write.document
    assert (written.generation, written.pooler and written.pooler.pool_size) == (2, 3)
    assert result.write.resource_version == "7"
    ledger = parse_ledger(result.write.ledger)
    assert ledger == Ledger((Charged(EPOCH, 1, 2, 2), Charged(EPOCH, 2, 3, 2)))
    assert [d.knob for d in result.decisions] == ["poolerPoolSize"]
    assert result.budget is not None and (result.budget.used, result.budget.worst_case) == ("4/79", 4)


def test_every_decision_says_from_to_reason_sentence_and_prediction() -> None:
    (decision,) = plan(observation(**CROWDED)).decisions
    assert (decision.before, decision.after, decision.reason) == (4, 6, Reason.PROBE_UP)
    assert "clients wait for a server connection at pool size 4" in decision.message
    assert decision.prediction is not None and "transactions/s" in decision.prediction.sentence


def test_recommend_writes_nothing_and_says_what_apply_would_do() -> None:
    result = plan(observation(**CROWDED), by=policy(mode="Recommend"))
    assert result.write is None and result.scale is None and result.decisions == ()
    assert {k.name: k.recommended for k in result.knobs}["poolerPoolSize"] == 6
    assert executed(result, wrote=False, scaled=False).pool.probe is None


def test_observe_gives_verdict_and_capacity_only() -> None:
    result = plan(observation(**CROWDED), by=policy(mode="Observe"))
    assert result.write is None and {k.recommended for k in result.knobs} == {None}
    assert result.verdict.bottleneck is Bottleneck.POOLER
    assert [c.pool_size for c in result.capacity] == [4]


HOLDS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "paused": ({}, {"paused": True}, "the policy is paused"),
    "paused until": ({}, {"annotations": {"trimtab.dev/paused-until": "1970-01-20T00:00:00+00:00"}}, "paused"),
    "paused until nobody can read when": (
        {}, {"annotations": {"trimtab.dev/paused-until": "tomorrow"}}, "'tomorrow', which is no time",
    ),
    "paused until nothing": ({}, {"annotations": {"trimtab.dev/paused-until": ""}}, "'', which is no time"),
    "paused until, in UTC": ({}, {"annotations": {"trimtab.dev/paused-until": "1970-01-12T13:46:41"}}, "paused"),
    "frozen": ({}, {"behavior": {"freeze": [{"schedule": "* * * * *", "durationSeconds": 60}]}}, "freeze window"),
    "old": ({"metrics_age_seconds": 46.0}, {}, "46 s old"),
    "no metrics": ({"metrics_age_seconds": Absent("timeout")}, {}, "timeout"),
    "no pod list": ({"pooler_pods": Absent("forbidden")}, {}, "forbidden"),
    "no store": ({"store": Absent("forbidden")}, {}, "forbidden"),
    "no maximum": (
        {"database": Database(Absent("no exporter"), 3, Absent("x"))}, {"database": {}}, "no exporter",
    ),
    "no neighbours": ({"neighbours": Absent("not listed")}, {}, "not listed"),
    "second policy": ({"conflicts": (Conflict(ConflictKind.SECOND_POLICY, "x"),)}, {}, "SecondPolicy x"),
    "later epoch": (
        {"pooler_pods": tuple(replace(p, acknowledged=ack(1, LATER_EPOCH)) for p in CROWDED["pooler_pods"])},
        {}, "delete the knobs ConfigMap",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDS)
def test_what_holds_everything_says_so(name: str) -> None:
    seen, spec, sentence = HOLDS[name]
    result = plan(observation(**(CROWDED | seen)), by=policy(**spec))
    assert result.write is None and result.scale is None and result.decisions == ()
    said = " ".join(
        [*(k.message for k in result.knobs), *(c.message for c in result.conditions), result.verdict.evidence]
    )
    assert sentence in said


def test_conditions_are_always_all_there() -> None:
    for seen in (observation(), observation(store=Absent("x")), observation(api_pods=Absent("x"), pooler_pods=())):
        assert [c.type for c in plan(seen).conditions] == list(ConditionType)
    paused = plan(observation(**CROWDED), by=policy(paused=True))
    assert condition(paused, ConditionType.PAUSED) == "True"
    old = plan(observation(**(CROWDED | {"metrics_age_seconds": 99.0})))
    assert condition(old, ConditionType.METRICS_AVAILABLE) == "False"
    assert condition(old, ConditionType.READY) == "False"


def test_a_pause_that_is_over_is_none() -> None:
    over = policy(annotations={"trimtab.dev/paused-until": "1970-01-12T13:46:39"})  # a second before the look
    assert plan(observation(**CROWDED), by=over).write is not None


def test_a_bound_that_holds_a_knob_is_said() -> None:
    result = plan(observation(**CROWDED), by=policy(knobs={"poolerPoolSize": {"min": 2, "max": 4}}))
    assert result.write is None and condition(result, ConditionType.LIMITED) == "True"


def test_the_budget_holds_a_knob_before_its_bound() -> None:
    tight = policy(database={"maxConnections": 20, "reservedConnections": 13})  # F 7, slack 2, 5 allocatable
    result = plan(observation(**CROWDED), by=tight)
    assert "poolerPoolSize" not in {d.knob for d in result.decisions}
    assert result.budget is not None and result.budget.allocatable == 5


def test_a_neighbour_on_the_server_takes_its_part() -> None:
    result = plan(observation(**CROWDED, neighbours=(Neighbour("other", 75),)))
    assert result.budget is not None and result.budget.allocatable == 4
    assert "poolerPoolSize" not in {d.knob for d in result.decisions}


def test_a_knob_that_is_not_listed_is_never_touched() -> None:
    result = plan(observation(**CROWDED), by=policy(knobs={"replicas": {"min": 1, "max": 4}}))
    assert result.write is None and [k.name for k in result.knobs] == ["replicas"]


def test_more_pooler_pods_come_only_after_the_smaller_size_is_confirmed() -> None:
    wide = policy(pooler={"name": "p", "maxPods": 4}, knobs={"poolerPoolSize": {"min": 4, "max": 60}})
    before = document(1, pooler=30)
    seen = observation(
        pooler_pods=tuple(pooler_pod(i, size=30, acknowledged=ack(1)) for i in range(2)),
        store=Store(EPOCH, "7", before, dump_ledger(Ledger((Charged(EPOCH, 1, 30, 2),)))),
    )
    first = plan(seen, by=wide)
    assert first.write is not None and first.write.document.pooler is not None
    assert (first.write.document.pooler.pool_size, first.write.document.pooler.max_pods) == (15, 2)
    store = Store(EPOCH, "8", first.write.document, first.write.ledger)
    halfway = (pooler_pod(0, size=15, acknowledged=ack(2)), pooler_pod(1, size=30, acknowledged=ack(1)))
    assert plan(replace(seen, store=store, pooler_pods=halfway), by=wide).write is None
    both = tuple(pooler_pod(i, size=15, acknowledged=ack(2)) for i in range(2))
    second = plan(replace(seen, store=store, pooler_pods=both), by=wide)
    assert second.write is not None and second.write.document.pooler is not None
    assert (second.write.document.pooler.pool_size, second.write.document.pooler.max_pods) == (15, 4)
    assert [d.reason for d in second.decisions] == [Reason.MAX_PODS]
    older = (Conflict(ConflictKind.SECOND_POLICY, "older"),)
    assert plan(replace(seen, store=store, pooler_pods=both, conflicts=older), by=wide).write is None
    assert plan(replace(seen, store=store, pooler_pods=both), by=wide.model_copy(update={"spec": wide.spec.model_copy(
        update={"paused": True})})).write is None  # fmt: skip


def test_without_a_pooler_the_budget_is_over_the_api_pods() -> None:
    direct = policy(pooler=None, knobs={"apiPoolSize": {"min": 2, "max": 40}, "replicas": {"min": 1, "max": 4}})
    waiting = api_pod(pool_size=14, checked_out=14.0, checkout_wait_seconds_per_second=9.0)
    seen = observation(api_pods=(waiting,), pooler_pods=(), target=Target(1, 1, surge_pods=1))
    result = plan(seen, by=direct)
    assert result.write is not None
    api = result.write.document.api
    assert (api.pool_size, api.max_pods) == (15, 5), "79 // (4 + 1 of surge)"


def test_the_apis_pool_comes_down_to_a_lowered_bound_or_budget() -> None:
    seen = observation(api_pods=(api_pod(pool_size=30),))
    bound = plan(seen, by=policy(knobs={"apiPoolSize": {"min": 2, "max": 20}}))
    assert [(d.knob, d.after, d.reason) for d in bound.decisions] == [("apiPoolSize", 20, Reason.LIMIT_LOWERED)]
    direct = policy(pooler=None, knobs={"apiPoolSize": {"min": 2, "max": 40}})
    eight = observation(
        api_pods=tuple(api_pod(i, pool_size=30) for i in range(8)),
        pooler_pods=(),
        target=Target(spec_replicas=8, ready_replicas=8),
    )
    result = plan(eight, by=direct)
    assert condition(result, ConditionType.BUDGET_SATISFIED) == "False", "8 pods of 30, scaled by somebody else"
    assert [(d.knob, d.after, d.reason) for d in result.decisions] == [("apiPoolSize", 9, Reason.LIMIT_LOWERED)]
    assert result.write is not None and result.write.document.api.max_pods == 8


def test_a_plan_that_was_not_executed_leaves_no_trace() -> None:
    result = plan(observation(**CROWDED))
    assert executed(result, wrote=False, scaled=False) == result.memory
    done = executed(result, wrote=True, scaled=False)
    assert done.pool.probe is not None and done.pending is not None and done.pending.generation == 2
    assert done.journal == result.decisions


def test_one_move_settles_before_the_next() -> None:
    stack = Stack(policy(), knee_at(12))
    for _ in range(60):
        result = stack.step()
        moved = {d.knob for d in result.decisions}
        assert not ({"poolerPoolSize", "replicas"} <= moved)
        assert not ("poolerPoolSize" in moved and any(k.startswith("cacheTTL") for k in moved))


def settling(knob: str, after: int, confirmed: float | None, ticks: int, urgent: bool = False, now: float = 0.0) -> str:
    seen = observation()
    situation = survey(policy(), seen, Beliefs(), Memory(), seen.time + now)
    decision = Decision(seen.time, knob, 1, after, Reason.DEMAND, "")
    at = None if confirmed is None else seen.time + confirmed
    return reason_to_wait(situation, Pending((decision,), 2, None, seen.time, at, ticks), urgent)


def test_how_long_each_kind_of_move_settles() -> None:
    assert "not confirmed" in settling("replicas", 2, None, 0, now=119)
    assert settling("replicas", 2, None, 0, now=120) == "", "its document stays charged, the rest goes on"
    assert settling("replicas", 2, confirmed=5, ticks=1, urgent=True, now=10)
    assert settling("replicas", 2, confirmed=5, ticks=2, urgent=True, now=15) == ""
    assert "49 s more" in settling("cacheTTL/search", 32, confirmed=5, ticks=4, now=20)
    assert settling("cacheTTL/search", 32, confirmed=5, ticks=4, urgent=True, now=20) == "", (
        "a binding queue goes first"
    )
    assert settling("cacheTTL/search", 32, confirmed=5, ticks=9, now=70) == ""
    assert settling("cacheTTL/search", 3000, confirmed=0, ticks=60, now=300) == "", "5 minutes at most"


def test_a_long_absence_takes_an_unfinished_trial_back() -> None:
    result = plan(observation(**CROWDED))
    assert result.write is not None
    memory = executed(result, wrote=True, scaled=False)
    store = Store(EPOCH, "8", result.write.document, result.write.ledger)
    later = observation(**(CROWDED | {"store": store, "metrics_age_seconds": Absent("down")}))
    soon = decide(policy(), later, Beliefs(), memory, later.time + 299)
    assert soon.write is None and condition(soon, ConditionType.FALLBACK_ACTIVE) == "False"
    late = decide(policy(), later, Beliefs(), memory, later.time + 300)
    assert [(d.before, d.after, d.reason) for d in late.decisions] == [(6, 4, Reason.FALLBACK)]
    assert condition(late, ConditionType.FALLBACK_ACTIVE) == "True"


def test_the_fallback_needs_no_measured_limit_and_lasts_as_long_as_the_absence() -> None:
    """Where max_connections itself is measured it is missing too: what raises nothing may be written all the same."""
    by = policy(database={"reservedConnections": 13})
    result = plan(observation(**CROWDED), by=by)
    assert result.write is not None
    memory = executed(result, wrote=True, scaled=False)
    blind: dict[str, Any] = {"metrics_age_seconds": Absent("down"), "database": Database(*[Absent("down")] * 3)}
    store = Store(EPOCH, "8", result.write.document, result.write.ledger)
    later = observation(**(CROWDED | blind | {"store": store}))
    late = decide(by, later, Beliefs(), memory, later.time + 300)
    assert late.write is not None and late.write.document.pooler is not None
    assert (late.write.document.pooler.pool_size, late.write.document.pooler.max_pods) == (2, 2)
    ledger = parse_ledger(late.write.ledger)
    assert not isinstance(ledger, Absent) and Charged(EPOCH, 2, 3, 2) in ledger.documents, "it is not confirmed yet"
    memory = executed(late, wrote=True, scaled=False)
    done = observation(**(CROWDED | blind | {"store": Store(EPOCH, "9", late.write.document, late.write.ledger)}))
    after = decide(by, done, Beliefs(), memory, later.time + 600)
    assert after.write is None and condition(after, ConditionType.FALLBACK_ACTIVE) == "True"
    more = policy(database={"reservedConnections": 13}, pooler={"name": "catalog-pooler", "maxPods": 9})
    raised = decide(more, later, Beliefs(), executed(result, wrote=True, scaled=False), later.time + 300)
    assert raised.write is None or (raised.write.document.pooler and raised.write.document.pooler.max_pods == 2)


def test_a_change_that_made_things_worse_is_undone_and_quarantined() -> None:
    knobs = {"cacheTTL": [{"group": "search", "maxSeconds": 2}]}
    stack = Stack(policy(paused=True, knobs=knobs), knee_at(12), noise=0.02, pooler_size=6, api_pool=40)
    for _ in range(10):
        stack.step()
    stack.policy = policy(knobs=knobs)
    stack.step()
    (moved,) = stack.plans[-1].decisions
    stack.slowdown = 2.0
    undone = None
    for _ in range(20):
        for decision in stack.step().decisions:
            undone = undone or decision
    assert undone is not None and undone.reason is Reason.UNDO
    assert (undone.before, undone.after) == (moved.after, moved.before)
    assert undone.time - moved.time <= 75 + 2 * stack.tick
    assert stack.memory.journal[0].outcome is Outcome.ROLLED_BACK
    assert any(q.knob == moved.knob for q in stack.memory.quarantine)
    assert condition(stack.plans[-1], ConditionType.ROLLED_BACK) == "True"
