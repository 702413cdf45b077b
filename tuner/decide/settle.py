"""One move settles before the next: where the last one stands, and what becomes of it.

A move is confirmed when every ready pod acknowledges its generation and the wanted replicas are ready. Then it settles:
pool 2 ticks, replicas 2 ticks, TTL max(2 ticks, min(2 T, 5 min)). A move that is not confirmed after 120 s waits no
longer: its document stays charged (budget.py), the rest goes on within what is left.
"""

from __future__ import annotations

from dataclasses import replace

from tuner.crds.status import KnobName, Outcome
from tuner.decide import regression
from tuner.decide.decision import Decision
from tuner.decide.inforce import confirmed
from tuner.decide.memory import Memory, Pending
from tuner.decide.situation import Situation, objective_share
from tuner.observation import ApiPod, PoolerPod, present

UNCONFIRMED_SECONDS = 120.0
SETTLING_TICKS = 2
MAX_TTL_SECONDS = 300.0
TTL_PREFIX = f"{KnobName.CACHE_TTL.value}/"


def advance(situation: Situation, memory: Memory) -> tuple[Memory, tuple[Decision, ...]]:
    """The memory with the pending move one tick older, and the decisions whose outcome is now known."""
    pending = memory.pending
    if pending is None or situation.problem:
        return memory, ()
    if pending.confirmed_at is not None:
        # Ticks in which it could have been seen to do harm: one without a new scrape is none.
        pending = replace(pending, ticks_since=pending.ticks_since + situation.observation.news)
    elif _is_confirmed(situation, pending):
        pending = replace(pending, confirmed_at=situation.now)
    memory = replace(memory, pending=pending)
    if pending.judged:
        return memory, ()
    judgement = regression.judge(pending, memory, objective_share(situation.spec), situation.now)
    if judgement.undo is None:
        late = pending.confirmed_at is None and situation.now - pending.started > UNCONFIRMED_SECONDS
        return end(memory, Outcome.INCONCLUSIVE) if late else (memory, ())
    if judgement.undo and situation.spec.rollback.enabled and not pending.undo:
        return replace(memory, pending=replace(pending, undo=True)), ()
    if pending.undo:
        return memory, ()
    return end(memory, Outcome.KEPT if judgement.conclusive else Outcome.INCONCLUSIVE)


def end(memory: Memory, outcome: Outcome) -> tuple[Memory, tuple[Decision, ...]]:
    """The pending move is judged: its decisions get `outcome`, in the journal too."""
    pending = memory.pending
    if pending is None or pending.judged:
        return memory, ()
    keys = {(d.time, d.knob) for d in pending.decisions}
    judged = tuple(replace(d, outcome=outcome) for d in pending.decisions)
    journal = tuple(replace(d, outcome=outcome) if (d.time, d.knob) in keys else d for d in memory.journal)
    return replace(memory, journal=journal, pending=replace(pending, judged=True, decisions=judged)), judged


def _is_confirmed(situation: Situation, pending: Pending) -> bool:
    pods: tuple[ApiPod | PoolerPod, ...] = (*situation.ready_apis, *situation.ready_poolers)
    if pending.generation is not None:
        epoch = situation.store.epoch if situation.store else ""
        if not pods or confirmed(pods, epoch, pending.generation) < len(pods):
            return False
    if pending.replicas is not None:
        return present(situation.observation.target.ready_replicas) == pending.replicas
    return True


def reason_to_wait(situation: Situation, pending: Pending | None, urgent: bool) -> str:
    """Why the next move has to wait; "" when it need not. An urgent one waits only for confirmation and 2 ticks."""
    if pending is None:
        return ""
    names = ", ".join(decision.knob for decision in pending.decisions)
    if pending.confirmed_at is None:
        left = pending.started + UNCONFIRMED_SECONDS - situation.now
        return f"{names} is not confirmed by every pod yet" if left > 0 else ""
    if pending.ticks_since < SETTLING_TICKS:
        return f"{names} settles: {pending.ticks_since} of {SETTLING_TICKS} ticks"
    longest = max((d.after for d in pending.decisions if d.knob.startswith(TTL_PREFIX)), default=0)
    left = pending.confirmed_at + min(2.0 * longest, MAX_TTL_SECONDS) - situation.now
    return f"{names} settles for {left:.0f} s more" if left > 0 and not urgent else ""
