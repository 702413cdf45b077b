"""Mix: has the work itself changed, so that a longer service time is no slowdown?

Formula: m = sum c_k s_k_ref / sum c_k over statements k, with calls/s c_k and the reference seconds a call s_k_ref;
         S_norm = S/m. The mix has changed when the L1 distance of the work shares (c_k s_k_ref / sum) to the
         reference is > 0.3. Then the reference is taken anew.
Units:   seconds a call; shares of 1.
Regime:  needs pg_stat_statements; without it m = 1 (unnormalised).
Source:  CONTROL.md, Signals.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.observation import Statement

CHANGED = 0.3
MAX_STATEMENTS = 40


@dataclass(frozen=True, slots=True)
class Mix:
    """Reference seconds a call and reference work share, by statement."""

    seconds: tuple[tuple[str, float], ...] = ()
    shares: tuple[tuple[str, float], ...] = ()

    def factor(self, statements: tuple[Statement, ...]) -> float:
        """m of `statements`; statements without a reference count with their present cost. 1 where nothing ran."""
        reference = dict(self.seconds)
        calls = sum(s.calls_per_second for s in statements)
        work = sum(_work(s, reference) for s in statements)
        return work / calls if calls > 0 and work > 0 else 1.0

    def distance(self, statements: tuple[Statement, ...]) -> float:
        """L1 distance of the present work shares to the reference, 0 to 2."""
        reference = dict(self.shares)
        present = work_shares(statements, dict(self.seconds))
        return sum(abs(present.get(k, 0.0) - reference.get(k, 0.0)) for k in present.keys() | reference.keys())

    def learn(self, statements: tuple[Statement, ...]) -> tuple[Mix, bool]:
        """The mix after one tick, and whether it changed (the first sight is no change)."""
        shares = work_shares(statements, dict(self.seconds))
        if not shares:
            return self, False
        if self.shares and self.distance(statements) <= CHANGED:
            return self, False
        called = [s for s in statements if s.calls_per_second > 0]
        kept = sorted(called, key=lambda s: -s.seconds_per_second)[:MAX_STATEMENTS]
        fresh = Mix(
            seconds=tuple(
                (s.queryid, s.seconds_per_second / s.calls_per_second) for s in kept if s.calls_per_second > 0
            ),
            shares=tuple(work_shares(tuple(kept), {}).items()),
        )
        return fresh, bool(self.shares)


def work_shares(statements: tuple[Statement, ...], reference: dict[str, float]) -> dict[str, float]:
    """Share of the work of each statement, at reference cost; empty where nothing ran."""
    work = {s.queryid: _work(s, reference) for s in statements}
    total = sum(work.values())
    return {k: value / total for k, value in work.items()} if total > 0 else {}


def _work(statement: Statement, reference: dict[str, float]) -> float:
    cost = reference.get(statement.queryid)
    return statement.seconds_per_second if cost is None else statement.calls_per_second * cost
