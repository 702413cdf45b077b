"""What the shell writes for the chosen moves: one document with its ledger, one number of replicas.

The budget is asked once more here, whatever the laws have said.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.knobs.document import KnobsDocument
from tuner.crds.policy import Mode
from tuner.decide import guards
from tuner.decide.budget import charged, dump_ledger, may_publish, next_ledger, parse_ledger
from tuner.decide.decision import Decision, Reason
from tuner.decide.document import next_document
from tuner.decide.knobs import POOL, REPLICAS
from tuner.decide.moves import Moves
from tuner.decide.proposal import Proposal, guarded
from tuner.decide.situation import Situation
from tuner.observation import Store, present


@dataclass(frozen=True, slots=True)
class KnobsWrite:
    """One version of the knobs ConfigMap: both keys are written together, so that a crash forgets nothing."""

    document: KnobsDocument
    ledger: str
    resource_version: str | None


@dataclass(frozen=True, slots=True)
class ScaleWrite:
    """A new spec.replicas of the target; `before` is what it was when the plan was made."""

    before: int
    replicas: int


def writes_for(situation: Situation, moves: Moves) -> tuple[KnobsWrite | None, ScaleWrite | None, tuple[Decision, ...]]:
    """What to write for the chosen moves, checked against the budget once more.

    On an observation without news only safety moves: what else would move on it, moves on the next evidence.
    """
    acts = situation.observation.news or any(p.safety for p in moves.chosen)
    chosen = moves.chosen if situation.spec.mode is Mode.APPLY and acts else ()
    scale = next((ScaleWrite(p.current, p.wanted) for p in chosen if p.knob == REPLICAS), None)
    values = {p.knob: p.wanted for p in chosen if p.knob != REPLICAS}
    if not values:
        return (None, scale, tuple(_decision(p, situation.now) for p in chosen)) if chosen else _more_pods(situation)
    policy_pods, stored_pods = _pooler_pods(situation)
    write = _knobs_write(situation, values, policy_pods)
    if write is None and stored_pods is not None:
        # More pods at the present size would break the budget: first the smaller size, the pods once it is confirmed.
        write = _knobs_write(situation, values, stored_pods)
    if write is None:
        return None, None, ()
    return write, scale, tuple(_decision(p, situation.now) for p in chosen)


def _pooler_pods(situation: Situation) -> tuple[int, int | None]:
    """maxPods of the policy, and of the stored document; where there is none, the pods that exist."""
    stored = situation.document.pooler if situation.document else None
    return situation.in_force.unit, stored.max_pods if stored else len(situation.pooler_pods) or None


def _more_pods(situation: Situation) -> tuple[KnobsWrite | None, ScaleWrite | None, tuple[Decision, ...]]:
    """The policy's maxPods has changed and the budget allows it: the same size in a document that says so."""
    stored = situation.document.pooler if situation.document else None
    policy_pods, stored_pods = situation.in_force.unit, stored.max_pods if stored else None
    size = situation.in_force.pooler_size
    applies = situation.spec.mode is Mode.APPLY and situation.spec.knobs.pooler_pool_size is not None
    if not applies or stored_pods is None or size is None or stored_pods == policy_pods:
        return None, None, ()
    message = f"the policy now allows {policy_pods} pooler pods instead of {stored_pods}, of {size} connections each"
    wish = Proposal(POOL, size * stored_pods, size * policy_pods, Reason.MAX_PODS, message)
    stack = (
        guards.when_paused(situation.paused),
        guards.during_freeze(situation.spec.behavior.freeze, situation.now),
        guards.without_data(situation.problem, fallback=False),
        guards.on_conflict(situation.observation.conflicts, None, situation.now),
    )
    write = _knobs_write(situation, {}, policy_pods) if guarded(wish, stack).moves else None
    return (write, None, (_decision(wish, situation.now),)) if write is not None else (None, None, ())


def _knobs_write(situation: Situation, values: dict[str, int], pooler_pods: int) -> KnobsWrite | None:
    """The ConfigMap's next version; None where it would break the budget, whatever the laws have said."""
    budget = present(situation.budget)
    document = next_document(situation, values, pooler_pods)
    if document is None or situation.store is None:
        return None
    if budget is None:
        return _no_more_than_stored(situation, situation.store, document)
    new = charged(document, budget.by_api_pods)
    if new is not None and not may_publish(budget.fence.allocatable, budget.documents, new):
        return None
    ledger = dump_ledger(next_ledger(budget.documents, new))
    return KnobsWrite(document, ledger, situation.store.resource_version)


def _no_more_than_stored(situation: Situation, store: Store, document: KnobsDocument) -> KnobsWrite | None:
    """While the budget cannot be told, as in the fallback: only what allows no more than the stored document does."""
    by_api_pods = situation.spec.pooler is None
    ledger = present(parse_ledger(store.ledger))
    if store.document is None or ledger is None:
        return None
    old, new = charged(store.document, by_api_pods), charged(document, by_api_pods)
    if old is None or new is None or new.pool_size > old.pool_size or new.max_pods > old.max_pods:
        return None
    return KnobsWrite(document, dump_ledger(next_ledger((*ledger.documents, old), new)), store.resource_version)


def _decision(proposal: Proposal, now: float) -> Decision:
    return Decision(
        time=now,
        knob=proposal.knob,
        before=proposal.current,
        after=proposal.wanted,
        reason=proposal.reason,
        message=proposal.message,
        prediction=proposal.prediction,
    )
