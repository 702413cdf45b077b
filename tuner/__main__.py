"""`python -m tuner`: the operator, as the image runs it."""

from __future__ import annotations

import os
import sys

from tuner.settings import Settings


def main() -> None:
    """Becomes kopf's process: signals reach it directly."""
    settings = Settings()
    scope = [f"--namespace={name}" for name in settings.namespace_list] or ["--all-namespaces"]
    command = [sys.executable, "-m", "kopf", "run", "--standalone", *scope, "-m", "tuner.handlers"]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
