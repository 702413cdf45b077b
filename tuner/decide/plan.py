"""The plan of one tick: what the shell writes, what it says, and what it remembers.

The shell executes a plan verbatim and decides nothing:

1. `write`: one PUT of the knobs ConfigMap with `resource_version` (create it where that is None); a conflict means that
   somebody else planned too, so the plan is dropped and nothing else of it is done;
2. `scale`: one write of the scale subresource, after the PUT has succeeded;
3. `executed(plan, wrote=..., scaled=...)` is the memory to keep, whatever happened; it goes into the state ConfigMap.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.knobs.document import KnobsDocument
from tuner.crds.status import TuningPolicy
from tuner.decide.decision import BudgetView, Condition, Decision, KnobView, MeasuredCapacity, Verdict
from tuner.decide.memory import Memory
from tuner.model.beliefs import Beliefs
from tuner.observation import Observation


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


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that follows from one observation.

    `decisions` are the moves that `write` and `scale` carry out (none in Observe and Recommend); `judged` are earlier
    ones whose outcome is now known. `memory` is what to remember if nothing is executed.
    """

    policy: str
    time: float
    verdict: Verdict
    knobs: tuple[KnobView, ...]
    decisions: tuple[Decision, ...]
    judged: tuple[Decision, ...]
    write: KnobsWrite | None
    scale: ScaleWrite | None
    budget: BudgetView | None
    capacity: tuple[MeasuredCapacity, ...]
    conditions: tuple[Condition, ...]
    memory: Memory


def decide(policy: TuningPolicy, observation: Observation, beliefs: Beliefs, memory: Memory, now: float) -> Plan:
    """The plan for this tick. Deterministic and total: it never raises for anything that it was shown."""
    raise NotImplementedError


def executed(plan: Plan, *, wrote: bool, scaled: bool) -> Memory:
    """The memory to keep after the plan's writes: whether the ConfigMap was written, whether the target was scaled."""
    raise NotImplementedError
