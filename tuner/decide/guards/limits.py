"""Guards that shorten a move: bounds, step, budget, quarantine. Sizes may come in units (connections a pooler pod)."""

from __future__ import annotations

from tuner.decide.decision import Reason
from tuner.decide.memory import Quarantine
from tuner.decide.proposal import Guard, Proposal


def within_bounds(low: int, high: int) -> Guard:
    """Not beyond the policy's range. A knob that is outside already may come nearer to it."""

    def guard(proposal: Proposal) -> Proposal:
        if proposal.upward:
            wanted = min(proposal.wanted, max(high, proposal.current))
        else:
            wanted = max(proposal.wanted, min(low, proposal.current))
        if wanted == proposal.wanted:
            return proposal
        return proposal.limited(wanted, Reason.BOUND, f"the policy allows {low} to {high}")

    return guard


def within_step(max_step_percent: int, unit: int = 1) -> Guard:
    """Upward at most max_step_percent of the present value (100: twice), and always at least one unit.

    Moves of safety go all the way: they return to a value that was in force.
    """

    def guard(proposal: Proposal) -> Proposal:
        if not proposal.upward or proposal.safety:
            return proposal
        step = max(unit, proposal.current * max_step_percent // 100 // unit * unit)
        wanted = min(proposal.wanted, proposal.current + step)
        if wanted == proposal.wanted:
            return proposal
        return proposal.limited(wanted, Reason.STEP, f"one step is at most {max_step_percent}% upward")

    return guard


def within_budget(largest: int, allocatable: int, unit: int = 1) -> Guard:
    """Not above `largest` (in the knob's units), what the connection budget leaves; down is always allowed."""

    def guard(proposal: Proposal) -> Proposal:
        if not proposal.upward or proposal.wanted <= largest:
            return proposal
        wanted = max(proposal.current, largest // unit * unit)
        return proposal.limited(wanted, Reason.BUDGET, f"the connection budget of {allocatable} leaves {largest}")

    return guard


def quarantined(entries: tuple[Quarantine, ...], now: float) -> Guard:
    """Not to a value that was undone a while ago, nor beyond it."""

    def guard(proposal: Proposal) -> Proposal:
        for entry in entries:
            if entry.knob != proposal.knob or entry.until <= now or entry.upward != proposal.upward or proposal.safety:
                continue
            beyond = proposal.wanted >= entry.value if entry.upward else proposal.wanted <= entry.value
            if beyond:
                left = round(entry.until - now)
                message = f"{entry.value} was undone because it made things worse; not tried again for {left} s"
                return proposal.held(Reason.QUARANTINE, message)
        return proposal

    return guard
