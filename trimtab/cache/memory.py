"""The in-process tier: the answers used last, bounded by their number and by their bytes.

cachetools keeps the bounds. Lookups go to a plain dictionary for each group and only set a flag; the order of eviction
is that of CLOCK, least recently used to within one round: who was read since the last look gets a second chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from cachetools import LRUCache

from trimtab.cache.held import Held

ENTRY_OVERHEAD_BYTES = 900
"""What an entry takes beside its payload: key, objects and slots of four dictionaries (tracemalloc, rounded up)."""

SECOND_CHANCES = 16
"""Most entries that one eviction passes over: it must not stall the event loop when all were used."""

Key = tuple[str, str]


class MemoryTier:
    """Answers by group and key. Not for threads."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes: Counter[str] = Counter()
        self._groups: dict[str, dict[str, Held]] = {}
        self._tier = _Tier(self._forget, max_bytes)

    def of(self, group: str) -> dict[str, Held]:
        """The answers of a group by key, to look up in; set `used` on what is read."""
        return self._groups.setdefault(group, {})

    def put(self, group: str, key: str, held: Held) -> None:
        """Keep an answer, unless it alone exceeds the bound."""
        self.drop(group, key)
        size = _size_of(held)
        if size > self._max_bytes:
            return
        while len(self._tier) >= self._max_entries:  # before the new one is in: it would be passed no second chance
            self._tier.popitem()
        self._tier[group, key] = held
        self.of(group)[key] = held
        self._bytes[group] += size

    def drop(self, group: str, key: str) -> None:
        """Forget an answer."""
        held = self._tier.pop((group, key), None)
        if held is not None:
            self._forget((group, key), held)

    def drop_group(self, group: str) -> None:
        """Forget all of a group."""
        for key in list(self.of(group)):
            self.drop(group, key)

    def clear(self) -> None:
        """Forget everything."""
        for group in self._groups:
            self.drop_group(group)

    def __len__(self) -> int:
        return len(self._tier)

    def bytes_of(self, group: str) -> int:
        """Bytes that a group holds, overhead included."""
        return self._bytes[group]

    def _forget(self, key: Key, held: Held) -> None:
        del self._groups[key[0]][key[1]]
        self._bytes[key[0]] -= _size_of(held)


class _Tier(LRUCache[Key, Held]):
    """Evicts by CLOCK and tells what it evicted."""

    def __init__(self, evicted: Callable[[Key, Held], None], max_bytes: int) -> None:
        super().__init__(maxsize=max_bytes, getsizeof=_size_of)
        self._evicted = evicted

    def popitem(self) -> tuple[Key, Held]:
        key, held = super().popitem()
        for _ in range(SECOND_CHANCES):
            if not held.used:
                break
            held.used = False
            self[key] = held  # as the newest; it fits where it was
            key, held = super().popitem()
        self._evicted(key, held)
        return key, held


def _size_of(held: Held) -> int:
    return len(held.payload or b"") + ENTRY_OVERHEAD_BYTES
