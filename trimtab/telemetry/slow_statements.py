"""A log line for each slow statement: the route, the statement's name, the duration. Never its parameters.

The standard library's logging, with the fields both in the message and as `extra`, so that a plain log and a structured
one show them. When the database is slow every statement may be: no more than LINES lines go out in WINDOW_SECONDS, and
the next one says how many were left out. All of them are counted.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from trimtab.telemetry.request import report_slow_statements

logger = logging.getLogger("trimtab.slow_statements")

SLOW_STATEMENT_SECONDS = 0.25
SLOW_STATEMENT_FIELDS = ("statement", "duration_seconds", "route", "left_out")
"""What the `extra` of a line holds."""

LINES = 20
WINDOW_SECONDS = 10.0


class SlowStatementLog:
    """Writes and counts the statements of at least `threshold_seconds`; `math.inf`: none."""

    def __init__(
        self,
        threshold_seconds: float = SLOW_STATEMENT_SECONDS,
        *,
        lines: int = LINES,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not threshold_seconds > 0:
            raise ValueError(
                f"slow_statement_seconds is {threshold_seconds}, it must be above 0; math.inf switches the log off"
            )
        self._threshold_seconds = threshold_seconds
        self._lines = lines
        self._window_seconds = window_seconds
        self._clock = clock
        self._window_ends = -math.inf
        self._written = 0
        self._left_out = 0
        self.seen = 0
        """Slow statements so far, written or not."""

    def start(self) -> None:
        """Take the reports of this process from now on, in place of who took them before."""
        report_slow_statements(self._threshold_seconds, self.report)

    def report(self, statement: str, seconds: float, route: str | None) -> None:
        """Tell of one slow statement, unless there were too many lately."""
        self.seen += 1
        now = self._clock()
        if now >= self._window_ends:
            self._window_ends = now + self._window_seconds
            self._written = 0
        if self._written >= self._lines:
            self._left_out += 1
            return
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        logger.warning(
            "slow statement %s took %.3f s (route %s; %d such lines left out before)",
            statement,
            seconds,
            route or "none",
            left_out,
            extra={
                "statement": statement,
                "duration_seconds": round(seconds, 6),
                "route": route,
                "left_out": left_out,
            },
        )
