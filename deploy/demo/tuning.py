"""Watching the tuner at work: every decision once, and whether it has come to rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

POLL_SECONDS = 4.0


class SettledError(Exception):
    """Not a failure: the tuner has decided nothing for long enough. Ends the load that is being followed."""


def key(decision: dict[str, Any]) -> tuple[str, str]:
    return decision["time"], decision["knob"]


def sentence(decision: dict[str, Any], started: float, parse: Callable[[str], float]) -> str:
    """One line about one decision: seconds since the start, what moved, and why."""
    since = parse(decision["time"]) - started
    moved = f"{decision['knob']} {decision.get('from', '?')} -> {decision.get('to', '?')}"
    return f"+{since:.0f} s  {moved}  {decision['reason']}: {decision.get('message', '')}"


@dataclass
class DecisionLog:
    """Collects the decisions of a policy. `read` gives those in the status, of which there are only the last few."""

    read: Callable[[], list[dict[str, Any]]]
    quiet_seconds: float
    least_seconds: float
    on_decision: Callable[[dict[str, Any]], None] = lambda decision: None
    clock: Callable[[], float] = time.monotonic
    known: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _started: float | None = None
    _last_poll: float = -1e9
    _last_news: float = 0.0

    def visit(self) -> None:
        """Look if it is time to. Raises SettledError after `quiet_seconds` without a decision."""
        now = self.clock()
        if self._started is None:
            self._started = self._last_news = now
        if now - self._last_poll < POLL_SECONDS:
            return
        self._last_poll = now
        for decision in self.read():
            if key(decision) not in self.known:
                self._last_news = now
                self.on_decision(decision)
            self.known[key(decision)] = decision
        if now - self._started >= self.least_seconds and now - self._last_news >= self.quiet_seconds:
            raise SettledError

    def decisions(self) -> list[dict[str, Any]]:
        """All that were seen, oldest first, each as it was seen last (with its outcome)."""
        return [self.known[found] for found in sorted(self.known)]
