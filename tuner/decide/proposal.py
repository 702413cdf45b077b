"""A proposal: where a law wants one knob, before the guards have had their say.

A guard is a function from a proposal to a proposal. It may pull `wanted` towards `current` and then says why in
`reason` and `message`; it never pushes further, and guards never know each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from tuner.decide.decision import Prediction, Reason


@dataclass(frozen=True, slots=True)
class Proposal:
    """`urgent`: a binding queue's growth, which no cooldown delays. `safety`: an undo, a lowered limit, the fallback:
    it also ends what is settling."""

    knob: str
    current: int
    wanted: int
    reason: Reason
    message: str
    urgent: bool = False
    safety: bool = False
    prediction: Prediction | None = None

    @property
    def moves(self) -> bool:
        return self.wanted != self.current

    @property
    def upward(self) -> bool:
        return self.wanted > self.current

    def held(self, reason: Reason, message: str) -> Proposal:
        """The same knob, staying where it is."""
        return replace(self, wanted=self.current, reason=reason, message=message, prediction=None)

    def limited(self, wanted: int, reason: Reason, message: str) -> Proposal:
        """The same move, less far; held when nothing of it is left."""
        if wanted == self.current:
            return self.held(reason, message)
        return replace(self, wanted=wanted, message=f"{self.message}; {message}")


Guard: TypeAlias = Callable[[Proposal], Proposal]


def guarded(proposal: Proposal, guards: tuple[Guard, ...]) -> Proposal:
    """`proposal` after all `guards`, in their order. A proposal that stays is not asked about further."""
    for guard in guards:
        if not proposal.moves:
            return proposal
        proposal = guard(proposal)
    return proposal


def stay(knob: str, current: int, reason: Reason, message: str) -> Proposal:
    return Proposal(knob, current, current, reason, message)
