"""What must survive a restart of the tuner, beside its beliefs: small, bounded, versioned.

Losing it is safe: the budget's ledger is stored with the knobs document, not here. A state that cannot be read is
discarded with a reason, and the tuner starts as if new.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from tuner.decide.decision import Decision
from tuner.model.beliefs import Beliefs

SCHEMA = 1
MAX_STATE_BYTES = 512 * 1024
JOURNAL_LENGTH = 300
WINDOW_LENGTH = 240
WISHES_LENGTH = 96


@dataclass(frozen=True, slots=True)
class Probe:
    """A trial of another pool size (connections over all pooler pods), until it is kept or returned.

    `base_rate` and `base_noise`: transactions/s before it and their relative standard error; `base_seconds`: mean
    W + H then; `saturated`: whether the base was measured while clients waited. `quiet_ticks`: the last ticks in
    which nobody waited.
    """

    base: int
    size: int
    base_rate: float
    base_noise: float
    saturated: bool
    started: float
    base_seconds: float | None = None
    rates: tuple[float, ...] = ()
    quiet_ticks: int = 0
    ticks: int = 0

    @property
    def upward(self) -> bool:
        return self.size > self.base


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """Where the probing law stands. Times are seconds since the epoch; gains are shares of a proportional one."""

    probe: Probe | None = None
    up_blocked_until: float = 0.0
    down_blocked_until: float = 0.0
    up_failures: int = 0
    down_failures: int = 0
    last_gain: float | None = None
    saturated_ticks: int = 0
    troubled_ticks: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """One tick as the regression check sees it: y = ln(mean W + H), transactions/s, share of bad requests."""

    time: float
    log_seconds: float
    rate: float
    bad_share: float | None


@dataclass(frozen=True, slots=True)
class Pending:
    """The move that is settling. `confirmed_at` is when every pod had confirmed it (or all replicas were ready)."""

    decisions: tuple[Decision, ...]
    generation: int | None
    replicas: int | None
    started: float
    confirmed_at: float | None = None
    ticks_since: int = 0
    bad_scrapes: int = 0
    judged: bool = False
    undo: bool = False


@dataclass(frozen=True, slots=True)
class Quarantine:
    """`knob` is not moved to `value` or beyond it in that direction until `until`."""

    knob: str
    value: int
    upward: bool
    until: float


@dataclass(frozen=True, slots=True)
class LastGood:
    """Values under which the objective was last met."""

    replicas: int | None = None
    ttl_seconds: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    pool: PoolMemory = field(default_factory=PoolMemory)
    pending: Pending | None = None
    quarantine: tuple[Quarantine, ...] = ()
    last_change: tuple[tuple[str, float], ...] = ()
    last_direction: tuple[tuple[str, int], ...] = ()
    replica_wishes: tuple[int, ...] = ()
    replica_window: int = 12
    replica_reversed_at: float = 0.0
    last_good: LastGood = field(default_factory=LastGood)
    window: tuple[Block, ...] = ()
    last_fresh: float | None = None
    rolled_back_at: float | None = None
    journal: tuple[Decision, ...] = ()

    def changed_at(self, knob: str) -> float | None:
        """When `knob` was last moved."""
        return dict(self.last_change).get(knob)

    def direction(self, knob: str) -> int:
        """+1 when the last move of `knob` was upward, -1 when downward, 0 when it never moved."""
        return dict(self.last_direction).get(knob, 0)

    def bounded(self) -> Memory:
        """The same with its rings cut to their lengths."""
        return replace(
            self,
            journal=self.journal[-JOURNAL_LENGTH:],
            window=self.window[-WINDOW_LENGTH:],
            replica_wishes=self.replica_wishes[-WISHES_LENGTH:],
            quarantine=self.quarantine[-32:],
        )


_MEMORY = TypeAdapter(Memory)
_BELIEFS = TypeAdapter(Beliefs)


@dataclass(frozen=True, slots=True)
class State:
    """Both, as read from the state ConfigMap. `problem` says why a stored state was discarded, "" when it was not."""

    beliefs: Beliefs = field(default_factory=Beliefs)
    memory: Memory = field(default_factory=Memory)
    problem: str = ""


def dump_state(beliefs: Beliefs, memory: Memory) -> str:
    """The text for the state ConfigMap, at most MAX_STATE_BYTES: the oldest journal entries go first."""
    memory = memory.bounded()
    while True:
        text = json.dumps(
            {
                "schema": SCHEMA,
                "beliefs": _BELIEFS.dump_python(beliefs, mode="json"),
                "memory": _MEMORY.dump_python(memory, mode="json"),
            },
            separators=(",", ":"),
            allow_nan=False,
        )
        if len(text.encode()) <= MAX_STATE_BYTES or not memory.journal:
            return text
        memory = replace(memory, journal=memory.journal[len(memory.journal) // 2 + 1 :])


def load_state(text: str | None) -> State:
    """The state in `text`; a new one, with the reason, where it is missing, corrupt or of another schema."""
    if text is None:
        return State()
    if len(text) > MAX_STATE_BYTES:
        return State(problem=f"the stored state has {len(text)} bytes, the limit is {MAX_STATE_BYTES}: starting anew")
    try:
        raw = json.loads(text)
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            found = raw.get("schema") if isinstance(raw, dict) else type(raw).__name__
            return State(problem=f"the stored state has schema {found}, this tuner reads {SCHEMA}: starting anew")
        return State(_BELIEFS.validate_python(raw.get("beliefs")), _MEMORY.validate_python(raw.get("memory")).bounded())
    except (ValueError, RecursionError) as error:
        first = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
        return State(problem=f"the stored state cannot be read ({first}): starting anew")
