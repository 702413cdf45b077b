"""How a load test in a pod talks to whoever follows its log: one JSON object a line.

`{"progress": {...}}` about once a second, then one `{"result": "<gzip, base64>"}`. Other lines are ordinary log.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Where a run stands. `done` of `total` seconds; rates over the last second; p95 in milliseconds."""

    done: int
    total: int
    users: int
    requests_per_second: float
    p95_milliseconds: float | None
    failures: int


def progress_line(progress: Progress) -> str:
    return json.dumps({"progress": vars(progress)})


def result_line(result: dict[str, Any]) -> str:
    packed = gzip.compress(json.dumps(result, separators=(",", ":")).encode(), mtime=0)
    return json.dumps({"result": base64.b64encode(packed).decode()})


def read_line(line: str) -> Progress | dict[str, Any] | None:
    """The progress or the result in a log line; None for an ordinary one."""
    if not line.startswith("{"):
        return None
    try:
        message = json.loads(line)
    except ValueError:
        return None
    if "progress" in message:
        return Progress(**message["progress"])
    if "result" in message:
        unpacked: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(message["result"])))
        return unpacked
    return None
