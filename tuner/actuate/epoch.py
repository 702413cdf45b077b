"""The identity of a store of documents: a UUID version 7 (RFC 9562, 5.7), whose text sorts by its time of creation."""

from __future__ import annotations

import secrets
import time
import uuid


def new_epoch(milliseconds: int | None = None) -> str:
    """A new epoch: 48 bits of Unix time in ms, the version, and 74 random bits."""
    now = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    value = (now & (2**48 - 1)) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))
