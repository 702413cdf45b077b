"""What a measurement is given, and what it says while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploy.progress import say
from tests.bench.placement import Placement
from tests.bench.stack import Stack


@dataclass(frozen=True)
class Context:
    """The servers, the cores, how many rounds of how many seconds, and where progress goes."""

    stack: Stack
    placement: Placement
    rounds: int
    seconds: float
    say: Callable[[str], None] = say
