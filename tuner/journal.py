"""What the tuner remembers between restarts, as the texts of the ConfigMap `NAME-state`. Pure.

    state.json      beliefs and memory, the journal of decisions among them (`decide/memory.py` bounds and versions it)
    hand.json       the replicas that were last seen or set, and when a person changed them
    original.json   the values from before the first change, for onDelete: Restore
    owner           UID of the policy: one made later under the same name takes over what was learned, no more

Losing any of it is safe: the connection budget's ledger is stored with the knobs document itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from tuner.decide.memory import Memory, State, dump_state, load_state
from tuner.model.beliefs import Beliefs

STATE_KEY = "state.json"
HAND_KEY = "hand.json"
ORIGINAL_KEY = "original.json"
OWNER_KEY = "owner"

SAVE_EVERY_SECONDS = 60.0
"""Beliefs alone are saved this often; decisions at once."""


@dataclass(frozen=True, slots=True)
class Hand:
    """Scaling by hand: `replicas` as last seen or set by the tuner, `changed_at` when somebody else changed them."""

    replicas: int | None = None
    changed_at: float | None = None

    def seeing(self, replicas: int | None, now: float) -> Hand:
        """After a look: a number that neither was there nor was set by the tuner was set by a hand."""
        if replicas is None:
            return self
        if self.replicas is None or replicas == self.replicas:
            return replace(self, replicas=replicas)
        return Hand(replicas, now)

    def setting(self, replicas: int) -> Hand:
        """After the tuner has scaled."""
        return replace(self, replicas=replicas)

    def resumed(self) -> Hand:
        """After `kubectl trimtab resume`."""
        return replace(self, changed_at=None)


_HAND = TypeAdapter(Hand)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Everything that was restored, and why something could not be."""

    state: State
    hand: Hand
    original: str | None


def restore(texts: dict[str, str], owner: str = "") -> Remembered:
    """From the ConfigMap's texts, for the policy with UID `owner`."""
    state = load_state(texts.get(STATE_KEY))
    if texts.get(OWNER_KEY, owner) != owner:
        # Between two policies of one name replicas may have changed, and what was there before is another thing.
        return Remembered(state, Hand(), None)
    try:
        hand = _HAND.validate_json(texts[HAND_KEY]) if HAND_KEY in texts else Hand()
    except ValidationError:
        hand = Hand()
    return Remembered(state, hand, texts.get(ORIGINAL_KEY))


def texts(beliefs: Beliefs, memory: Memory, hand: Hand, original: str | None, owner: str = "") -> dict[str, str]:
    """For the ConfigMap."""
    out = {STATE_KEY: dump_state(beliefs, memory), HAND_KEY: _HAND.dump_json(hand).decode(), OWNER_KEY: owner}
    if original is not None:
        out[ORIGINAL_KEY] = original
    return out
