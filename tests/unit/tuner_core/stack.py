"""A synthetic stack for closed-loop tests: a fixed number of clients, one formula for the database, no queue theory.

Clients keep min(clients, API pools) connections busy at the pooler; C = server connections of the pooler; the database
gives X = curve(min(C, wanted)) with `noise` in each second. What does not fit in C waits at the pooler, what does not
fit in the pools waits in the API. Written documents arrive one tick late, as they do in a cluster.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.unit.tuner_core.build import EPOCH, api_pod, observation, pooler_pod
from trimtab.knobs.document import KnobsDocument
from tuner.crds.status import TuningPolicy
from tuner.decide.memory import Memory, dump_state, load_state
from tuner.decide.plan import Plan, decide, executed
from tuner.model.beliefs import Beliefs, learn
from tuner.observation import Acknowledgement, CacheTraffic, Database, Observation, Store, Target

Curve = Callable[[int], float]


@dataclass
class Stack:
    policy: TuningPolicy
    curve: Curve
    clients: int = 64
    noise: float = 0.05
    seed: int = 0
    tick: float = 5.0
    cpu_seconds: float = 0.0001
    pooler_size: int = 1
    api_pool: int = 2
    replicas: int = 1
    slowdown: float = 1.0
    ttl: int = 1
    now: float = 1_000_000.0
    document: KnobsDocument | None = None
    ledger: str | None = None
    version: int = 0
    arriving: KnobsDocument | None = None
    applied: Acknowledgement = field(default_factory=lambda: Acknowledgement("", 0))
    beliefs: Beliefs = field(default_factory=Beliefs)
    memory: Memory = field(default_factory=Memory)
    plans: list[Plan] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    @property
    def connections(self) -> int:
        return 2 * self.pooler_size

    def observe(self) -> Observation:
        wanted = min(self.clients, self.api_pool * self.replicas)
        busy = min(self.connections, wanted)
        rate = self.curve(busy) / self.slowdown * max(0.5, self.random.gauss(1, self.noise / self.tick**0.5))
        limit = 1.0 * self.replicas / self.cpu_seconds
        saturated = wanted - self.connections >= 0.25 * self.connections
        waits = max(0, self.clients - wanted) / self.replicas
        if rate > limit:
            # The API's CPU binds: neither its pools nor the pooler have a queue.
            rate, saturated, waits, wanted, busy = limit, False, 0.0, 0, 1
        self.rates.append(rate)
        base = observation(
            time=self.now,
            interval_seconds=self.tick,
            store=Store(EPOCH, str(self.version) if self.version else None, self.document, self.ledger),
            database=Database(max_connections=100, superuser_reserved=3, backends={"catalog_app": self.connections}),
            target=Target(spec_replicas=self.replicas, ready_replicas=self.replicas),
        )
        poolers = tuple(
            replace(
                pooler_pod(i, size=self.pooler_size, saturated=saturated, rate=rate / 2),
                acknowledged=self.applied,
                query_seconds_per_second=busy / 2,
                transaction_seconds_per_second=busy / 2,
                wait_seconds_per_second=max(0, wanted - busy) / 2,
            )
            for i in range(2)
        )
        apis = tuple(
            api_pod(
                i,
                acknowledged=self.applied,
                pool_size=self.api_pool,
                checked_out=float(min(self.api_pool, self.clients / self.replicas)),
                checkout_wait_seconds_per_second=float(waits),
                arrivals_per_second=rate / self.replicas,
                cpu_cores=rate * self.cpu_seconds / self.replicas,
                cache=(CacheTraffic("search", 1.0, 9.0, ttl_seconds=float(self.ttl)),),
            )
            for i in range(self.replicas)
        )
        return replace(base, pooler_pods=poolers, api_pods=apis)

    def step(self) -> Plan:
        """One tick: the last document arrives, everything is observed, learned, decided, and written."""
        self._apply()
        seen = self.observe()
        self.beliefs = learn(self.beliefs, seen, max_pods=2)
        plan = decide(self.policy, seen, self.beliefs, self.memory, self.now)
        if plan.write is not None:
            self.document, self.ledger = plan.write.document, plan.write.ledger
            self.version += 1
            self.arriving = plan.write.document
        if plan.scale is not None:
            self.replicas = plan.scale.replicas
        self.memory = executed(plan, wrote=plan.write is not None, scaled=plan.scale is not None)
        self.plans.append(plan)
        self.now += self.tick
        return plan

    def restart(self) -> None:
        """The tuner dies and comes back with what its state ConfigMap holds."""
        state = load_state(dump_state(self.beliefs, self.memory))
        assert not state.problem
        self.beliefs, self.memory = state.beliefs, state.memory

    def _apply(self) -> None:
        document = self.arriving
        if document is None:
            return
        if document.pooler:
            self.pooler_size = document.pooler.pool_size
        if document.api.pool_size:
            self.api_pool = document.api.pool_size
        self.ttl = document.api.cache_ttl_seconds.get("search", self.ttl)
        self.applied = Acknowledgement(document.epoch, document.generation)
        self.arriving = None


def knee_at(best: int, top: float = 3000.0) -> Curve:
    """Linear up to `best` connections, flat beyond."""
    return lambda n: top * min(n, best) / best


def saturating(half: float, top: float = 3000.0) -> Curve:
    """X = top n/(n + half): every further connection gives a little less."""
    return lambda n: top * n / (n + half)


def retrograde(sigma: float = 0.05, kappa: float = 0.002, one: float = 400.0) -> Curve:
    """Gunther's universal scalability law: contention sigma, coherence kappa; falls beyond its peak."""
    return lambda n: one * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))
