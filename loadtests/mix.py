"""What share of the requests is of which kind."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

KINDS = ("read", "search", "create", "update", "delete", "order", "report", "auth")
DEFAULT_PERCENT = {
    "read": 60,
    "search": 12,
    "create": 6,
    "update": 6,
    "delete": 3,
    "order": 8,
    "report": 3,
    "auth": 2,
}


class MixError(ValueError):
    """A mix that cannot be run. The message names the share, its value and the limit."""


@dataclass(frozen=True)
class Mix:
    """Whole percent by kind; the shares make 100."""

    percent: dict[str, int]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.percent) - set(KINDS))
        if unknown:
            raise MixError(f"mix: {', '.join(unknown)} is unknown; the kinds are {', '.join(KINDS)}")
        for kind, share in self.percent.items():
            if share < 0:
                raise MixError(f"mix: {kind}={share} is negative; a share is 0 to 100")
        total = sum(self.percent.values())
        if total != 100:
            raise MixError(f"mix: the shares make {total}, they must make 100")

    @classmethod
    def parse(cls, text: str) -> Mix:
        """The mix in text like `read=80,search=20`; kinds left out get 0. Raises MixError."""
        percent: dict[str, int] = {}
        for part in text.split(","):
            kind, separator, share = part.strip().partition("=")
            if not separator or not share.strip().lstrip("-").isdigit():
                raise MixError(f"mix: {part.strip()!r} is not KIND=PERCENT, for example read=80")
            percent[kind.strip()] = int(share)
        return cls(percent)

    def cumulative(self) -> tuple[list[str], list[int]]:
        """Kinds and their running totals, as `random.choices(kinds, cum_weights=totals)` takes them."""
        kinds = [kind for kind in KINDS if self.percent.get(kind, 0)]
        return kinds, list(accumulate(self.percent[kind] for kind in kinds))


def default_mix() -> Mix:
    return Mix(dict(DEFAULT_PERCENT))
