"""`python -m deploy`: a cluster on this machine and the stack in it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deploy.errors import DeployError
from deploy.platforms import choose
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
