"""The next knobs document: the stored one with the moved knobs changed, one generation later."""

from __future__ import annotations

from trimtab.knobs.document import ApiKnobs, KnobsDocument, PoolerKnobs
from tuner.crds.status import KnobName
from tuner.decide.budget import next_generation
from tuner.decide.settle import TTL_PREFIX
from tuner.decide.situation import Situation
from tuner.observation import ApiPod, PoolerPod, present


def next_document(situation: Situation, values: dict[str, int], pooler_pods: int) -> KnobsDocument | None:
    """The document that sets `values` (by knob, in the policy's units); None where the store could not be read.

    `pooler_pods`: the maxPods to say, normally the policy's.

    Listed knobs that do not move are written with the value in force, where that is known; others are left out, so
    that the pods keep their own.
    """
    if situation.store is None:
        return None
    spec, now = situation.spec, situation.in_force
    old = situation.document
    listed = spec.knobs
    pool = values.get(KnobName.API_POOL_SIZE, now.api_pool if listed.api_pool_size else None)
    concurrency = values.get(KnobName.API_CONCURRENCY, now.concurrency if listed.api_concurrency else None)
    ttl = dict(old.api.cache_ttl_seconds) if old else {}
    ttl.update({group: now.ttl[group] for group in listed.ttl_by_group if group in now.ttl})
    ttl.update({k.removeprefix(TTL_PREFIX): v for k, v in values.items() if k.startswith(TTL_PREFIX)})
    budget = present(situation.budget)
    if budget is not None:
        api_pods = budget.max_pods if budget.by_api_pods and pool is not None else None
    else:
        api_pods = old.api.max_pods if old else None
    api = ApiKnobs(
        pool_size=pool if pool is not None else (old.api.pool_size if old else None),
        max_pods=api_pods,
        concurrency=concurrency if concurrency is not None else (old.api.concurrency if old else None),
        cache_ttl_seconds=ttl,
    )
    pods: tuple[ApiPod | PoolerPod, ...] = (*situation.api_pods, *situation.pooler_pods)
    return KnobsDocument(
        epoch=situation.store.epoch,
        generation=next_generation(situation.store.epoch, old, pods),
        policy=situation.policy,
        api=api,
        pooler=_pooler(situation, values, old, pooler_pods),
    )


def _pooler(
    situation: Situation, values: dict[str, int], old: KnobsDocument | None, max_pods: int
) -> PoolerKnobs | None:
    spec, now = situation.spec, situation.in_force
    if spec.pooler is None or spec.knobs.pooler_pool_size is None:
        return old.pooler if old else None
    total = values.get(KnobName.POOLER_POOL_SIZE, now.connections)
    if total is None:
        return None
    return PoolerKnobs(pool_size=max(1, total // now.unit), max_pods=max_pods)
