"""The knobs by name: which the policy lists, between what bounds, and where they are."""

from __future__ import annotations

from tuner.crds.policy import TuningPolicySpec
from tuner.crds.status import KnobName, ttl_knob
from tuner.decide.situation import Situation

POOL = KnobName.POOLER_POOL_SIZE.value
API_POOL = KnobName.API_POOL_SIZE.value
CONCURRENCY = KnobName.API_CONCURRENCY.value
REPLICAS = KnobName.REPLICAS.value


def listed_knobs(spec: TuningPolicySpec) -> set[str]:
    """The knobs that the policy lists."""
    knobs = spec.knobs
    named = {
        POOL: knobs.pooler_pool_size, API_POOL: knobs.api_pool_size,
        CONCURRENCY: knobs.api_concurrency, REPLICAS: knobs.replicas,
    }  # fmt: skip
    return {knob for knob, bounds in named.items() if bounds is not None} | {ttl_knob(g) for g in knobs.ttl_by_group}


def bounds_of(spec: TuningPolicySpec, knob: str) -> tuple[int, int]:
    """The policy's range of a listed knob."""
    knobs = spec.knobs
    named = {
        POOL: knobs.pooler_pool_size, API_POOL: knobs.api_pool_size,
        CONCURRENCY: knobs.api_concurrency, REPLICAS: knobs.replicas,
    }  # fmt: skip
    limits = named.get(knob) or next(entry for entry in knobs.cache_ttl if ttl_knob(entry.group) == knob)
    return limits.bounds


def current_values(situation: Situation) -> dict[str, int]:
    """The knobs' values in force, in the policy's units; what nobody can tell is left out."""
    now = situation.in_force
    values = {POOL: now.connections, API_POOL: now.api_pool, CONCURRENCY: now.concurrency, REPLICAS: now.replicas}
    known = {knob: value for knob, value in values.items() if value is not None}
    return known | {ttl_knob(group): seconds for group, seconds in now.ttl.items()}
