"""What is stored of a cached answer: when it was written, for how long, under which version, and its bytes.

    magic (1) | flags (1) | written, ms since the epoch (8) | life, ms (4) | version (16) | payload

The time of writing is stored so that a TTL that is lowered later also binds what is already there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEADER = struct.Struct(">BBQI16s")
_MAGIC = 0x54
_NEGATIVE = 0x01
NO_VERSION = bytes(16)
"""The version of a key that has not been written since the cache began (or since its mark expired)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cached answer. `payload` None: it is known that there is nothing (a negative entry)."""

    payload: bytes | None
    written_milliseconds: int
    life_milliseconds: int
    version: bytes = NO_VERSION

    def is_fresh(self, now_milliseconds: int, ttl_milliseconds: int) -> bool:
        """Whether its age is below both the life it was stored with and the TTL in force now."""
        age = now_milliseconds - self.written_milliseconds
        return age < min(self.life_milliseconds, ttl_milliseconds)

    def encode(self) -> bytes:
        """The bytes as stored."""
        flags = _NEGATIVE if self.payload is None else 0
        header = _HEADER.pack(_MAGIC, flags, self.written_milliseconds, self.life_milliseconds, self.version)
        return header + (self.payload or b"")


def decode(data: bytes) -> Entry | None:
    """The entry in `data`, None for what this version of the library did not write."""
    if len(data) < _HEADER.size or data[0] != _MAGIC:
        return None
    _, flags, written, life, version = _HEADER.unpack_from(data)
    payload = None if flags & _NEGATIVE else data[_HEADER.size :]
    return Entry(payload, written, life, version)
