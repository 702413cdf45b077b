"""When a refused client may try again.

Formula: those who are here are done after W (n + q)/n; Retry-After = that x uniform(1, 2), between 1 s and 30 s.
Units:   W seconds that a request is in progress (mean of the last ones), n requests in progress, q waiting.
Source:  Little's law, throughput = n/W. The jitter keeps those who were refused together from coming back together.

Pure: the random number comes in as an argument.
"""

from __future__ import annotations

LONGEST_SECONDS = 30


def retry_after_seconds(service_seconds: float, in_flight: int, waiting: int, random: float) -> int:
    """Whole seconds, as the header wants them. `random` lies in [0, 1)."""
    seconds = service_seconds * (1 + waiting / max(1, in_flight)) * (1 + random)
    return max(1, min(LONGEST_SECONDS, round(seconds)))
