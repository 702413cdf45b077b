"""AIMD: how the limit in force moves below its ceiling while the database is slower than its callers.

Formula: over a window of n = max(limit, 20) completions, b of the c so far bad, w their mean duration:
             b > max(c, min(n, 40))/2   limit <- max(floor, limit x min(0.8, max(0.25, slow_seconds/w)))     at once
             c = n                      limit <- min(ceiling, limit + k)     k = 1, 2, 3...: such windows in a row
         floor = max(2, ceiling/8).
         bad: in progress for longer than `slow_seconds`, given up by the client, or failed for want of the database.
Units:   requests; seconds from admission to the end of the answer, without the time in admission's own queue.
Regime:  only while the limit binds: a window begins when somebody has to wait, and the last one in which nobody had to
         is the end. A request that the database was not asked for says nothing of it, unless it is bad. After a change
         only requests admitted since count, so that each change is seen to work before the next (once a round trip).
         A limit that has not bound for 60 s is forgotten: what the tuner set is in force again.
Source:  Chiu and Jain 1989 (AIMD needs no word between the pods that share the database); Jacobson 1988 (once a round
         trip); Welsh and Culler 2003 (AIMD on a quantile of response times against an absolute bound); Little's law and
         Alizadeh 2010 (a decrease by as much as is too much: w = limit/throughput); RFC 9438 (growth that accelerates).
         Compared with its rivals in docs/concepts/admission.md.

Pure: no clock, no I/O; time comes in as an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOW_SECONDS = 1.5
FORGET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class AimdRule:
    """The constants. `slow_seconds` is what the typical request must stay below; keep it below the timeouts behind."""

    slow_seconds: float = SLOW_SECONDS
    least_factor: float = 0.25
    largest_factor: float = 0.8
    bad_share: float = 0.5
    floor_share: float = 0.125
    least_limit: int = 2
    least_window: int = 20
    decided_by: int = 40
    forget_seconds: float = FORGET_SECONDS

    def __post_init__(self) -> None:
        if self.slow_seconds <= 0:
            raise ValueError(f"slow_seconds is {self.slow_seconds}, it must be above 0")
        if not 0 < self.least_factor <= self.largest_factor < 1:
            factors = f"{self.least_factor} and {self.largest_factor}"
            raise ValueError(f"the factors of a decrease are {factors}, they must lie between 0 and 1, in order")

    def floor(self, ceiling: int) -> int:
        """The limit is never lowered below this."""
        return min(ceiling, max(self.least_limit, math.ceil(self.floor_share * ceiling)))

    def window(self, limit: int) -> int:
        """How many completions are judged together."""
        return max(limit, self.least_window)

    def is_bad(self, bad: int, completions: int, size: int) -> bool:
        """Whether a window of `size`, of which `completions` are known, has shown enough."""
        return bad > self.bad_share * max(completions, min(size, self.decided_by))

    def lowered(self, limit: int, ceiling: int, mean_seconds: float) -> int:
        """The limit after a bad window; the limit itself where it is at the floor.

        With it the mean duration would be `slow_seconds`, if all that is too long is spent in queues behind.
        """
        wanted = self.slow_seconds / mean_seconds if mean_seconds > 0 else 1.0
        factor = min(self.largest_factor, max(self.least_factor, wanted))
        return min(limit, max(self.floor(ceiling), int(factor * limit)))

    def raised(self, limit: int, ceiling: int, in_a_row: int) -> int:
        """The limit after the `in_a_row`-th window in a row that was not bad."""
        return min(ceiling, limit + in_a_row)


class Aimd:
    """The limit in force, and the window that is being watched. `rule` None: the limit is the ceiling."""

    __slots__ = (
        "_bad", "_bound", "_bound_at", "_changed_at", "_completions", "_in_a_row", "_seconds", "_size", "ceiling",
        "limit", "rule", "watching",
    )  # fmt: skip

    def __init__(self, ceiling: int, rule: AimdRule | None) -> None:
        self.rule = rule
        self.ceiling = ceiling
        self.limit = ceiling
        self.watching = False
        """Whether completions are judged: somebody had to wait lately."""
        self._changed_at = -math.inf
        self._bound_at = -math.inf
        self._in_a_row = 0
        self._open(bound=False)

    def set_ceiling(self, ceiling: int) -> None:
        """A limit at its ceiling goes with it; a lowered one stays: a slow database is not answered with more."""
        self.limit = ceiling if self.limit == self.ceiling else min(self.limit, ceiling)
        self.ceiling = ceiling
        self._open(bound=self._bound)

    def binds(self, now: float) -> None:
        """Somebody found no free place."""
        if self.rule is None:
            return
        if self.limit_at(now) > self.limit:
            self.limit = self.ceiling
            self.watching = False
        self._bound_at = now
        if not self.watching:
            self._in_a_row = 0
            self.watching = True
            self._open(bound=True)
        self._bound = True

    def limit_at(self, now: float) -> int:
        """The limit for whoever comes now: the ceiling, where a lowered limit has not bound for long."""
        if self.rule is not None and now - self._bound_at > self.rule.forget_seconds:
            return self.ceiling
        return self.limit

    def completed(self, admitted_at: float, now: float, *, bad: bool = False, asked: bool = True) -> None:
        """One request has ended. `bad`: the client gave up, or the answer failed for want of the database; `asked`:
        whether the database was asked at all."""
        if not self.watching or self.rule is None or admitted_at < self._changed_at:
            return
        if bad or now - admitted_at > self.rule.slow_seconds:
            self._bad += 1
        elif not asked:
            return
        self._completions += 1
        self._seconds += now - admitted_at
        if self._bound and self.rule.is_bad(self._bad, self._completions, self._size):
            self._change(self.rule.lowered(self.limit, self.ceiling, self._seconds / self._completions), now)
            self._in_a_row = 0
        elif self._completions >= self._size:
            if not self._bound:
                self.watching = False
                self._in_a_row = 0
                return
            self._in_a_row += 1
            self._change(self.rule.raised(self.limit, self.ceiling, self._in_a_row), now)

    def _change(self, limit: int, now: float) -> None:
        if limit < self.limit:
            self._changed_at = now
        self.limit = limit
        self._open(bound=False)

    def _open(self, *, bound: bool) -> None:
        self._bound = bound
        self._completions = 0
        self._bad = 0
        self._seconds = 0.0
        self._size = 0 if self.rule is None else self.rule.window(self.limit)
