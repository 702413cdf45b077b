"""The values from before the first change, and the way back to them when a policy is deleted with onDelete: Restore.

Going back obeys the same budget as every other move: a pool that would not fit goes back as far as it fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from tuner.crds import KnobName, TuningPolicy, ttl_knob
from tuner.decide.budget import charged, dump_ledger, may_publish, next_ledger
from tuner.decide.document import next_document
from tuner.decide.inforce import InForce, in_force
from tuner.decide.plan import KnobsWrite, ScaleWrite
from tuner.decide.situation import Situation
from tuner.observation import Absent, Observation, present


@dataclass(frozen=True, slots=True)
class Original:
    """Values by knob, as they were before the tuner's first change. Sizes are of a pod, except the replicas."""

    pooler_size: int | None = None
    api_pool: int | None = None
    concurrency: int | None = None
    replicas: int | None = None
    ttl: dict[str, int] = field(default_factory=dict)


_ORIGINAL = TypeAdapter(Original)


def captured(text: str | None, policy: TuningPolicy, observation: Observation) -> str:
    """What was captured before, with what is in force now for every value that was not known then.

    A value that nobody could tell was not in any document either, so what the pods report is still their own.
    """
    before = _read(text) or Original()
    apis = tuple(pod for pod in present(observation.api_pods) or () if pod.ready)
    poolers = tuple(pod for pod in present(observation.pooler_pods) or () if pod.ready)
    store = present(observation.store)
    now: InForce = in_force(policy.spec, observation, store.document if store else None, apis, poolers)
    original = Original(
        pooler_size=before.pooler_size or now.pooler_size,
        api_pool=before.api_pool or now.api_pool,
        concurrency=before.concurrency or now.concurrency,
        replicas=before.replicas or now.replicas,
        ttl=now.ttl | before.ttl,
    )
    return _ORIGINAL.dump_json(original, exclude_none=True).decode()


def _read(text: str | None) -> Original | None:
    try:
        return _ORIGINAL.validate_json(text) if text is not None else None
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class WayBack:
    """The writes that restore, and sentences about what they cannot."""

    write: KnobsWrite | None = None
    scale: ScaleWrite | None = None
    missing: tuple[str, ...] = ()


def way_back(text: str | None, situation: Situation) -> WayBack:
    """From the captured text and what is seen now."""
    if text is None:
        return WayBack()  # nothing was ever changed
    original = _read(text)
    if original is None:
        return WayBack(missing=("the values from before cannot be read, so everything stays as it is",))
    write, missing = _document(original, situation)
    replicas = situation.in_force.replicas
    scale = None
    if situation.spec.knobs.replicas and original.replicas and replicas and replicas != original.replicas:
        if situation.observation.conflicts:
            missing = (*missing, f"replicas stay at {replicas}, since something else manages them")
        else:
            scale = ScaleWrite(replicas, original.replicas)
    return WayBack(write, scale, missing)


def _document(original: Original, situation: Situation) -> tuple[KnobsWrite | None, tuple[str, ...]]:
    store, budget = situation.store, situation.budget
    if store is None or store.document is None:
        return None, ()
    values = {ttl_knob(group): seconds for group, seconds in original.ttl.items()}
    if original.concurrency:
        values[KnobName.API_CONCURRENCY] = original.concurrency
    missing: list[str] = []
    if isinstance(budget, Absent):
        missing.append(f"pool sizes stay, since the connection budget is not known ({budget.reason})")
    else:
        wanted = original.api_pool if budget.by_api_pods else original.pooler_size
        size = min(wanted or 0, budget.largest)
        if wanted and size < wanted:
            missing.append(f"the pool goes back to {size} instead of {wanted} a pod, which is what the budget leaves")
        if size >= 1 and budget.by_api_pods:
            values[KnobName.API_POOL_SIZE] = size
        elif size >= 1:
            values[KnobName.POOLER_POOL_SIZE] = size * situation.in_force.unit
            if original.api_pool:
                values[KnobName.API_POOL_SIZE] = original.api_pool
    stored_pods = store.document.pooler.max_pods if store.document.pooler else 1
    if isinstance(budget, Absent):
        # maxPods of the policy may be more than the budget has ever been asked about.
        document = next_document(situation, values, stored_pods)
        write = KnobsWrite(document, store.ledger or "", store.resource_version) if document else None
        return write, tuple(missing)
    policy_pods = situation.spec.pooler.max_pods if situation.spec.pooler else 1
    for pooler_pods in dict.fromkeys((policy_pods, stored_pods)):
        document = next_document(situation, values, pooler_pods)
        new = charged(document, budget.by_api_pods) if document else None
        if document and (new is None or may_publish(budget.fence.allocatable, budget.documents, new)):
            ledger = dump_ledger(next_ledger(budget.documents, new))
            return KnobsWrite(document, ledger, store.resource_version), tuple(missing)
    return None, (*missing, f"the document would charge more than the {budget.fence.allocatable} there are")
