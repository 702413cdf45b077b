"""Guards: each takes a proposal and returns one, with a reason code and a sentence where it held something back.

A guard moves `wanted` only towards `current`. None knows another; `plan.py` stacks them.
"""

from tuner.decide.guards.hold import during_freeze, on_conflict, when_paused, without_data
from tuner.decide.guards.limits import quarantined, within_bounds, within_budget, within_step
from tuner.decide.guards.rest import cooled_down, no_growth, settled

__all__ = [
    "cooled_down",
    "during_freeze",
    "no_growth",
    "on_conflict",
    "quarantined",
    "settled",
    "when_paused",
    "within_bounds",
    "within_budget",
    "within_step",
    "without_data",
]
