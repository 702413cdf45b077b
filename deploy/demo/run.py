"""The demo: up, a badly set stack, load, tuning, load again, what came of it. `run` reads as the specification."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from deploy import stack
from deploy.binaries import binaries, binary
from deploy.demo import scenario
from deploy.demo.budget import allocatable
from deploy.demo.outcome import Measured, Verdict, judge, table
from deploy.demo.scenario import MAX_CONNECTIONS, RESERVED_CONNECTIONS, Phases
from deploy.demo.stage import Stage
from deploy.demo.tuning import DecisionLog, SettledError, sentence
from deploy.kubectl import Kubectl
from deploy.platforms.port import Platform
from loadtests import stream

console = Console()


def run(platform: Platform, phases: Phases, items: int, output: Path, keep: bool) -> bool:
    """Show the main job on `platform`, write {before,after,decisions}.json to `output`; whether it was a success.

    Everything is taken down at the end unless `keep`, also after a failure.
    """
    with cluster(platform, keep):
        stage = Stage(
            Kubectl(platform.kubeconfig, binary("kubectl")), stack.install(platform, stack_values=values(items))
        )
        stage.apply_policy(scenario.policy("Observe"))
        stage.wait_for_condition("MetricsAvailable", "True", 120)
        with stage.watch_budget() as budget:
            before = measure(stage, phases, items, "before")
            decisions = tune(stage, phases, items)
            after = measure(stage, phases, items, "after")
        verdict = judge(before, after, budget.largest, allocatable(MAX_CONNECTIONS, RESERVED_CONNECTIONS))
        write(output, {"before": before.to_json(), "after": after.to_json(), "decisions": decisions})
        show({"bad start": before, "tuned": after}, verdict, output)
        if keep:
            explain_access(platform)
    return verdict.good


def values(items: int) -> dict[str, Any]:
    """The values of charts/stack for the demo: the bad start, and pods small enough that replicas matter."""
    bad = scenario.BAD_START.as_values()
    bad["api"]["resources"] = {
        "requests": {"cpu": "50m", "memory": "128Mi"},
        "limits": {"cpu": "300m", "memory": "512Mi"},
    }
    return {
        **bad,
        "policyName": scenario.POLICY,
        "seed": {"items": items},
        "postgres": {"maxConnections": MAX_CONNECTIONS, "reservedConnections": RESERVED_CONNECTIONS},
    }


@contextmanager
def cluster(platform: Platform, keep: bool) -> Iterator[None]:
    """The platform, up; down again at the end unless `keep`. What the machine lacks is said before anything is made."""
    platform.require()
    binaries("helm", "kubectl")
    platform.up()
    try:
        yield
    finally:
        if not keep:
            platform.down()


def measure(stage: Stage, phases: Phases, items: int, name: str) -> Measured:
    """One measured load from an empty cache."""
    stage.flush_cache()
    plan = phases.plan(items, phases.measured_seconds)
    with bar(f"load, {name}", plan.total_seconds) as advance:
        result = stage.load(f"demo-{name}", plan, advance)
    warn_if_saturated(result)
    return stage.measured(result)


def tune(stage: Stage, phases: Phases, items: int) -> list[dict[str, Any]]:
    """Load with the policy in Apply until the tuner rests; the decisions, oldest first."""
    behavior = scenario.policy("Apply")["spec"]["behavior"]
    console.print(
        f"applying the policy: mode Apply, tickSeconds {behavior['tickSeconds']}, "
        f"cooldownSeconds {behavior['cooldownSeconds']} (a demo's pace; the defaults are 15 and 60)"
    )
    stage.flush_cache()
    started = time.time()

    def tell(decision: dict[str, Any]) -> None:
        console.print(sentence(decision, started, seconds_of), highlight=False)

    log = DecisionLog(stage.decisions, phases.quiet_seconds, phases.tuning_seconds / 3, tell)
    plan = phases.plan(items, phases.tuning_seconds)
    stage.apply_policy(scenario.policy("Apply"))
    with bar("load, while the tuner works", plan.total_seconds) as advance:

        def follow(progress: stream.Progress) -> None:
            advance(progress)
            log.visit()

        try:
            stage.load("demo-tuning", plan, follow)
        except SettledError:
            console.print(f"the tuner has decided nothing for {phases.quiet_seconds} s: settled")
    return log.decisions()


@contextmanager
def bar(title: str, total_seconds: int) -> Iterator[Callable[[stream.Progress], None]]:
    """A progress bar over a load; gives the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task: TaskID = progress.add_task(title, total=total_seconds, rate="starting")

        def advance(now: stream.Progress) -> None:
            p95 = "-" if now.p95_milliseconds is None else f"{now.p95_milliseconds:.0f}"
            progress.update(task, completed=now.done, rate=f"{now.requests_per_second:.0f} requests/s, p95 {p95} ms")

        yield advance


def warn_if_saturated(result: dict[str, Any]) -> None:
    if result["generator"]["saturated"]:
        console.print(
            f"[yellow]the load generator used {result['generator']['cpuPercent']} % of its core: "
            "the service may be faster than this shows[/yellow]"
        )


def show(columns: dict[str, Measured], verdict: Verdict, output: Path) -> None:
    """The table of the phases and what it means."""
    shown = Table(title="before and after")
    for heading in ("", *columns):
        shown.add_column(heading, justify="left" if not heading else "right")
    for row in table(columns):
        shown.add_row(*row)
    console.print(shown)
    for line in verdict.sentences:
        console.print(line, style=None if verdict.good else "bold red", highlight=False)
    console.print(f"written to {output}")


def write(output: Path, documents: dict[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (output / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def explain_access(platform: Platform) -> None:
    """How to look around in a demo that was kept."""
    kubectl = binary("kubectl")
    console.print(
        f"\nThe cluster is kept. Look around with:\n"
        f"  export KUBECONFIG={platform.kubeconfig}\n"
        f"  {kubectl} get tuningpolicies --all-namespaces\n"
        f"  {kubectl} --namespace {scenario.NAMESPACE} get pods\n"
        f"  .venv/bin/kubectl-trimtab explain {scenario.POLICY} --namespace {scenario.NAMESPACE}\n"
        f"and remove it with:\n"
        f"  .venv/bin/python -m deploy down --platform {platform.name}",
        highlight=False,
        soft_wrap=True,
    )


def seconds_of(timestamp: str) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.fromisoformat(timestamp).timestamp()
