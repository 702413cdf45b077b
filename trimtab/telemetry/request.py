"""The request that runs now and the database time that it has taken.

The lowest room of the library: it imports nothing of it, so that whatever talks to a database can tell of its
statements, and knows nothing of who listens.

A task that a request starts has a copy of its context, hence the same record. So what one request loads for many
(single flight) counts for the one that started it. What the cache makes in the background (refresh, audit) is no
request's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

UNMATCHED = "unmatched"
"""The route of a request whose path matched no template."""

SlowStatementReport = Callable[[str, float, str | None], None]
"""Called with the statement's name, its seconds, and the route (None: no request)."""


class RequestRecord:
    """What one request has cost so far."""

    __slots__ = ("database_seconds", "statements", "where")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.where: Mapping[str, Any] | str = scope
        """The request's scope; when it has ended its route, because connections that it opened keep its context."""
        self.database_seconds = 0.0
        """Seconds that its statements took together, as this process saw it."""
        self.statements = 0
        """How many there were."""

    @property
    def route(self) -> str:
        """The path template that matched, as far as it is known yet."""
        return self.where if isinstance(self.where, str) else route_of(self.where)


current: ContextVar[RequestRecord | None] = ContextVar("trimtab_request", default=None)
"""The record of the request that runs; None outside of one, or where no telemetry is installed."""

_slow_seconds = math.inf
_report_slow: SlowStatementReport | None = None


def note_statement(name: str, seconds: float) -> None:
    """Tell that a statement took this long, one round trip of the database. `name` must hold no parameters."""
    record = current.get()
    if record is not None:
        record.database_seconds += seconds
        record.statements += 1
    if seconds >= _slow_seconds and _report_slow is not None:
        _report_slow(name, seconds, None if record is None else record.route)


def report_slow_statements(seconds: float, report: SlowStatementReport | None) -> None:
    """Have statements of at least so many seconds reported, in this whole process. None: nobody."""
    global _slow_seconds, _report_slow
    _slow_seconds, _report_slow = seconds, report


def route_of(scope: Mapping[str, Any]) -> str:
    """The template of the route that the application chose."""
    return getattr(scope.get("route"), "path", UNMATCHED)
