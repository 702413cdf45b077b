"""`python -m deploy.demo run`: the whole product on real input. `prove`: is the gain real?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.__main__ import PlatformName, chosen
from deploy.demo.prove import prove as prove_gain
from deploy.demo.run import run as run_demo
from deploy.demo.scenario import Phases
from deploy.errors import DeployError
from deploy.platforms.places import BUILD
from deploy.progress import say

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Users = Annotated[int, typer.Option(min=1, help="Users that send requests in a closed loop.")]
Items = Annotated[int, typer.Option(min=100, help="Items in the seeded catalog.")]
Output = Annotated[Path, typer.Option(help="Folder for the results.")]


@app.callback()
def about() -> None:
    """The main job, shown on real input, and the proof that the gain is real."""


@app.command()
def run(
    platform: PlatformName = "auto",
    users: Users = Phases.users,
    items: Items = 20_000,
    output: Output = BUILD / "demo",
    keep: Annotated[bool, typer.Option("--keep", envvar="KEEP", help="Leave it running at the end.")] = False,
) -> None:
    """A badly set stack is loaded, tuned by the operator, and loaded again."""
    if not run_demo(chosen(platform), Phases(users=users), items, output, keep):
        raise typer.Exit(1)


@app.command()
def prove(
    platform: PlatformName = "auto",
    users: Users = Phases.users,
    items: Items = 20_000,
    output: Output = BUILD / "demo",
    keep: Annotated[bool, typer.Option("--keep", envvar="KEEP", help="Leave it running at the end.")] = False,
) -> None:
    """Bad, tuned, bad again and hand-tuned side by side, with bounds; about 20 minutes."""
    if not prove_gain(chosen(platform), Phases(users=users), items, output, keep):
        raise typer.Exit(1)


def main() -> int:
    try:
        app(standalone_mode=True)
    except DeployError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
