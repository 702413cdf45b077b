"""The state that survives: the same after a round trip, bounded, and discarded with a reason when it is broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.tuner_core.build import policy
from tests.unit.tuner_core.stack import Stack, knee_at
from tuner.crds.status import Outcome
from tuner.decide.decision import Decision, Reason
from tuner.decide.memory import JOURNAL_LENGTH, MAX_STATE_BYTES, Memory, State, dump_state, load_state
from tuner.model.beliefs import Beliefs


def test_a_used_state_is_the_same_after_a_round_trip() -> None:
    stack = Stack(policy(), knee_at(12))
    for _ in range(30):
        stack.step()
    state = load_state(dump_state(stack.beliefs, stack.memory))
    assert (state.beliefs, state.memory, state.problem) == (stack.beliefs, stack.memory, "")
    assert stack.memory.journal and stack.memory.window


def test_no_state_is_a_new_one() -> None:
    assert load_state(None) == State()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "beliefs": {}, "memory": {"pool": 3}}',
     "[" * 100_000, "x" * (MAX_STATE_BYTES + 1)],
    ids=["empty", "cut", "list", "null", "schema", "bare", "wrong", "deep", "large"],
)  # fmt: skip
def test_a_broken_state_is_discarded_with_a_reason(text: str) -> None:
    state = load_state(text)
    assert state == State(problem=state.problem) and "starting anew" in state.problem


def test_the_state_is_bounded_and_the_newest_decisions_stay() -> None:
    decision = Decision(0.0, "replicas", 1, 2, Reason.DEMAND, "m" * 900, outcome=Outcome.KEPT)
    memory = Memory(journal=tuple(replace(decision, time=float(t)) for t in range(2000)))
    assert len(memory.bounded().journal) == JOURNAL_LENGTH
    wide = replace(memory, journal=tuple(replace(d, message="m" * 4000) for d in memory.journal))
    text = dump_state(Beliefs(), wide)
    assert len(text) <= MAX_STATE_BYTES
    kept = load_state(text).memory.journal
    assert kept and kept[-1].time == 1999.0
