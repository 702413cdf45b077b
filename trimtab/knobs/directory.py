"""When to look at a file again: at each change in its directory, and every few seconds in case the watch misses one.

The directory, not the file, is watched: a ConfigMap volume swaps a symlink in it, and a writer renames into it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import awatch

logger = logging.getLogger(__name__)


async def looks(directory: Path, poll_seconds: float) -> AsyncIterator[None]:
    """One item whenever it is time to look: after a change in `directory`, and at least every `poll_seconds`."""
    changed = asyncio.Event()
    watching = asyncio.create_task(_watch(directory, poll_seconds, changed), name="trimtab-knobs-watch")
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(poll_seconds):
                    await changed.wait()
            changed.clear()
            yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(directory: Path, poll_seconds: float, changed: asyncio.Event) -> None:
    """Set `changed` at each change; try again later while the directory cannot be watched or does not exist."""
    while True:
        try:
            async for _ in awatch(directory, watch_filter=None, recursive=False, debounce=200, step=50):
                changed.set()
        except (OSError, RuntimeError) as error:
            logger.debug("%s cannot be watched: %s; reading every %s s", directory, error, poll_seconds)
        await asyncio.sleep(poll_seconds)
