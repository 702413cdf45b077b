"""Who runs on which core: the server under test has one of its own, everything else the others."""

from __future__ import annotations

import os
from dataclasses import dataclass


class PlacementError(Exception):
    """The machine has too few cores for figures that mean something."""


@dataclass(frozen=True)
class Placement:
    """`server` is the core of the application; `others` those of the client and the databases."""

    server: int
    others: tuple[int, ...]


def place(available: set[int]) -> Placement:
    """The last core is the server's: the kernel's own work prefers the first. Raises PlacementError. Pure."""
    if len(available) < 2:
        raise PlacementError(
            f"this process may use {len(available)} core: the server needs one and the client with the databases "
            "another, or each is measured with the other's load; run it where at least 2 are available"
        )
    *others, server = sorted(available)
    return Placement(server, tuple(others))


def take_place() -> Placement:
    """Leave the server's core, for this process and all that it starts from now on."""
    placement = place(os.sched_getaffinity(0))
    os.sched_setaffinity(0, placement.others)
    return placement
