"""The database server as its exporter shows it."""

from __future__ import annotations

import math

from tuner.observation import Absent, Database, Maybe, Statement
from tuner.observe.pods import Measured
from tuner.observe.scrapes import Growth, Scrape

CALLS = "trimtab_pg_statement_calls_total"
SECONDS = "trimtab_pg_statement_seconds_total"
REST = "rest"
"""How the observation calls what is not among the top statements; exporters say `other`."""


def database(exporters: Maybe[list[Measured]]) -> Database:
    """From the exporters of the policy's namespace. With several, limits are the least of them, the rest is absent."""
    if isinstance(exporters, Absent):
        return Database(exporters, exporters, exporters, exporters, exporters)
    scrapes = [m.scrape for m in exporters if not isinstance(m.scrape, Absent)]
    if not scrapes:
        reason = exporters[0].scrape if exporters else None
        missing = reason if isinstance(reason, Absent) else Absent("no PostgreSQL exporter in the policy's namespace")
        return Database(missing, missing, missing, missing, missing)
    if len(scrapes) > 1:
        many = Absent(f"{len(scrapes)} PostgreSQL exporters in the policy's namespace: only one is read")
        return Database(_least(scrapes), many, many, many, many)
    only = next(m for m in exporters if not isinstance(m.scrape, Absent))
    return Database(
        max_connections=_least(scrapes),
        superuser_reserved=only.count("pg_settings_superuser_reserved_connections"),
        backends=_backends(scrapes[0]),
        role_connection_limit=_fence(scrapes[0]),
        statements=_statements(only.recent),
    )


def _least(scrapes: list[Scrape]) -> Maybe[int]:
    found = [scrape.lowest for scrape in scrapes if scrape.lowest is not None and math.isfinite(scrape.lowest)]
    return int(min(found)) if found else Absent("pg_settings_max_connections is missing")


def _backends(scrape: Scrape) -> Maybe[dict[str, int]]:
    counts = scrape.by_label("trimtab_pg_backends", "role")
    return counts if isinstance(counts, Absent) else {role: round(count) for role, count in counts.items()}


def _fence(scrape: Scrape) -> Maybe[int]:
    """The largest CONNECTION LIMIT of any role: by construction that of the application's role (CONTROL.md, Fence)."""
    limits = scrape.by_label("pg_roles_connection_limit", "rolname")
    if isinstance(limits, Absent):
        return limits
    real = [round(limit) for limit in limits.values() if limit > 0]
    return max(real) if real else Absent("no role has a CONNECTION LIMIT")


def _statements(growth: Maybe[Growth]) -> Maybe[tuple[Statement, ...]]:
    if isinstance(growth, Absent):
        return growth
    calls, seconds = growth.by_label(CALLS, "queryid"), growth.by_label(SECONDS, "queryid")
    if not calls:
        return Absent(f"{CALLS} is missing")
    return tuple(
        Statement(REST if query == "other" else query, count / growth.seconds, seconds.get(query, 0.0) / growth.seconds)
        for query, count in sorted(calls.items())
    )
