"""What came of a demo: before and after as data, the gain, and whether it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

THROUGHPUT_GAIN = 2.0
LATENCY_GAIN = 0.5
"""A demo has shown something when throughput is at least doubled or p95 at most half."""


@dataclass(frozen=True)
class Measured:
    """One measured phase. Rates per second, latencies in milliseconds, shares in percent."""

    requests_per_second: float
    p50_milliseconds: float
    p95_milliseconds: float
    p99_milliseconds: float
    error_percent: float
    server_connections: int
    hit_ratio_percent: float
    replicas: int

    def to_json(self) -> dict[str, Any]:
        return {
            "requestsPerSecond": self.requests_per_second,
            "p50Milliseconds": self.p50_milliseconds,
            "p95Milliseconds": self.p95_milliseconds,
            "p99Milliseconds": self.p99_milliseconds,
            "errorPercent": self.error_percent,
            "serverConnections": self.server_connections,
            "hitRatioPercent": self.hit_ratio_percent,
            "replicas": self.replicas,
        }


@dataclass(frozen=True)
class Verdict:
    """Whether the run shows a gain and kept its promises; `sentences` say what was found, the failures first."""

    improved: bool
    promises_kept: bool
    sentences: tuple[str, ...]

    @property
    def good(self) -> bool:
        return self.improved and self.promises_kept


def judge(before: Measured, after: Measured, most_connections: int, allocatable: int) -> Verdict:
    """Throughput at least 2x or p95 at most half, and never more connections than the budget.

    A lower p95 counts only where no less was answered: in a closed loop it is easily had by answering less.
    """
    throughput = after.requests_per_second / before.requests_per_second if before.requests_per_second else 0.0
    latency = after.p95_milliseconds / before.p95_milliseconds if before.p95_milliseconds else 1.0
    improved = throughput >= THROUGHPUT_GAIN or (latency <= LATENCY_GAIN and throughput >= 1.0)
    kept = most_connections <= allocatable
    sentences = []
    if not kept:
        sentences.append(
            f"PROMISE BROKEN: {most_connections} server connections were open, the budget is {allocatable}"
        )
    if not improved:
        sentences.append("NO GAIN: throughput must be at least 2x or p95 at most half")
    sentences.append(f"throughput {throughput:.2f}x, p95 {latency:.2f}x")
    if kept:
        sentences.append(f"budget kept: at most {most_connections} of {allocatable} server connections were open")
    return Verdict(improved, kept, tuple(sentences))


ROWS = (
    ("requests/s", "requests_per_second", "{:.0f}"),
    ("p50", "p50_milliseconds", "{:.0f} ms"),
    ("p95", "p95_milliseconds", "{:.0f} ms"),
    ("p99", "p99_milliseconds", "{:.0f} ms"),
    ("errors", "error_percent", "{:.2f} %"),
    ("server connections", "server_connections", "{}"),
    ("cache hit ratio", "hit_ratio_percent", "{:.0f} %"),
    ("replicas", "replicas", "{}"),
)


def table(columns: dict[str, Measured]) -> list[list[str]]:
    """Rows of text: the name of the measure, then its value in each column."""
    return [
        [title, *(shape.format(getattr(measured, name)) for measured in columns.values())]
        for title, name, shape in ROWS
    ]
