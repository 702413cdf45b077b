"""The idle connections of a pool, none of them kept beyond its life."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry

from trimtab.pool import age
from trimtab.pool.closing import Closer


class Idle:
    """Last in, first out, so that the others may be closed for their age undisturbed."""

    def __init__(self, closer: Closer, max_age_seconds: float) -> None:
        self._closer = closer
        self._max_age_seconds = max_age_seconds
        self._records: deque[ConnectionPoolEntry] = deque()
        self._sweep_timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._records)

    def put(self, record: ConnectionPoolEntry) -> None:
        """Keep a connection until it is wanted or old."""
        self._records.append(record)
        if self._sweep_timer is None:
            self._schedule_sweep()

    def take(self) -> ConnectionPoolEntry | None:
        """The one used last.

        One that the server has closed meanwhile (a restart) is dropped here, which costs no round trip.
        """
        while self._records:
            record = self._records.pop()
            if not is_closed(record.driver_connection):
                return record
            self._closer.close(record)
        return None

    def close_surplus(self, count: int) -> None:
        """Close so many in the background, those first that were not used for longest."""
        for _ in range(min(count, len(self._records))):
            self._closer.close_in_background(self._records.popleft())

    def close_all(self) -> None:
        """Close them here and now, and expect no more."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        while self._records:
            self._closer.close(self._records.popleft())

    def _schedule_sweep(self) -> None:
        seconds = self._max_age_seconds / age.SWEEPS_PER_LIFE
        self._sweep_timer = asyncio.get_running_loop().call_later(seconds, _sweep, weakref.ref(self))

    def _close_old(self) -> None:
        self._sweep_timer = None
        for record in [record for record in self._records if age.is_old(record, self._max_age_seconds)]:
            self._records.remove(record)
            self._closer.close_in_background(record)
        if self._records:
            self._schedule_sweep()


def is_closed(driver: Any) -> bool:
    """Whether the driver already knows that its connection is closed (asyncpg: is_closed(), psycopg: closed)."""
    if driver is None:
        return True
    known = getattr(driver, "is_closed", None)
    return bool(known()) if known is not None else bool(getattr(driver, "closed", False))


def _sweep(reference: weakref.ref[Idle]) -> None:
    idle = reference()
    if idle is not None:
        idle._close_old()
