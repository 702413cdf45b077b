"""A circuit breaker: stop asking what does not answer, try again now and then."""

from __future__ import annotations


class CircuitBreaker:
    """Closed: everything passes. After `failures` in a row it opens for `open_seconds`, then lets one trial pass.

    Times are seconds of one monotonic clock, given by the caller.
    """

    def __init__(self, *, failures: int = 5, open_seconds: float = 1.0) -> None:
        self._threshold = failures
        self._open_seconds = open_seconds
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last `failures` calls all failed."""
        return self._failures >= self._threshold

    def allows(self, now: float) -> bool:
        """Whether a call may be made. While open, a True is a trial, and the next comes an `open_seconds` later."""
        if not self.is_open:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + self._open_seconds
        return True

    def succeeded(self) -> None:
        """A call was answered: close."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """A call failed or took too long."""
        self._failures += 1
        if self.is_open:
            self._open_until = now + self._open_seconds
