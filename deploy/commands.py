"""Running other programs: one place that turns a failure into a sentence."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.errors import CommandError

SHOWN_LINES = 20
SHOWN_COLUMNS = 300
"""How much of the end of a failed program's output its error shows."""

Argument = str | Path


def run(
    command: Sequence[Argument],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 600,
) -> str:
    """The standard output of `command`; `env` is added to this process's environment.

    Raises CommandError when it cannot be started, fails or takes longer than `timeout_seconds`.
    """
    argv = [str(part) for part in command]
    try:
        done = subprocess.run(
            argv,
            input=stdin or "",
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            timeout=timeout_seconds,
        )
    except FileNotFoundError as error:
        raise CommandError(
            f"the program {argv[0]} is not on this machine (PATH={os.environ.get('PATH', '')})"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{shlex.join(argv)}` did not end within {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        raise CommandError(failure(argv, done.returncode, done.stderr or done.stdout))
    return done.stdout


def run_logged(
    command: Sequence[Argument], log: Path, *, env: Mapping[str, str] | None = None, timeout_seconds: float = 1800
) -> None:
    """Run a long `command` with all its output in the file `log`, which a person can follow.

    Raises CommandError, with the end of the log, when it fails or takes longer than `timeout_seconds`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                env={**os.environ, **(env or {})},
                timeout=timeout_seconds,
            )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{command[0]}` did not end within {timeout_seconds:.0f} s; its output: {log}") from error
    if done.returncode != 0:
        text = log.read_text(errors="replace")
        raise CommandError(f"{failure([str(part) for part in command], done.returncode, text)}\n  all of it: {log}")


def succeeds(command: Sequence[Argument], *, env: Mapping[str, str] | None = None, timeout_seconds: float = 30) -> bool:
    """Whether `command` ends with status 0; False too when it cannot be started or does not answer."""
    try:
        run(command, env=env, timeout_seconds=timeout_seconds)
    except CommandError:
        return False
    return True


def failure(argv: Sequence[str], status: int, output: str) -> str:
    """The sentence about a failed program: the command, its status, the last lines it wrote."""
    lines = output.strip().splitlines()[-SHOWN_LINES:]
    tail = "".join(f"\n  {line[:SHOWN_COLUMNS]}" for line in lines) or " (it wrote nothing)"
    return f"`{shlex.join(argv)}` ended with status {status}:{tail}"
