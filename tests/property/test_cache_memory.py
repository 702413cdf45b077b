"""The in-process tier stays within its bounds and its books are right, whatever is put, read and dropped."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trimtab.cache.entry import Entry
from trimtab.cache.held import Held
from trimtab.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryTier

MAX_ENTRIES = 6
MAX_BYTES = 5 * ENTRY_OVERHEAD_BYTES
GROUPS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from("123456789")


class MemoryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tier = MemoryTier(max_entries=MAX_ENTRIES, max_bytes=MAX_BYTES)
        self.last: dict[tuple[str, str], Held] = {}

    @rule(group=GROUPS, key=KEYS, size=st.integers(0, MAX_BYTES))
    def put(self, group: str, key: str, size: int) -> None:
        held = Held(Entry(bytes(size), 0, 1), 0.0)
        self.tier.put(group, key, held)
        self.last[group, key] = held
        fits = size + ENTRY_OVERHEAD_BYTES <= MAX_BYTES
        assert (self.tier.of(group).get(key) is held) == fits, "what was put last is held, unless it alone is too large"

    @rule(group=GROUPS, key=KEYS)
    def read(self, group: str, key: str) -> None:
        held = self.tier.of(group).get(key)
        if held is not None:
            held.used = True
            assert held is self.last[group, key], "an older answer came back"

    @rule(group=GROUPS, key=KEYS)
    def drop(self, group: str, key: str) -> None:
        self.tier.drop(group, key)
        assert key not in self.tier.of(group)

    @rule(group=GROUPS)
    def drop_group(self, group: str) -> None:
        self.tier.drop_group(group)
        assert not self.tier.of(group)

    @invariant()
    def bounds_and_books(self) -> None:
        held = {group: list(self.tier.of(group).values()) for group in "ab"}
        for group, answers in held.items():
            size = sum(len(answer.payload or b"") + ENTRY_OVERHEAD_BYTES for answer in answers)
            assert self.tier.bytes_of(group) == size
        assert len(self.tier) == sum(map(len, held.values())) <= MAX_ENTRIES
        assert self.tier.bytes_of("a") + self.tier.bytes_of("b") <= MAX_BYTES


MemoryMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemory = MemoryMachine.TestCase
