"""Which servers, from which Debian suite, and which versions are recent enough.

The images of the cluster are made from the same suite, so tests run what is deployed.
"""

from __future__ import annotations

import hashlib
import re

SUITE = "trixie"
PACKAGES = (
    "pgbouncer",
    "postgresql-17",
    "postgresql-17-hypopg",
    "prometheus",
    "prometheus-postgres-exporter",
    "prometheus-redis-exporter",
    "redis-server",
)
PINNED = {
    "postgres": (17, None),
    "pgbouncer": (1, 24),
    "redis-server": (8, 0),
    "prometheus": (2, 53),
}
"""major.minor of the suite (PostgreSQL's minor is a patch level). Another one means the suite is not what we tested."""

LEAST = {
    "postgres": (17, 0),
    "pgbouncer": (1, 24),
    "redis-server": (8, 0),
    "prometheus": (2, 53),
}
"""The least version on PATH that is used instead: below it a feature is missing that the product needs."""

Version = tuple[int, int]


def cache_key() -> str:
    """Names the root filesystem: another suite or package list is another root."""
    text = " ".join((SUITE, *sorted(PACKAGES)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def parse_version(output: str) -> Version:
    """major, minor in what a server prints for --version.

    PostgreSQL: "postgres (PostgreSQL) 17.12 (Debian 17.12-1)", PgBouncer: "PgBouncer 1.24.1",
    Redis: "Redis server v=8.0.2 sha=...", Prometheus: "prometheus, version 2.53.3+ds1".
    """
    match = re.search(r"(?:^|[\s=v])(\d+)\.(\d+)", output)
    if match is None:
        raise ValueError(f"no version such as 1.2 in {output[:80]!r}")
    return int(match[1]), int(match[2])


def mismatches(found: dict[str, Version]) -> list[str]:
    """Which programs of the root are not of the pinned major.minor, as sentences."""
    wrong = []
    for program, (major, minor) in PINNED.items():
        version = found[program]
        if version[0] != major or (minor is not None and version[1] != minor):
            wanted = f"{major}.{minor}" if minor is not None else f"{major}"
            wrong.append(f"{program} is {version[0]}.{version[1]}, expected {wanted}")
    return wrong


def too_old(found: dict[str, Version]) -> list[str]:
    """Which programs are below the least version, as sentences."""
    return [
        f"{program} is {found[program][0]}.{found[program][1]}, needs {least[0]}.{least[1]} or later"
        for program, least in LEAST.items()
        if found[program] < least
    ]
