"""Ratios: our application and its rivals under the same load, in rounds of short slices.

A slice is a second of load on one side; within a round the sides take turns, in random order each time. What disturbs
the machine for longer than a second or two meets them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.bench.application import Application, Side
from tests.bench.context import Context
from tests.bench.cores import Busy, watch
from tests.bench.figures import batched, middle, order, ratios, spread_percent
from tests.bench.load import Load, Summary, run
from tests.bench.rows import BY_NAME, Result

WARM_SECONDS = 1.0
SLICE_SECONDS = 1.0
BOUND_PERCENT = 90.0
"""Below this share of its core the server was not what bounded the measurement."""


@dataclass(frozen=True)
class Contender:
    """A side with its load by round. `fill_keys`: so many items are asked for in turn before, until all are cached."""

    side: Side
    load: Callable[[int], Load]
    fill_keys: int = 0


@dataclass(frozen=True)
class Comparison:
    """`rivals` are the contenders that ours is divided by, by the name of the row. `times` as many rounds as usual.

    `afresh`: each round with new processes, because two of the same program differ by a few percent in speed (where
    their memory lies, how their strings hash), which matters where the sides hardly differ.
    """

    title: str
    ours: Contender
    rivals: Mapping[str, Contender]
    times: int = 1
    afresh: bool = False

    def rounds(self, usual: int) -> int:
        """How many."""
        return self.times * usual

    @property
    def contenders(self) -> dict[str, Contender]:
        """By the names of their sides."""
        return {contender.side.name: contender for contender in (self.ours, *self.rivals.values())}


Slice = tuple[Summary, Busy]


@dataclass
class Samples:
    """One side's rounds."""

    requests_per_second: list[float] = field(default_factory=list)
    requests_per_cpu_second: list[float] = field(default_factory=list)
    p99_milliseconds: list[float] = field(default_factory=list)
    server_core_percent: list[float] = field(default_factory=list)
    application_percent: list[float] = field(default_factory=list)
    other_cores_percent: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, name: str, taken: Sequence[Slice]) -> None:
        """A round, from its slices. Pure."""
        summaries = [summary for summary, _ in taken]
        requests = sum(summary.requests for summary in summaries)
        self.requests_per_second.append(requests / sum(summary.seconds for summary in summaries))
        self.requests_per_cpu_second.append(requests / sum(busy.application_seconds for _, busy in taken))
        self.p99_milliseconds.append(middle([summary.p99_milliseconds for summary in summaries]))
        self.server_core_percent.append(middle([busy.server_core for _, busy in taken]))
        self.application_percent.append(middle([busy.application for _, busy in taken]))
        self.other_cores_percent.append(middle([busy.other_cores for _, busy in taken]))
        self.failures += [
            f"{summary.failed} of {summary.requests} requests of {name} failed ({summary.failures})"
            for summary in summaries
            if summary.failed
        ]

    def as_json(self) -> dict[str, Any]:
        """Rounded, with medians first."""
        return {
            "requestsPerSecond": round(middle(self.requests_per_second), 1),
            "requestsPerCpuSecond": round(middle(self.requests_per_cpu_second), 1),
            "p99Milliseconds": round(middle(self.p99_milliseconds), 2),
            "serverCorePercent": round(middle(self.server_core_percent), 1),
            "applicationPercent": round(middle(self.application_percent), 1),
            "otherCoresPercent": round(middle(self.other_cores_percent), 1),
            "requestsPerSecondRuns": [round(value, 1) for value in self.requests_per_second],
        }


def compare(comparison: Comparison, context: Context) -> list[Result]:
    """The rows of a comparison."""
    samples = {name: Samples() for name in comparison.contenders}
    rounds = comparison.rounds(context.rounds)
    for batch in batched(range(rounds), 1 if comparison.afresh else rounds):
        with ExitStack() as running:
            applications = {
                name: running.enter_context(Application(contender.side, context.placement.server))
                for name, contender in comparison.contenders.items()
            }
            for name, application in applications.items():
                _warm_up(comparison.contenders[name], application)
            for number in batch:
                _round(number, comparison, applications, samples, context)
                said = ", ".join(f"{name} {one.requests_per_second[-1]:,.0f}" for name, one in samples.items())
                context.say(f"{comparison.title}: round {number + 1}/{rounds}, {said} requests/s")
    ours = comparison.ours.side.name
    return [
        result(row, samples[ours], samples[rival.side.name], ours, rival.side.name)
        for row, rival in comparison.rivals.items()
    ]


def _round(
    number: int,
    comparison: Comparison,
    applications: Mapping[str, Application],
    samples: Mapping[str, Samples],
    context: Context,
) -> None:
    slices: dict[str, list[Slice]] = {name: [] for name in applications}
    for part in range(max(1, round(context.seconds / SLICE_SECONDS))):
        seed = 1000 * number + part
        for name in order(list(applications), seed):
            slices[name].append(_slice(applications[name], comparison.contenders[name].load(seed), context))
    for name, taken in slices.items():
        samples[name].add(name, taken)


def _slice(application: Application, load: Load, context: Context) -> Slice:
    with watch(context.placement, application) as busy:
        summary = run(load, application.url, SLICE_SECONDS)
    return summary, busy


def result(row: str, ours: Samples, theirs: Samples, our_name: str, their_name: str) -> Result:
    """The row of two sides' samples. Pure."""
    runs = ratios(ours.requests_per_second, theirs.requests_per_second)
    details = {
        our_name: ours.as_json(),
        their_name: theirs.as_json(),
        "spreadPercent": round(spread_percent(runs), 1),
        "perCpuSecond": round(middle(ratios(ours.requests_per_cpu_second, theirs.requests_per_cpu_second)), 4),
    }
    return Result(BY_NAME[row], middle(runs), runs, details, _problem(ours, theirs, their_name))


def _problem(ours: Samples, theirs: Samples, their_name: str) -> str | None:
    """Failures are no answers; and a rival that waits for the client or the database makes us look better."""
    failures: Sequence[str] = [*ours.failures, *theirs.failures]
    if failures:
        return failures[0]
    busy = middle(theirs.server_core_percent)
    if busy < BOUND_PERCENT:
        return (
            f"the core of {their_name} was busy for {busy:.0f}% only: the client or the database bounded it, so the "
            "ratio says too much"
        )
    return None


def _warm_up(contender: Contender, application: Application) -> None:
    """Until connections are open and caches full: a second of walking asks for every key at least once."""
    run(contender.load(0), application.url, WARM_SECONDS)
    fill = Load("walk", (str(contender.fill_keys),))
    while contender.fill_keys and run(fill, application.url, WARM_SECONDS).requests < contender.fill_keys:
        pass
