"""The rows, their verdicts, and the file that they are written to."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.report import table, write
from tests.bench.rows import BY_NAME, ROWS, Result, Row, chosen

READ = BY_NAME["db_read_vs_guide_orm"]
P99 = BY_NAME["resize_under_load_p99_ratio"]
FAILED = BY_NAME["redis_killed_failed_reads"]


def test_there_is_a_row_for_every_measure_that_was_promised() -> None:
    assert [(row.name, row.target, row.stretch, row.at_least) for row in ROWS] == [
        ("db_read_vs_guide_orm", 2.5, 3.2, True),
        ("db_read_vs_raw_asyncpg", 0.85, 0.95, True),
        ("cached_read_l1_vs_ping", 0.80, 0.95, True),
        ("cached_read_l1_vs_guide_aiocache_memory", 1.5, 2.0, True),
        ("cached_read_redis_vs_guide_aiocache_redis", 1.5, 2.0, True),
        ("mixed_80_8_8_4_vs_guide", 2.0, 3.0, True),
        ("telemetry_overhead", 0.95, 0.98, True),
        ("resize_under_load_failed_requests", 0, 0, False),
        ("resize_under_load_p99_ratio", 1.5, 1.2, False),
        ("stampede_db_reads_per_expiry", 1.1, 1.0, False),
        ("redis_killed_failed_reads", 0, 0, False),
    ]


@pytest.mark.parametrize(
    ("row", "value", "met", "stretch"),
    [
        (READ, 2.5, True, False),
        (READ, 2.49, False, False),
        (READ, 3.2, True, True),
        (P99, 1.5, True, False),
        (P99, 1.51, False, False),
        (P99, 1.2, True, True),
        (FAILED, 0, True, True),
        (FAILED, 1, False, False),
    ],
)
def test_bounds_hold_from_their_side(row: Row, value: float, met: bool, stretch: bool) -> None:
    result = Result(row, value, [value])
    assert result.met == met
    assert result.row.stretches(value) == stretch


def test_a_value_that_cannot_be_trusted_is_never_met() -> None:
    assert not Result(READ, 9.0, [9.0], problem="3 requests failed").met


def test_the_file_has_the_promised_keys(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    write(path, [Result(READ, 2.6, [2.5, 2.6, 2.7], {"spreadPercent": 7.7}), Result(FAILED, 2, [0, 2], problem="why")])
    first, second = json.loads(path.read_text())
    assert first == {
        "name": "db_read_vs_guide_orm",
        "value": 2.6,
        "unit": "ratio",
        "target": 2.5,
        "stretch": 3.2,
        "met": True,
        "runs": [2.5, 2.6, 2.7],
        "details": {"spreadPercent": 7.7},
    }
    assert second["met"] is False
    assert second["problem"] == "why"
    assert [entry.name for entry in path.parent.iterdir()] == ["bench.json"]


def test_the_table_says_what_is_met_missed_and_not_valid() -> None:
    results = [Result(READ, 3.3, [3.3]), Result(P99, 2.0, [2.0]), Result(FAILED, 0, [0], problem="no hits came back")]
    written = io.StringIO()
    Console(file=written, width=200).print(table(results))
    said = written.getvalue()
    lines = {row.name: next(line for line in said.splitlines() if row.name in line) for row in (READ, P99, FAILED)}
    assert "stretch" in lines[READ.name]
    assert "MISSED" in lines[P99.name]
    assert "NOT VALID" in lines[FAILED.name]
    assert "no hits came back" in said


def test_rows_are_chosen_by_name_in_the_order_of_the_table() -> None:
    assert chosen([]) == list(ROWS)
    assert [row.name for row in chosen([FAILED.name, READ.name])] == [READ.name, FAILED.name]
    with pytest.raises(ValueError, match=r"no row speed; the rows are: db_read_vs_guide_orm, "):
        chosen(["speed"])
