"""The rows of the table: what each measures, its target and its stretch. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RATIO = "ratio"
REQUESTS = "requests"
READS = "reads"


@dataclass(frozen=True)
class Row:
    """A measure. `at_least`: the target is a lower bound, otherwise an upper one."""

    name: str
    what: str
    unit: str
    target: float
    stretch: float
    at_least: bool = True

    def meets(self, value: float) -> bool:
        """Whether a value reaches the target."""
        return value >= self.target if self.at_least else value <= self.target

    def stretches(self, value: float) -> bool:
        """Whether a value reaches the stretch."""
        return value >= self.stretch if self.at_least else value <= self.stretch


ROWS = (
    Row("db_read_vs_guide_orm", "one row by key, uncached, direct", RATIO, 2.5, 3.2),
    Row("db_read_vs_raw_asyncpg", "the same against asyncpg's own pool", RATIO, 0.85, 0.95),
    Row("cached_read_l1_vs_ping", "hit in memory against a bare FastAPI ping", RATIO, 0.80, 0.95),
    Row("cached_read_l1_vs_guide_aiocache_memory", "the same against aiocache", RATIO, 1.5, 2.0),
    Row("cached_read_redis_vs_guide_aiocache_redis", "hit in Redis, in no memory", RATIO, 1.5, 2.0),
    Row("mixed_80_8_8_4_vs_guide", "read, create, update, delete through PgBouncer", RATIO, 2.0, 3.0),
    Row("telemetry_overhead", "ping with / without", RATIO, 0.95, 0.98),
    Row("resize_under_load_failed_requests", "100 resizes under full load", REQUESTS, 0, 0, at_least=False),
    Row("resize_under_load_p99_ratio", "p99 while resizing / steady", RATIO, 1.5, 1.2, at_least=False),
    Row("stampede_db_reads_per_expiry", "200 clients, one hot key, 2 processes", READS, 1.1, 1.0, at_least=False),
    Row("redis_killed_failed_reads", "kill -9 under load, then back", REQUESTS, 0, 0, at_least=False),
)
BY_NAME = {row.name: row for row in ROWS}


@dataclass(frozen=True)
class Result:
    """What came of a row. `runs` are the values of its rounds, `details` what they were made from.

    `problem` says why the value cannot be trusted; such a row is never met.
    """

    row: Row
    value: float
    runs: Sequence[float]
    details: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def met(self) -> bool:
        return self.problem is None and self.row.meets(self.value)

    def as_json(self) -> dict[str, Any]:
        """One entry of build/bench.json."""
        entry: dict[str, Any] = {
            "name": self.row.name,
            "value": round(self.value, 4),
            "unit": self.row.unit,
            "target": self.row.target,
            "stretch": self.row.stretch,
            "met": self.met,
            "runs": [round(run, 4) for run in self.runs],
            "details": dict(self.details),
        }
        if self.problem is not None:
            entry["problem"] = self.problem
        return entry


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows of these names, all of them for none. Raises ValueError that lists the names there are."""
    unknown = sorted(set(names) - set(BY_NAME))
    if unknown:
        raise ValueError(f"there is no row {', '.join(unknown)}; the rows are: {', '.join(BY_NAME)}")
    return [row for row in ROWS if not names or row.name in names]
