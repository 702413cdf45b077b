"""The situation of one tick: what can be trusted, what is in force, what the budget leaves, which queue binds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from trimtab.knobs.document import KnobsDocument
from tuner.crds.policy import TuningPolicySpec
from tuner.crds.status import Bottleneck, TuningPolicy
from tuner.decide import bottleneck, pool
from tuner.decide.budget import Charged, Fence, charge, largest_size, parse_ledger, unretired
from tuner.decide.decision import Verdict
from tuner.decide.inforce import InForce, in_force
from tuner.decide.memory import Memory
from tuner.decide.regression import bad_share
from tuner.model.beliefs import Beliefs
from tuner.model.capacity import Sample, sample_of
from tuner.observation import Absent, ApiPod, Maybe, Observation, PoolerPod, Store, present

PAUSED_UNTIL = "trimtab.dev/paused-until"


@dataclass(frozen=True, slots=True)
class Budget:
    """What the budget leaves. `documents`: the unretired ones; `largest`: connections a pod; see budget.py."""

    fence: Fence
    documents: tuple[Charged, ...]
    max_pods: int
    by_api_pods: bool

    @property
    def largest(self) -> int:
        return largest_size(self.fence.allocatable, self.documents, self.max_pods)

    @property
    def worst_case(self) -> int:
        return charge(self.documents)


@dataclass(frozen=True, slots=True)
class Situation:
    """`problem`: why nothing may be decided on this observation ("" when it may); `metrics_only`: it is only that
    measurements are missing, so that the fallback may act. `unreadable_pause`: what is wrong with the annotation that
    says until when it is paused, "" where nothing is. `api_pods`, `pooler_pods`: all that exist."""

    policy: str
    spec: TuningPolicySpec
    observation: Observation
    now: float
    problem: str
    metrics_only: bool
    paused: bool
    unreadable_pause: str
    store: Store | None
    api_pods: tuple[ApiPod, ...]
    pooler_pods: tuple[PoolerPod, ...]
    in_force: InForce
    budget: Maybe[Budget]
    sample: Maybe[Sample]
    verdict: Verdict
    slowing: bool
    bad: float | None

    @property
    def ready_apis(self) -> tuple[ApiPod, ...]:
        return tuple(pod for pod in self.api_pods if pod.ready)

    @property
    def ready_poolers(self) -> tuple[PoolerPod, ...]:
        return tuple(pod for pod in self.pooler_pods if pod.ready)

    @property
    def document(self) -> KnobsDocument | None:
        return self.store.document if self.store else None

    @property
    def violated(self) -> bool:
        return self.bad is not None and self.bad > objective_share(self.spec)


def objective_share(spec: TuningPolicySpec) -> float:
    """Share of requests that may be slow or failed."""
    return max(100 - spec.objective.latency_quantile_percent, spec.objective.error_percent) / 100


def survey(policy: TuningPolicy, observation: Observation, beliefs: Beliefs, memory: Memory, now: float) -> Situation:
    spec = policy.spec
    apis = present(observation.api_pods) or ()
    poolers = present(observation.pooler_pods) or ()
    if spec.pooler is None:
        poolers = ()
    ready_apis = tuple(pod for pod in apis if pod.ready)
    ready_poolers = tuple(pod for pod in poolers if pod.ready)
    store = present(observation.store)
    values = in_force(spec, observation, store.document if store else None, ready_apis, ready_poolers)
    budget = _budget(spec, observation, store, apis, poolers)
    problem, metrics_only = _problem(spec, observation, budget, (*apis, *poolers), store)
    sample = _sample(values, ready_poolers, observation, beliefs) if spec.pooler else Absent("there is no pooler")
    if problem:
        verdict = Verdict(Bottleneck.UNKNOWN, problem)
    else:
        size = values.connections or 0
        above = pool.blocked_above(size, values.unit, beliefs.capacity, memory.pool, now)
        evidence = bottleneck.Evidence(ready_poolers if spec.pooler else None, ready_apis, sample, size, above)
        verdict = bottleneck.judge(evidence, beliefs)
    until, unreadable_pause = _paused_until(policy)
    return Situation(
        policy=policy.metadata.name,
        spec=spec,
        observation=observation,
        now=now,
        problem=problem,
        metrics_only=metrics_only,
        paused=spec.paused or now < until or bool(unreadable_pause),
        unreadable_pause=unreadable_pause,
        store=store,
        api_pods=apis,
        pooler_pods=poolers,
        in_force=values,
        budget=budget,
        sample=sample,
        verdict=verdict,
        slowing=beliefs.slowdown.suspected,
        bad=None if problem else bad_share(ready_apis),
    )


def _paused_until(policy: TuningPolicy) -> tuple[float, str]:
    """The end of the pause in seconds since the epoch, 0 without one; and what is wrong with it.

    Who writes the annotation wants a pause: one that cannot be read holds until it is mended. Without a zone: UTC.
    """
    text = policy.metadata.annotations.get(PAUSED_UNTIL)
    if text is None:
        return 0.0, ""
    try:
        until = datetime.fromisoformat(text.strip())
        return (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp(), ""
    except (ValueError, OverflowError):
        return 0.0, (
            f"the annotation {PAUSED_UNTIL} is {text[:64]!r}, which is no time: write it like 2030-01-01T08:00:00Z, "
            "or remove it; until then nothing is changed"
        )


def _problem(
    spec: TuningPolicySpec, observation: Observation, budget: Maybe[Budget], pods: tuple[ApiPod | PoolerPod, ...],
    store: Store | None,
) -> tuple[str, bool]:  # fmt: skip
    """Why nothing may be decided, and whether it is only that measurements are missing."""
    for value in (observation.api_pods, observation.store, observation.pooler_pods if spec.pooler else ()):
        if isinstance(value, Absent):
            return value.reason, False
    newer = sorted({a.epoch for pod in pods if (a := present(pod.acknowledged)) and store and a.epoch > store.epoch})
    if newer:
        return (
            f"pods hold a document of the newer epoch {newer[0]} and would refuse this one: delete the knobs "
            "ConfigMap, and a newer one is made"
        ), False
    age = observation.metrics_age_seconds
    if isinstance(age, Absent):
        return f"no measurements: {age.reason}", True
    if age > spec.prometheus.stale_after_seconds:
        return f"the measurements are {age:.0f} s old, {spec.prometheus.stale_after_seconds} s are allowed", True
    if isinstance(budget, Absent):
        return f"the connection budget is not known: {budget.reason}", False
    return "", False


def _budget(
    spec: TuningPolicySpec, observation: Observation, store: Store | None, apis: tuple[ApiPod, ...],
    poolers: tuple[PoolerPod, ...],
) -> Maybe[Budget]:  # fmt: skip
    seen = observation.database.max_connections
    known = [v for v in (spec.database.max_connections, present(seen)) if v is not None]
    if not known:
        return seen if isinstance(seen, Absent) else Absent("max_connections is neither given nor measured")
    if isinstance(observation.neighbours, Absent):
        return observation.neighbours
    if store is None:
        return Absent("the knobs ConfigMap could not be read")
    fence = Fence(
        max_connections=min(known),
        reserved=spec.database.reserved_connections,
        elsewhere=sum(neighbour.charge for neighbour in observation.neighbours),
        policies=1 + len(observation.neighbours),
    )
    by_api = spec.pooler is None
    if spec.pooler is not None:
        max_pods = spec.pooler.max_pods
    else:
        replicas = spec.knobs.replicas.max if spec.knobs.replicas else present(observation.target.spec_replicas) or 0
        max_pods = max(replicas + observation.target.surge_pods, len(apis), 1)
    documents = unretired(store.document, parse_ledger(store.ledger), apis if by_api else poolers, max_pods, by_api)
    if isinstance(documents, Absent):
        return documents
    return Budget(fence, documents, max_pods, by_api)


def _sample(
    values: InForce, poolers: tuple[PoolerPod, ...], observation: Observation, beliefs: Beliefs
) -> Maybe[Sample]:
    """This tick's sample, keyed by connections over all pods; absent while a new size is not settled in."""
    if values.pooler_size is None:
        return Absent("the pool size in force is not known, or the pods differ")
    if beliefs.set_size != values.pooler_size:
        return Absent(f"not every pooler pod has pool size {values.pooler_size} yet")
    if beliefs.set_size_ticks < 1:
        return Absent("the first tick after a change of the pool is not counted")
    sample = sample_of(poolers, values.pooler_size, observation.interval_seconds)
    if isinstance(sample, Absent):
        return sample
    return Sample(size=sample.size * values.unit, rate=sample.rate, saturated=sample.saturated)
