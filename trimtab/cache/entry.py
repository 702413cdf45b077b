"""What is stored of a cached answer: when it was written, for how long, under which version, and its bytes.

    magic (1) | flags (1) | version (16) | written, ms since the epoch (8) | life, ms (4) | making, ms (4) | payload

The time of writing is stored so that a TTL that is lowered later also binds what is already there; the time that the
making took, so that every reader knows how early to make it anew (trimtab.cache.refresh).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEADER = struct.Struct(">BB16sQII")
_MAGIC = 0x55
_NEGATIVE = 0x01
_MAX_MAKING_MILLISECONDS = 2**32 - 1
NO_VERSION = bytes(16)
"""The version of a key that has not been written since the cache began (or since its mark expired)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cached answer. `payload` None: it is known that there is nothing (a negative entry)."""

    payload: bytes | None
    written_milliseconds: int
    life_milliseconds: int
    version: bytes = NO_VERSION
    making_milliseconds: int = 0

    def encode(self) -> bytes:
        """The bytes as stored."""
        header = _HEADER.pack(
            _MAGIC,
            _NEGATIVE if self.payload is None else 0,
            self.version,
            self.written_milliseconds,
            self.life_milliseconds,
            min(self.making_milliseconds, _MAX_MAKING_MILLISECONDS),
        )
        return header + (self.payload or b"")


def decode(data: bytes) -> Entry | None:
    """The entry in `data`, None for what this version of the library did not write."""
    if len(data) < _HEADER.size or data[0] != _MAGIC:
        return None
    _, flags, version, written, life, making = _HEADER.unpack_from(data)
    payload = None if flags & _NEGATIVE else data[_HEADER.size :]
    return Entry(payload, written, life, version, making)
