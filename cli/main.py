"""`kubectl trimtab`: what the tuner does and why, from a terminal."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from kubernetes import config as kubernetes_config_module
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from tuner.cluster.api import ClusterApi
from tuner.cluster.errors import ClusterError, NotFoundError
from tuner.crds import API_VERSION, TuningPolicy
from tuner.explain import Explanation, explain

app = typer.Typer(help="Why Trimtab's knobs are where they are.", no_args_is_help=True, add_completion=False)
console = Console(highlight=False)
complaints = Console(stderr=True, highlight=False)

kubernetes_config: Any = kubernetes_config_module  # typed in part only

Name = Annotated[str, typer.Argument(help="Name of the TuningPolicy.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Default: that of the kubeconfig's context.")]
Kubeconfig = Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, else ~/.kube/config.")]


@app.callback()
def _root() -> None:
    """A command line of several commands, also while it has few."""


@app.command("explain")
def explain_command(
    name: Name,
    namespace: Namespace = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON, for programs.")] = False,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Why each knob is at its value: what was seen, what was predicted, what came of it."""
    policy = _policy(name, namespace or _context_namespace(kubeconfig), kubeconfig)
    if as_json:
        console.print_json(policy.status.model_dump_json(exclude_none=True))
        return
    _show(explain(policy, datetime.now(UTC)))


def _show(said: Explanation) -> None:
    console.print(f"[bold]{said.headline}[/bold]")
    for sentence in said.sentences:
        console.print(sentence, markup=False)
    for complaint in said.complaints:
        console.print(f"! {complaint}", style="yellow", markup=False)
    if said.knobs:
        _table("Knobs", ("knob", "current", "recommended", "confirmed", "why"), said.knobs)
    if said.capacity:
        rows = [(str(size), str(rate)) for size, rate in said.capacity]
        _table("Measured while clients waited", ("pool size", "transactions/s"), rows)
    if said.decisions:
        _table("Decisions, the latest last", ("ago", "knob", "move", "why", "outcome"), said.decisions)


def _table(title: str, columns: tuple[str, ...], rows: Any) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, header_style="dim", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print()
    console.print(table)


def _policy(name: str, namespace: str, kubeconfig: Path | None) -> TuningPolicy:
    """The policy, or an end with a message that says what to do."""
    try:
        return TuningPolicy.model_validate(asyncio.run(_read(name, namespace, kubeconfig)))
    except NotFoundError:
        _fail(f"there is no TuningPolicy {name} in namespace {namespace}: `kubectl get tp -A` lists all of them")
    except ClusterError as error:
        _fail(str(error))
    except ValidationError as error:
        first = error.errors()[0]
        _fail(f"the policy {name} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}")
    raise AssertionError("unreachable")


async def _read(name: str, namespace: str, kubeconfig: Path | None) -> dict[str, Any]:
    api = await ClusterApi.connect(kubeconfig)
    try:
        return await api.get(f"/apis/{API_VERSION}/namespaces/{namespace}/tuningpolicies/{name}")
    finally:
        await api.close()


def _context_namespace(kubeconfig: Path | None) -> str:
    try:
        _, active = kubernetes_config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
    except kubernetes_config.ConfigException:
        return "default"
    return str(active.get("context", {}).get("namespace", "default"))


def _fail(message: str) -> None:
    complaints.print(f"error: {message}", style="red", markup=False)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
