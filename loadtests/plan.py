"""One load test, as plain data: how many users, for how long, doing what."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtests.mix import Mix, default_mix

MAX_USERS = 5_000
MAX_SECONDS = 3_600
MAX_ITEMS = 10_000_000


class PlanError(ValueError):
    """A plan that cannot be run. The message names the setting, its value and the limit."""


@dataclass(frozen=True)
class LoadPlan:
    """A closed loop of `users`: each sends its next request `think_milliseconds` after the answer to the last.

    The users are started evenly over `ramp_seconds`; only the `hold_seconds` after that are measured. `items` is
    the number of seeded items: keys are drawn from 1..items with a Zipf popularity of exponent `zipf_percent`/100.
    The service has `sign_in_seconds` to let the accounts of the test register.
    """

    url: str
    users: int = 50
    ramp_seconds: int = 10
    hold_seconds: int = 60
    think_milliseconds: int = 0
    items: int = 10_000
    zipf_percent: int = 90
    seed: int = 1
    sign_in_seconds: int = 60
    mix: Mix = field(default_factory=default_mix)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise PlanError(f"url {self.url!r} must start with http:// or https://")
        _within("users", self.users, 1, MAX_USERS)
        _within("ramp_seconds", self.ramp_seconds, 0, MAX_SECONDS)
        _within("hold_seconds", self.hold_seconds, 1, MAX_SECONDS)
        _within("think_milliseconds", self.think_milliseconds, 0, 60_000)
        _within("items", self.items, 1, MAX_ITEMS)
        _within("sign_in_seconds", self.sign_in_seconds, 1, MAX_SECONDS)
        _within("zipf_percent", self.zipf_percent, 0, 300)

    @property
    def total_seconds(self) -> int:
        return self.ramp_seconds + self.hold_seconds

    def users_at(self, seconds: float) -> int:
        """Users that should be running `seconds` after the start; at least one from the beginning."""
        if self.ramp_seconds == 0 or seconds >= self.ramp_seconds:
            return self.users
        return max(1, int(self.users * seconds / self.ramp_seconds))


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise PlanError(f"{name} is {value}, it must be {least} to {most}")
