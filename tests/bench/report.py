"""The table that people read and the file that programs read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from tests.bench.rows import RATIO, Result


def table(results: Sequence[Result]) -> Table:
    """One line a row, problems below their rows."""
    made = Table(title="make bench: one core for the server, the rest for client and databases", title_justify="left")
    for heading in ("row", "value", "target", "stretch", "", "per CPU s", "runs"):
        numeric = heading in ("value", "target", "stretch", "per CPU s")
        made.add_column(heading, justify="right" if numeric else "left", no_wrap=heading != "runs")
    for result in results:
        bound = ">=" if result.row.at_least else "<="
        verdict = "met" if result.met else "MISSED" if result.problem is None else "NOT VALID"
        if result.met and result.row.stretches(result.value):
            verdict = "stretch"
        made.add_row(
            result.row.name,
            number(result.value, result.row.unit),
            f"{bound} {result.row.target:g}",
            f"{result.row.stretch:g}",
            verdict,
            number(result.details["perCpuSecond"], RATIO) if "perCpuSecond" in result.details else "",
            " ".join(number(run, result.row.unit) for run in result.runs),
        )
        if result.problem is not None:
            made.add_row("", "", "", "", "", "", result.problem)
    return made


def number(value: float, unit: str) -> str:
    """As many digits as mean something."""
    return f"{value:.2f}" if unit == RATIO or value != int(value) else f"{value:.0f}"


def write(path: Path, results: Sequence[Result]) -> None:
    """The JSON list, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")
    partial.replace(path)
