"""Whatever is observed, in whatever state: a plan stays within bounds, steps and budget, and absence moves nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tuner_core.build import EPOCH, ack, api_pod, document, observation, policy, pooler_pod
from tuner.crds.status import Bottleneck, TuningPolicy
from tuner.decide.budget import Charged, Ledger, charge, dump_ledger, parse_ledger
from tuner.decide.decision import Reason
from tuner.decide.knobs import bounds_of, listed_knobs
from tuner.decide.memory import Memory, PoolMemory, dump_state, load_state
from tuner.decide.plan import Plan, decide, executed
from tuner.model.arrivals import Arrivals
from tuner.model.beliefs import Beliefs, learn
from tuner.model.capacity import Capacity, Sample
from tuner.model.slowdown import Slowdown
from tuner.observation import Absent, ApiPod, CacheTraffic, Observation, PoolerPod, Store, Target

SIZES = st.integers(1, 40)
RATES = st.floats(0, 5000, allow_nan=False)
SHARES = st.floats(0, 1, allow_nan=False)
SOURCES = st.sampled_from(["metrics_age_seconds", "api_pods", "pooler_pods", "store"])
MUST_BE_SEEN = {"transactions_per_second", "assignments_per_second", "clients_waiting", "saturated", "pool_size"}
QUIET = settings(max_examples=150, deadline=None)


@st.composite
def policies(draw: st.DrawFn) -> TuningPolicy:
    low, high = sorted((draw(SIZES), draw(st.integers(2, 60))))
    few, many = sorted((draw(st.integers(1, 12)), draw(st.integers(1, 12))))
    return policy(
        knobs={
            "poolerPoolSize": {"min": min(low, high), "max": max(2, high)},
            "apiPoolSize": {"min": few, "max": 4 * many},
            "apiConcurrency": {"min": few, "max": 100 * many},
            "replicas": {"min": few, "max": many},
            "cacheTTL": [{"group": "search", "minSeconds": few, "maxSeconds": 50 * many}],
        },
        database={"maxConnections": draw(st.integers(20, 200)), "reservedConnections": 13},
        behavior={
            "tickSeconds": 5,
            "cooldownSeconds": draw(st.integers(0, 60)),
            "maxStepPercent": draw(st.integers(10, 100)),
        },
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    size, api_size, replicas = draw(SIZES), draw(SIZES), draw(st.integers(1, 12))
    saturated, rate = draw(st.booleans()), draw(RATES)
    stored = draw(st.booleans())
    said = ack(3) if stored else ack(0, "")
    poolers = tuple(pooler_pod(i, size=size, saturated=saturated, rate=rate, acknowledged=said) for i in range(2))
    apis = tuple(
        api_pod(
            i,
            acknowledged=said,
            pool_size=api_size,
            checked_out=draw(SHARES) * api_size,
            checkout_wait_seconds_per_second=draw(st.floats(0, 50)),
            arrivals_per_second=rate,
            bad_per_second=rate * draw(SHARES),
            cpu_cores=draw(SHARES),
            cache=(CacheTraffic("search", draw(RATES), draw(RATES), ttl_seconds=float(draw(st.integers(1, 900)))),),
        )
        for i in range(min(replicas, 3))
    )
    ledger = Ledger((Charged(EPOCH, 2, draw(SIZES), 2), Charged(EPOCH, 3, size, 2)))
    written = document(3, pooler=size, poolSize=api_size)
    return observation(
        pooler_pods=poolers,
        api_pods=apis,
        target=Target(replicas, replicas),
        store=Store(EPOCH, "1", written, dump_ledger(ledger)) if stored else Store(EPOCH),
    )


@st.composite
def minds(draw: st.DrawFn) -> tuple[Beliefs, Memory]:
    capacity = Capacity(pods=2)
    for size in draw(st.lists(SIZES, max_size=4)):
        for _ in range(draw(st.integers(1, 4))):
            capacity = capacity.learn(Sample(2 * size, draw(st.floats(1, 5000)), saturated=True), 2, 999_900.0)
    slow = draw(st.sampled_from([(), (0.4,), (0.4, 0.4)]))
    level = draw(st.floats(0, 5000))
    beliefs = Beliefs(
        capacity=capacity, slowdown=Slowdown(recent=slow), arrivals=Arrivals(level=level, ticks=9, time=999_995.0)
    )
    memory = Memory(
        pool=PoolMemory(saturated_ticks=draw(st.integers(0, 5)), troubled_ticks=draw(st.integers(0, 3))),
        replica_wishes=tuple(draw(st.lists(st.integers(1, 12), max_size=14))),
        last_change=tuple((knob, 1_000_000.0 - draw(st.integers(0, 90))) for knob in listed_knobs(policy().spec)),
    )
    return beliefs, memory


def taught(beliefs: Beliefs, seen: Observation) -> Beliefs:
    for _ in range(2):
        beliefs = learn(beliefs, seen, max_pods=2)
    return beliefs


def planned(by: TuningPolicy, seen: Observation, mind: tuple[Beliefs, Memory]) -> Plan:
    return decide(by, seen, taught(mind[0], seen), mind[1], seen.time)


@QUIET
@given(policies(), observations(), minds())
def test_bounds_steps_and_cooldown_hold(by: TuningPolicy, seen: Observation, mind: tuple[Beliefs, Memory]) -> None:
    for d in planned(by, seen, mind).decisions:
        low, high = bounds_of(by.spec, d.knob)
        assert d.after >= 1 and d.before != d.after
        unit = 2 if d.knob == "poolerPoolSize" else 1
        if d.after > d.before:
            assert d.after <= high
            step = max(unit, d.before * by.spec.behavior.max_step_percent // 100)
            assert d.after <= d.before + step
        else:
            limits = (Reason.LIMIT_LOWERED, Reason.STALENESS_LIMIT)
            assert d.after >= low - low % unit or d.before < low or d.reason in limits
        changed = mind[1].changed_at(d.knob)
        free = {Reason.PROBE_DOWN, Reason.PAST_KNEE, Reason.DEMAND_FELL, Reason.DATABASE_BUSY}
        if d.reason in free and changed is not None:
            assert seen.time - changed >= by.spec.behavior.cooldown_seconds


@QUIET
@given(policies(), observations(), minds())
def test_a_written_document_fits_the_budget_and_its_ledger_says_all(
    by: TuningPolicy, seen: Observation, mind: tuple[Beliefs, Memory]
) -> None:
    result = planned(by, seen, mind)
    if result.write is None:
        return
    pooler, budget = result.write.document.pooler, result.budget
    ledger = parse_ledger(result.write.ledger)
    assert pooler is not None and budget is not None and not isinstance(ledger, Absent)
    assert pooler.pool_size * pooler.max_pods <= budget.allocatable
    assert charge(ledger.documents) <= max(budget.allocatable, budget.worst_case)
    newest = max(ledger.documents, key=lambda d: d.generation)
    assert (newest.generation, newest.pool_size) == (result.write.document.generation, pooler.pool_size)


@QUIET
@given(policies(), observations(), minds())
def test_the_same_is_decided_again_also_after_a_restart(
    by: TuningPolicy, seen: Observation, mind: tuple[Beliefs, Memory]
) -> None:
    first, second = planned(by, seen, mind), planned(by, seen, mind)
    assert first == second
    kept = load_state(dump_state(*mind))
    assert planned(by, seen, (kept.beliefs, kept.memory)).decisions == first.decisions
    executed(first, wrote=True, scaled=True)


@QUIET
@given(policies(), observations(), minds(), st.data())
def test_what_is_absent_starts_no_growth(
    by: TuningPolicy, seen: Observation, mind: tuple[Beliefs, Memory], data: st.DataObject
) -> None:
    """Taking one measurement of one pod away may stop moves; no knob grows then that would have stayed.

    A knob outside its range may come back into it whatever is seen.
    """
    whole = planned(by, seen, mind)
    kind: Any = data.draw(st.sampled_from([PoolerPod, ApiPod]))
    identity = ("name", "uid", "ready", "acknowledged")
    name = data.draw(st.sampled_from([f.name for f in fields(kind) if f.name not in identity]))
    which = "pooler_pods" if kind is PoolerPod else "api_pods"
    pods = getattr(seen, which)
    changes: Any = {name: Absent("gone")}
    hidden: Any = {which: (replace(pods[0], **changes), *pods[1:])}
    result = planned(by, replace(seen, **hidden), mind)
    grown = [d for d in result.decisions if d.after > d.before and d.reason is not Reason.BOUND]
    if kind is PoolerPod and name in MUST_BE_SEEN:
        assert not grown, (name, grown)
    if not whole.decisions:
        assert not grown, (name, grown)


@QUIET
@given(policies(), observations(), minds(), SOURCES)
def test_without_a_source_nothing_is_written(
    by: TuningPolicy, seen: Observation, mind: tuple[Beliefs, Memory], source: str
) -> None:
    hidden: Any = {source: Absent("gone")}
    result = planned(by, replace(seen, **hidden), mind)
    assert result.write is None and result.scale is None and result.decisions == ()
    assert result.verdict.bottleneck is Bottleneck.UNKNOWN


@QUIET
@given(policies(), observations(), minds())
def test_a_database_in_trouble_is_never_answered_with_more_load(
    by: TuningPolicy, seen: Observation, mind: tuple[Beliefs, Memory]
) -> None:
    result = planned(by, seen, mind)
    sick = result.verdict.bottleneck in (Bottleneck.DATABASE, Bottleneck.DEGRADED, Bottleneck.STALLED)
    if sick or taught(mind[0], seen).slowdown.suspected:
        grown = [d for d in result.decisions if d.after > d.before and not d.knob.startswith("cacheTTL")]
        assert all(d.knob == "apiPoolSize" and d.reason is Reason.FOLLOWS_POOL for d in grown), grown
        if result.verdict.bottleneck is not Bottleneck.DATABASE:
            assert not grown
