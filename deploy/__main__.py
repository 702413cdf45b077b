"""`python -m deploy`: a cluster on this machine and the stack in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from deploy import binaries as built
from deploy import images, stack
from deploy.errors import DeployError, MissingError
from deploy.platforms import choose
from deploy.platforms.node import apiserver
from deploy.platforms.port import Platform
from deploy.progress import say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A Kubernetes cluster on this machine, the images built here, and the charts installed in it.",
)

PlatformName = Annotated[
    str, typer.Option("--platform", envvar="PLATFORM", help="k3d or node; auto takes k3d where Docker and k3d answer.")
]


@app.command()
def check(platform: PlatformName = "auto") -> None:
    """Whether this machine can be the platform; says what it lacks, and changes nothing."""
    found = chosen(platform)
    found.require()
    say(f"{found.name}: this machine has what it needs")


@app.command()
def up(platform: PlatformName = "auto") -> None:
    """Start an empty cluster; clears the remnants of an earlier one."""
    chosen(platform).up()


@app.command()
def down(platform: PlatformName = "auto") -> None:
    """Remove the cluster and everything it changed on this machine."""
    chosen(platform).down()


@app.command()
def status(platform: PlatformName = "auto") -> None:
    """What runs, and what died and was restarted."""
    print(chosen(platform).status(), end="")


@app.command()
def logs(
    component: Annotated[str | None, typer.Argument(help="Such as kubelet; all of them by default.")] = None,
    platform: PlatformName = "auto",
    lines: Annotated[int, typer.Option(min=1, help="How many of the last lines.")] = 40,
) -> None:
    """The last lines of the components' logs."""
    print(chosen(platform).logs(component, lines=lines), end="")


@app.command()
def binaries(
    names: Annotated[
        list[str] | None, typer.Argument(help="Such as helm; by default what the operator tests need.")
    ] = None,
) -> None:
    """Build programs from their Go modules into the cache where they are missing; prints their paths."""
    for path in built.binaries(*(names or apiserver.PROGRAMS)).values():
        print(path)


@app.command("images")
def build_images(
    names: Annotated[list[str] | None, typer.Argument(help="Such as api; all of them by default.")] = None,
    platform: PlatformName = "auto",
    build_only: Annotated[bool, typer.Option("--build-only", help="Do not import them into the cluster.")] = False,
) -> None:
    """Build the images that changed and import them into the cluster; prints their references."""
    wanted = names or list(images.NAMES)
    references = images.build(wanted) if build_only else images.provide(running(platform), wanted)
    for reference in references.values():
        print(reference)


@app.command()
def install(
    platform: PlatformName = "auto",
    tuner: Annotated[bool, typer.Option(help="Also the tuner, not only the stack.")] = True,
    values: Annotated[Path | None, typer.Option(help="A YAML file with further values of charts/stack.")] = None,
) -> None:
    """Build and import the images, then install charts/stack and charts/tuner and wait until they are ready."""
    stack_values = yaml.safe_load(values.read_text()) if values else None
    stack.install(running(platform), with_tuner=tuner, stack_values=stack_values)


@app.command()
def uninstall(platform: PlatformName = "auto") -> None:
    """Remove both releases and leave the cluster up."""
    stack.uninstall(running(platform))


def running(name: str) -> Platform:
    """The platform called `name`; raises MissingError where its cluster is not up."""
    found = chosen(name)
    if not found.kubeconfig.exists():
        raise MissingError(
            f"the {found.name} cluster is not up ({found.kubeconfig} does not exist): "
            f"`python -m deploy up --platform {found.name}`"
        )
    return found


def chosen(name: str) -> Platform:
    """The platform called `name`; for `auto`, says which one was taken and why."""
    if name != "auto":
        return choose.platform(name)
    found, why = choose.fitting()
    say(f"platform {found}: {why}")
    return choose.platform(found)


def main() -> int:
    try:
        app(standalone_mode=True)
    except DeployError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
