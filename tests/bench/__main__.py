"""`python -m tests.bench`: what `make bench` runs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.errors import DeployError
from deploy.progress import say
from deploy.servers.errors import ServersError
from tests.bench import stack
from tests.bench.application import ApplicationError
from tests.bench.context import Context
from tests.bench.load import LoadError, require_wrk
from tests.bench.measure import plan
from tests.bench.placement import PlacementError, take_place
from tests.bench.report import table, write
from tests.bench.rows import ROWS, Result, Row, chosen

LEAST_ROUNDS = 5
DEFAULT_SECONDS = 3.0
TABLE_WIDTH = 160
DESCRIPTION = """Measure the library and the reference API against what their users would write.

Prints the table and writes it as JSON. Needs Linux with two cores and, for PostgreSQL, PgBouncer and Redis, root or
recent servers on PATH. The exit status is 0 when everything that was asked for has been measured, whether or not it
reaches its target; with --check 1 when a row does not; 2 when something could not be measured."""


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    started = time.monotonic()
    try:
        rows = chosen(options.rows)
        placement = take_place()
        require_wrk()
        with stack.running() as servers:
            results = _measured(Context(servers, placement, options.rounds, options.seconds), rows)
    except (ValueError, PlacementError, DeployError, ServersError, ApplicationError, LoadError) as error:
        say(f"bench: {error}")
        return 2
    write(options.json, results)
    Console(width=None if sys.stdout.isatty() else TABLE_WIDTH).print(table(results))
    met = sum(result.met for result in results)
    say(f"bench: {met} of {len(results)} targets met in {time.monotonic() - started:.0f} s; see {options.json}")
    return 1 if options.check and met < len(results) else 0


def _measured(context: Context, rows: Sequence[Row]) -> list[Result]:
    """With a bar of progress on a terminal and lines elsewhere too; in the order of the table."""
    results: dict[str, Result] = {}
    columns = (
        TextColumn("bench"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, soft_wrap=True)) as progress:

        def tell(text: str) -> None:
            progress.console.print(text, highlight=False)
            progress.advance(task)

        planned = plan(replace(context, say=tell), rows)
        task = progress.add_task("bench", total=sum(steps for steps, _ in planned))
        for _, measurement in planned:
            results |= {result.row.name: result for result in measurement()}
    return [results[row.name] for row in rows]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=DESCRIPTION)
    parser.add_argument("--rows", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(r.name for r in ROWS)}")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help=f"default: {LEAST_ROUNDS}")
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="of load a side and round; default: 3")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="default: build/bench.json")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a row misses its target")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.seconds < 1:
        parser.error(f"--rounds {options.rounds} and --seconds {options.seconds:g} must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
