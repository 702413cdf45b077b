"""Statements of the database."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from trimtab.telemetry.collectors.families import DescribedCollector, counter
from trimtab.telemetry.slow_statements import SlowStatementLog


class StatementCollector(DescribedCollector):
    """How many statements were slow, also those without a line of the log."""

    def __init__(self, log: SlowStatementLog) -> None:
        self._log = log

    def collect(self) -> Iterable[Metric]:
        return [counter("trimtab_slow_statements", "Statements of at least slow_statement_seconds", self._log.seen)]
