"""What rounds are made into values with. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from statistics import median


def order(sides: Sequence[str], number: int) -> list[str]:
    """The sides in the order of a round: shuffled by its number, so that none profits from always being second."""
    return Random(number).sample(list(sides), len(sides))


def batched(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    """The numbers in their order, so many together."""
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours by theirs, round by round: what disturbs the machine for longer than a round cancels out."""
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} rounds of ours and {len(theirs)} of theirs make no ratio")
    return [mine / other if other else 0.0 for mine, other in zip(ours, theirs, strict=True)]


def middle(runs: Sequence[float]) -> float:
    """The median."""
    return float(median(runs))


def spread_percent(runs: Sequence[float]) -> float:
    """(greatest - least) / median, in percent."""
    center = middle(runs)
    return 100 * (max(runs) - min(runs)) / center if center else 0.0


def bursts(times_seconds: Sequence[float], gap_seconds: float) -> list[int]:
    """How many events each burst holds. A burst ends when nothing happens for `gap_seconds`."""
    sizes: list[int] = []
    last: float | None = None
    for moment in sorted(times_seconds):
        if last is None or moment - last >= gap_seconds:
            sizes.append(0)
        sizes[-1] += 1
        last = moment
    return sizes
