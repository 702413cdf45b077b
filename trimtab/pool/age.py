"""The bounded life of connections: a new pooler pod gets its share of them within about a life."""

from __future__ import annotations

import random
import time

from sqlalchemy.pool import ConnectionPoolEntry

MAX_AGE_SECONDS = 120.0
"""Mean life of a connection."""

AGE_JITTER = 0.25
"""Each connection lives between (1 - jitter) and (1 + jitter) times the mean, so that they do not all renew at once."""

SWEEPS_PER_LIFE = 16
"""Idle connections are looked over so many times a mean life."""

_RETIRE_AT = "trimtab_retire_at"


def begin_life(record: ConnectionPoolEntry, mean_seconds: float) -> None:
    """Draw the moment from which on the record's connection is old."""
    life = mean_seconds * random.uniform(1 - AGE_JITTER, 1 + AGE_JITTER)  # noqa: S311
    record.info[_RETIRE_AT] = time.monotonic() + life


def is_old(record: ConnectionPoolEntry, mean_seconds: float) -> bool:
    """Whether it has lived its life. SQLAlchemy empties `info` when it renews a connection within its record."""
    retire_at: float | None = record.info.get(_RETIRE_AT)
    if retire_at is None:
        begin_life(record, mean_seconds)
        return False
    return time.monotonic() >= retire_at
