"""Every row that is asked for, in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from tests.bench import redis_killed, resize, stampede
from tests.bench.compare import compare
from tests.bench.comparisons import comparisons
from tests.bench.context import Context
from tests.bench.rows import Result, Row

Measurement = Callable[[Context], list[Result]]
ALONE: tuple[tuple[frozenset[str], int, Measurement], ...] = (
    (frozenset({resize.FAILED, resize.P99}), 2, resize.measure),
    (frozenset({stampede.NAME}), 1, stampede.measure),
    (frozenset({redis_killed.NAME}), 1, redis_killed.measure),
)
"""Rows that are no comparison, how often each says something in a round, and what measures them."""


def plan(context: Context, rows: Sequence[Row]) -> list[tuple[int, Callable[[], list[Result]]]]:
    """How many times each measurement says something, and the measurement. Only what the rows need is started."""
    wanted = {row.name for row in rows}
    planned: list[tuple[int, Callable[[], list[Result]]]] = []
    for comparison in comparisons(context.stack):
        rivals = {name: rival for name, rival in comparison.rivals.items() if name in wanted}
        if rivals:
            needed = replace(comparison, rivals=rivals)
            planned.append((needed.rounds(context.rounds), partial(compare, needed, context)))
    for names, says_a_round, measurement in ALONE:
        if names & wanted:
            planned.append((context.rounds * says_a_round, partial(measurement, context)))
    return planned
