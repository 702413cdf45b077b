"""The in-process tier: the entries used last, bounded by their number and by their bytes."""

from __future__ import annotations

from collections import Counter

from cachetools import LRUCache

from trimtab.cache.entry import Entry

ENTRY_OVERHEAD_BYTES = 400
"""What an entry takes beside its payload: key, objects and dictionary slots (sys.getsizeof over them, rounded up)."""

Key = tuple[str, str]


class MemoryTier:
    """Entries by (group, key) with the time of fetching; the least recently used go first. Not for threads."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes: Counter[str] = Counter()
        self._entries = _Tier(self._bytes, max_bytes)

    def get(self, key: Key) -> tuple[Entry, int] | None:
        """The entry and when this process fetched it, in milliseconds."""
        return self._entries.get(key)

    def put(self, key: Key, entry: Entry, fetched_milliseconds: int) -> None:
        """Keep an entry, unless it alone exceeds the bound."""
        self.drop(key)
        if _size_of((entry, 0)) > self._max_bytes:
            return
        self._entries[key] = (entry, fetched_milliseconds)
        self._bytes[key[0]] += _size_of((entry, 0))
        while len(self._entries) > self._max_entries:
            self._entries.popitem()

    def drop(self, key: Key) -> None:
        """Forget an entry."""
        held = self._entries.pop(key, None)
        if held is not None:
            self._bytes[key[0]] -= _size_of(held)

    def drop_group(self, group: str) -> None:
        """Forget all of a group."""
        for key in [key for key in self._entries if key[0] == group]:
            self.drop(key)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def bytes_of(self, group: str) -> int:
        """Bytes that a group holds, overhead included."""
        return self._bytes[group]


class _Tier(LRUCache[Key, tuple[Entry, int]]):
    """Counts the bytes of what it evicts."""

    def __init__(self, counter: Counter[str], max_bytes: int) -> None:
        super().__init__(maxsize=max_bytes, getsizeof=_size_of)
        self._counter = counter

    def popitem(self) -> tuple[Key, tuple[Entry, int]]:
        key, held = super().popitem()
        self._counter[key[0]] -= _size_of(held)
        return key, held


def _size_of(held: tuple[Entry, int]) -> int:
    return len(held[0].payload or b"") + ENTRY_OVERHEAD_BYTES
