"""From PgBouncer's counters to the agent's: pure arithmetic over samples, no clock.

PgBouncer's counters start at 0 with its process; the agent's outlive it. Saturated time is what capacity is learned
from (CONTROL.md, Pool size): only there does throughput say what the size can do, not what the clients asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from services.pooler.console import Pool, Stats

SATURATED_WAITING_PER_SERVER = 0.25
"""Saturated: clients waiting >= this times the size. Below, the pool is sometimes idle between two clients."""

MAX_SIZES = 64
"""Sizes kept as a label value; beyond, the one longest unused goes, so that the label stays bounded."""

MAX_INTERVAL_SECONDS = 5.0
"""A longer gap between samples (a suspended process, a silent console) says nothing about what was between them."""


@dataclass(frozen=True)
class Sample:
    """One look at PgBouncer: `at` in seconds of any clock, `size` the limit in force (0: PgBouncer has none)."""

    at: float
    size: int
    stats: Stats
    pool: Pool


@dataclass(frozen=True)
class Saturation:
    """Time spent and transactions done while saturated at one size."""

    seconds: float = 0.0
    transactions: int = 0


NO_STATS = Stats(0, 0, 0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Totals:
    """The agent's counters since its start; `saturated` by size, the last used at the end."""

    stats: Stats = NO_STATS
    saturated: Mapping[int, Saturation] = field(default_factory=dict)


def restarted(before: Stats, now: Stats) -> bool:
    """Whether the counters began anew: they never fall within one process, times neither."""
    return any(getattr(now, item.name) < getattr(before, item.name) for item in fields(Stats))


def increase(before: Stats, now: Stats) -> Stats:
    """What was added between two samples; after a restart everything counted since."""
    since = NO_STATS if restarted(before, now) else before
    return Stats(**{item.name: getattr(now, item.name) - getattr(since, item.name) for item in fields(Stats)})


def saturated_throughout(before: Sample, now: Sample) -> bool:
    """Whether the interval counts as saturated at one size: at both its ends enough clients waited at that size."""
    if before.size != now.size or restarted(before.stats, now.stats):
        return False
    if max(before.pool.total_servers, now.pool.total_servers) > now.size:
        return False  # still shrinking: what more servers did is not this size's
    if not 0 < now.at - before.at <= MAX_INTERVAL_SECONDS:
        return False
    return min(before.pool.waiting, now.pool.waiting) >= SATURATED_WAITING_PER_SERVER * now.size


def advance(totals: Totals, before: Sample | None, now: Sample) -> Totals:
    """The totals after one more sample. The first one contributes all that PgBouncer has counted since its start."""
    added = increase(before.stats if before else NO_STATS, now.stats)
    stats = Stats(**{item.name: getattr(totals.stats, item.name) + getattr(added, item.name) for item in fields(Stats)})
    saturated = dict(totals.saturated)
    if now.size > 0:
        # Present from 0 on, so that a rate over the counter sees its first increase.
        entry = saturated.pop(now.size, Saturation())
        if before is not None and saturated_throughout(before, now):
            entry = replace(
                entry,
                seconds=entry.seconds + now.at - before.at,
                transactions=entry.transactions + added.transactions,
            )
        saturated[now.size] = entry
        while len(saturated) > MAX_SIZES:
            del saturated[next(iter(saturated))]
    return Totals(stats, saturated)
