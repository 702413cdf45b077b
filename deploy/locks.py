"""One at a time, over all processes of this machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.progress import say


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path`, which is made where it does not exist; says so when somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that holds {path} ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
