"""What the library needs of a pool, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ResizablePool(Protocol):
    """A pool of a SQLAlchemy engine whose size changes while it is in use."""

    timeouts: int
    """Checkouts that gave up waiting."""
    on_checkout: Callable[[float], None] | None
    """Called with the seconds that each checkout took, waiting and connecting together."""

    def size(self) -> int:
        """The most connections in use at a time."""

    def checkedin(self) -> int:
        """Idle connections."""

    def checkedout(self) -> int:
        """Connections in use, being opened or being closed."""

    def waiting(self) -> int:
        """Checkouts that wait for a connection."""

    @property
    def draining(self) -> int:
        """Connections beyond the size that are still to come back."""

    def status(self) -> str:
        """One line for people."""

    async def resize(self, size: int) -> None:
        """Make `size`, at least 1, the most connections of the pool."""

    async def drained(self) -> None:
        """Wait until `draining` is 0."""

    def connection(self) -> AbstractAsyncContextManager[Any]:
        """The driver's connection of a checked-out one, for as long as the block lasts.

        A block that is cancelled, times out or breaks the connection takes it along; a transaction that the block
        left open is rolled back. Not to be kept or used beyond the block, and of SQLAlchemy's pool events it fires
        those of opening and closing only.
        """


def checked_size(size: Any) -> int:
    """`size` itself, or ValueError."""
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"the pool size is {size!r}, it must be an integer of at least 1 (0 would mean no limit)")
    return size
