"""Latency by endpoint and second, in logarithmic bins: a long run needs little memory, a quantile is within 1%.

Bin k holds latencies in (BASE * RATIO^(k-1), BASE * RATIO^k] milliseconds; a quantile is the geometric middle of the
bin in which it falls (nearest rank).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

BASE_MILLISECONDS = 0.05
RATIO = 1.02
_LOG_RATIO = math.log(RATIO)

OUTCOMES = ("ok", "rejected", "connection", "server", "client")
"""rejected: 503 of admission control; connection: no answer; server: other 5xx; client: an unexpected 4xx."""


def bin_of(milliseconds: float) -> int:
    if milliseconds <= BASE_MILLISECONDS:
        return 0
    return math.ceil(math.log(milliseconds / BASE_MILLISECONDS) / _LOG_RATIO)


def quantile(bins: Counter[int], q: float) -> float | None:
    """The q-quantile (0 < q <= 1) in milliseconds; None without a sample."""
    total = bins.total()
    if total == 0:
        return None
    rank = max(1, math.ceil(q * total))
    seen = 0
    for index in sorted(bins):
        seen += bins[index]
        if seen >= rank:
            return BASE_MILLISECONDS if index == 0 else BASE_MILLISECONDS * RATIO ** (index - 0.5)
    raise AssertionError("the bins hold fewer samples than their total")


@dataclass
class Cell:
    """What happened at one endpoint in one second (or in a sum of such cells)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, other: Cell) -> None:
        self.outcomes.update(other.outcomes)
        self.bins.update(other.bins)

    @property
    def requests(self) -> int:
        return self.outcomes.total()

    @property
    def failures(self) -> int:
        return self.requests - self.outcomes["ok"]


class Recorder:
    """Cells by (second since the start, endpoint). Every answer counts in the second in which it came."""

    def __init__(self) -> None:
        self._cells: defaultdict[tuple[int, str], Cell] = defaultdict(Cell)
        self.errors: Counter[str] = Counter()

    def record(self, second: int, endpoint: str, milliseconds: float, outcome: str, detail: str = "") -> None:
        cell = self._cells[second, endpoint]
        cell.outcomes[outcome] += 1
        cell.bins[bin_of(milliseconds)] += 1
        if outcome != "ok":
            self.errors[f"{endpoint}: {detail or outcome}"[:200]] += 1

    def total(self, first: int, last: int, endpoint: str | None = None) -> Cell:
        """The sum over the seconds first..last-1."""
        result = Cell()
        for cell in self._selected(first, last, endpoint):
            result.add(cell)
        return result

    def endpoints(self) -> list[str]:
        return sorted({endpoint for _, endpoint in self._cells})

    def _selected(self, first: int, last: int, endpoint: str | None) -> Iterable[Cell]:
        for (second, name), cell in self._cells.items():
            if first <= second < last and endpoint in (None, name):
                yield cell
