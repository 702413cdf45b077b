"""What takes the place of the laws' wishes: the undo of a move that made things worse, and the fallback."""

from __future__ import annotations

from tuner.crds.status import ttl_knob
from tuner.decide.decision import Reason
from tuner.decide.knobs import API_POOL, CONCURRENCY, POOL, REPLICAS, current_values, listed_knobs
from tuner.decide.memory import Memory
from tuner.decide.proposal import Proposal
from tuner.decide.situation import Situation


def overruled(situation: Situation, memory: Memory, wishes: list[Proposal]) -> list[Proposal]:
    """Undo and fallback take the place of what the laws want."""
    overruling = _fallback(situation, memory) if situation.problem else _undo(memory, situation)
    if not overruling:
        return wishes
    return [overruling.get(w.knob, w) for w in wishes] + [
        p for knob, p in overruling.items() if knob not in {w.knob for w in wishes}
    ]


def _undo(memory: Memory, situation: Situation) -> dict[str, Proposal]:
    pending = memory.pending
    if pending is None or not pending.undo or pending.judged:
        return {}
    present_values = current_values(situation)
    undone = {}
    for decision in pending.decisions:
        current = present_values.get(decision.knob)
        if current == decision.after and decision.knob not in (API_POOL, CONCURRENCY):
            message = f"{decision.after} made things worse: back to {decision.before}"
            undone[decision.knob] = Proposal(
                decision.knob, current, decision.before, Reason.UNDO, message, urgent=True, safety=True
            )
    return undone


def _fallback(situation: Situation, memory: Memory) -> dict[str, Proposal]:
    """After a long absence: an unfinished trial goes back down, replicas and TTLs to what was last good."""
    last = memory.last_fresh
    after = situation.spec.prometheus.fallback_after_seconds
    if not situation.metrics_only or last is None or situation.now - last < after:
        return {}
    values = current_values(situation)
    wanted: dict[str, int] = {}
    probe = memory.pool.probe
    if probe is not None and probe.upward and values.get(POOL) == probe.size:
        wanted[POOL] = probe.base
    if memory.last_good.replicas is not None:
        wanted[REPLICAS] = memory.last_good.replicas
    wanted |= {ttl_knob(group): seconds for group, seconds in memory.last_good.ttl_seconds}
    listed = listed_knobs(situation.spec)
    message = f"no measurements for {situation.now - last:.0f} s: back to what was last known to be good"
    return {
        knob: Proposal(knob, values[knob], value, Reason.FALLBACK, message, urgent=True, safety=True)
        for knob, value in wanted.items()
        if knob in values and knob in listed and value != values[knob]
    }
