"""The connection budget: an invariant, not a goal.

Formula: F = max_connections - reservedConnections (the fence, also the role's CONNECTION LIMIT);
         slack = max(2, F/10); allocatable = F - slack, less what other policies on the server hold;
         charge(D) = max(poolSize over D) x max(maxPods over D), D = every unretired document and the new one;
         a document may be published when charge(D) <= allocatable, or when it fits by itself and raises nothing:
         no larger than the largest, for no more pods than the fewest of D.
         A document is retired when every existing pod has confirmed a later one, by (uid, epoch, generation).
Units:   connections, pods.
Regime:  that one line is shrink, confirm, grow. The chart's values (generation 0) are a document that never retires:
         a pod that loses its document starts with them. A pod that does not answer retires nothing. What a pod reports
         is charged too, whatever the ledger says.
Source:  CONTROL.md, Budget; the numbers behind the slack were measured on PgBouncer 1.24.1 and PostgreSQL 17.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from trimtab.knobs.document import KnobsDocument, Pods, PoolSize
from tuner.observation import Absent, Acknowledgement, ApiPod, Maybe, PoolerPod, present

MAX_LEDGER = 256

Pod: TypeAlias = ApiPod | PoolerPod


@dataclass(frozen=True, slots=True)
class Charged:
    """One document as the budget sees it. Generation 0 with an empty epoch: the chart's own values.

    `reported`: only a pod's word for it, so that `max_pods` is an upper bound and proves no room.
    """

    epoch: str
    generation: Annotated[int, Field(ge=0, le=2**53)]
    pool_size: PoolSize
    max_pods: Pods
    reported: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """The unretired documents, stored beside the newest one in the same write."""

    documents: Annotated[tuple[Charged, ...], Field(max_length=MAX_LEDGER)] = ()


_LEDGER = TypeAdapter(Ledger)


def dump_ledger(ledger: Ledger) -> str:
    return _LEDGER.dump_json(ledger).decode()


def parse_ledger(text: str | None) -> Maybe[Ledger]:
    """The stored ledger; absent where there is none or it cannot be read."""
    if text is None:
        return Absent("no ledger is stored")
    try:
        return _LEDGER.validate_json(text)
    except ValidationError as error:
        return Absent(f"the stored ledger cannot be read: {error.errors()[0]['msg']}")


@dataclass(frozen=True, slots=True)
class Fence:
    """What may be given out. All in connections; `elsewhere` is held by other policies on the same server."""

    max_connections: int
    reserved: int
    elsewhere: int = 0
    policies: int = 1

    @property
    def fence(self) -> int:
        return self.max_connections - self.reserved

    @property
    def slack(self) -> int:
        return max(2, self.fence // 10)

    @property
    def allocatable(self) -> int:
        """This policy's part: an equal share of the server, never more than what the others have left."""
        whole = max(0, self.fence - self.slack)
        return max(0, min(whole // self.policies, whole - self.elsewhere))


def charge(documents: tuple[Charged, ...]) -> int:
    """Connections that pods could open while any of `documents` may be in force at any pod; 0 for none."""
    if not documents:
        return 0
    return max(d.pool_size for d in documents) * max(d.max_pods for d in documents)


def charged(document: KnobsDocument, by_api_pods: bool) -> Charged | None:
    """`document` as the budget sees it; None where it sets no size and so leaves the chart's in force."""
    if by_api_pods:
        size, pods = document.api.pool_size, document.api.max_pods
        if size is None or pods is None:
            return None
        return Charged(document.epoch, document.generation, size, pods)
    if document.pooler is None:
        return None
    return Charged(document.epoch, document.generation, document.pooler.pool_size, document.pooler.max_pods)


def is_later(acknowledged: Acknowledgement, document: Charged) -> bool:
    """Whether the acknowledged document supersedes `document` (an epoch is a UUIDv7: it sorts by its making)."""
    if acknowledged.generation == 0:
        return False
    return (acknowledged.epoch, acknowledged.generation) > (document.epoch, document.generation)


def unretired(
    stored: KnobsDocument | None, ledger: Maybe[Ledger], pods: tuple[Pod, ...], max_pods: int, by_api_pods: bool
) -> Maybe[tuple[Charged, ...]]:
    """Every document that a pod may still apply, the chart's values and what the pods report included.

    Absent where that cannot be known: no ledger, and a pod that does not say what it runs.
    """
    kept: list[Charged] = []
    for document in () if isinstance(ledger, Absent) else ledger.documents:
        if (document.generation == 0 and not document.reported) or not _retired(document, pods):
            kept.append(document)
    newest = charged(stored, by_api_pods) if stored is not None else None
    if newest is not None:
        kept.append(newest)
    for pod in pods:
        # A pod that confirmed a later document and yet reports more is charged for what it reports.
        size, said = present(pod.pool_size), present(pod.acknowledged)
        if size is not None and size >= 1:
            identity = said or Acknowledgement("", 0)
            chart = identity.generation == 0
            # The chart lets as many pods start as the policy says. A document of ours is in the ledger with its own
            # maxPods; where it is not, a pod's word for it counts for all the pods that there are.
            same = ((d.epoch, d.generation, d.pool_size >= size) for d in kept)
            if chart:
                # A pod that has not said yet what it runs is charged until it does, and not for ever like the chart.
                silent = said is None and not isinstance(ledger, Absent)
                kept.append(Charged("", 0, size, max_pods, reported=silent))
            elif (identity.epoch, identity.generation, True) not in same:
                kept.append(Charged(identity.epoch, identity.generation, size, len(pods), reported=True))
        elif isinstance(ledger, Absent):
            return Absent(f"{ledger.reason} and {pod.name} does not report its pool size")
    if isinstance(ledger, Absent) and not pods and newest is None:
        return Absent(f"{ledger.reason} and no pod exists that would report its pool size")
    return tuple(dict.fromkeys(kept))


def _retired(document: Charged, pods: tuple[Pod, ...]) -> bool:
    if not pods:
        return False
    for pod in pods:
        said = present(pod.acknowledged)
        if said is None or not is_later(said, document):
            return False
    return True


def largest_size(allocatable: int, present_documents: tuple[Charged, ...], max_pods: int) -> int:
    """The largest pool size of a pod that may be published with `max_pods`; 0 where none may.

    Where the present documents already exceed the budget the answer is still a size that fits: publishing it
    raises nothing, and once it is confirmed the excess is gone.
    """
    return allocatable // max([max_pods, *(d.max_pods for d in present_documents)])


def may_publish(allocatable: int, present_documents: tuple[Charged, ...], new: Charged) -> bool:
    """Whether `new` keeps the invariant (the last check before a plan is handed out)."""
    if new.pool_size < 1 or new.pool_size * new.max_pods > allocatable:
        return False
    raises_nothing = new.pool_size <= max((d.pool_size for d in present_documents), default=0) and new.max_pods <= min(
        (d.max_pods for d in present_documents if not d.reported), default=0
    )
    return raises_nothing or charge((*present_documents, new)) <= allocatable


def next_ledger(present_documents: tuple[Charged, ...], new: Charged | None) -> Ledger:
    """The ledger to store with the new document."""
    latest: dict[tuple[int, int, bool, bool], Charged] = {}
    for document in present_documents if new is None else (*present_documents, new):
        # Of documents with equal sizes the latest retires last, so it stands for the others and the list stays short.
        key = (document.pool_size, document.max_pods, document.generation == 0, document.reported)
        old = latest.get(key)
        if old is None or (document.epoch, document.generation) > (old.epoch, old.generation):
            latest[key] = document
    return Ledger(tuple(latest.values()))


def next_generation(epoch: str, stored: KnobsDocument | None, pods: tuple[Pod, ...]) -> int:
    """1 + the largest generation of `epoch` that is stored or acknowledged anywhere."""
    seen = [0]
    if stored is not None and stored.epoch == epoch:
        seen.append(stored.generation)
    for pod in pods:
        said = present(pod.acknowledged)
        if said is not None and said.epoch == epoch:
            seen.append(said.generation)
    return max(seen) + 1
