"""Everything that was learned, and how one tick teaches it. Pure; serialised by `decide/memory.py`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tuner.model.arrivals import Arrivals
from tuner.model.cache import MAX_GROUPS, Caches
from tuner.model.capacity import Capacity, sample_of
from tuner.model.mix import Mix
from tuner.model.slowdown import Slowdown
from tuner.observation import Absent, Observation, PoolerPod, present


@dataclass(frozen=True, slots=True)
class Beliefs:
    capacity: Capacity = field(default_factory=Capacity)
    slowdown: Slowdown = field(default_factory=Slowdown)
    arrivals: Arrivals = field(default_factory=Arrivals)
    caches: Caches = field(default_factory=Caches)
    mix: Mix = field(default_factory=Mix)
    mix_changed_ticks_ago: int = 99
    ttls: tuple[tuple[str, float], ...] = ()
    set_size: int = 0
    set_size_ticks: int = 0


def learn(beliefs: Beliefs, observation: Observation, max_pods: int) -> Beliefs:
    """The beliefs after one observation. What is absent or repeated teaches nothing; the tick after a move is dropped.

    `max_pods` turns a pod's pool size into the connections over all pods that capacity is keyed by.
    """
    if isinstance(observation.metrics_age_seconds, Absent) or not observation.news:
        return beliefs
    beliefs = _learn_mix(beliefs, observation)
    beliefs = _learn_ttls(beliefs, observation)
    beliefs = _learn_pool(beliefs, observation, max_pods)
    pods = tuple(pod for pod in present(observation.api_pods) or () if pod.ready)
    rates = [present(pod.arrivals_per_second) for pod in pods]
    known = [rate for rate in rates if rate is not None]
    if known and len(known) == len(rates):
        beliefs = replace(beliefs, arrivals=beliefs.arrivals.learn(sum(known), observation.time))
    return replace(beliefs, caches=beliefs.caches.learn(pods, observation.interval_seconds))


def _learn_mix(beliefs: Beliefs, observation: Observation) -> Beliefs:
    statements = observation.database.statements
    ago = min(99, beliefs.mix_changed_ticks_ago + 1)
    if isinstance(statements, Absent):
        return replace(beliefs, mix_changed_ticks_ago=ago)
    mix, changed = beliefs.mix.learn(statements)
    if not changed:
        return replace(beliefs, mix=mix, mix_changed_ticks_ago=ago)
    return replace(beliefs, mix=mix, mix_changed_ticks_ago=0, slowdown=beliefs.slowdown.forgotten())


def _learn_ttls(beliefs: Beliefs, observation: Observation) -> Beliefs:
    """A changed TTL changes which queries reach the database, so the service times before it are no reference."""
    seen: dict[str, float] = {}
    for pod in present(observation.api_pods) or ():
        for traffic in present(pod.cache) or ():
            seconds = present(traffic.ttl_seconds)
            if seconds is not None:
                seen[traffic.group] = max(seconds, seen.get(traffic.group, 0.0))
    ttls = tuple(sorted((dict(beliefs.ttls) | seen).items()))[:MAX_GROUPS]
    known = dict(beliefs.ttls)
    changed = any(known.get(group, seconds) != seconds for group, seconds in ttls)
    return replace(beliefs, ttls=ttls, slowdown=beliefs.slowdown.forgotten() if changed else beliefs.slowdown)


def _learn_pool(beliefs: Beliefs, observation: Observation, max_pods: int) -> Beliefs:
    pods = tuple(pod for pod in present(observation.pooler_pods) or () if pod.ready)
    size = common_size(pods)
    if size is None:
        return replace(beliefs, set_size=0, set_size_ticks=0)
    ticks = beliefs.set_size_ticks + 1 if size == beliefs.set_size else 0
    beliefs = replace(beliefs, set_size=size, set_size_ticks=min(ticks, 99))
    sample = sample_of(pods, size, observation.interval_seconds)
    if ticks == 0 or isinstance(sample, Absent):
        return beliefs
    total = replace(sample, size=size * max_pods)
    # The spell of a slowdown says nothing of what the size can do.
    service = service_seconds(pods)
    slowdown = beliefs.slowdown
    if service is not None:
        slowdown = slowdown.learn(total.size, sample.rate, service / _mix_factor(beliefs, observation))
    capacity = beliefs.capacity
    if not slowdown.suspected:
        capacity = capacity.learn(total, len(pods), observation.time)
    return replace(beliefs, slowdown=slowdown, capacity=capacity)


def _mix_factor(beliefs: Beliefs, observation: Observation) -> float:
    statements = observation.database.statements
    return 1.0 if isinstance(statements, Absent) else beliefs.mix.factor(statements)


def common_size(pods: tuple[PoolerPod, ...]) -> int | None:
    """The pool size that all `pods` have in force; None while they differ or one does not say."""
    sizes = {present(pod.pool_size) for pod in pods}
    return sizes.pop() if len(sizes) == 1 else None


def service_seconds(pods: tuple[PoolerPod, ...]) -> float | None:
    """S = query seconds/queries over `pods`; None where one does not say or nothing ran."""
    seconds = [present(pod.query_seconds_per_second) for pod in pods]
    queries = [present(pod.queries_per_second) for pod in pods]
    known_seconds = [value for value in seconds if value is not None]
    known_queries = [value for value in queries if value is not None]
    if len(known_seconds) < len(pods) or len(known_queries) < len(pods) or sum(known_queries) <= 0:
        return None
    return sum(known_seconds) / sum(known_queries)
