"""The database and its roles, as docs/decisions/0001 says: who may do what, and how many connections each may hold."""

from __future__ import annotations

from psycopg import sql

DATABASE = "catalog"
TEMPLATE = "catalog_template"
"""What `catalog` and the tests' databases are copies of. Nothing connects to it, or it could not be copied."""
OWNER = "catalog_owner"
APP = "catalog_app"
EXPORTER = "trimtab_exporter"

OWNER_CONNECTIONS = 4
EXPORTER_CONNECTIONS = 2
OPERATOR_CONNECTIONS = 4
SUPERUSER_CONNECTIONS = 3
RESERVED_CONNECTIONS = SUPERUSER_CONNECTIONS + OWNER_CONNECTIONS + EXPORTER_CONNECTIONS + OPERATOR_CONNECTIONS


def fence(max_connections: int) -> int:
    """F: connections that the app's role may hold, F = max_connections - reservedConnections."""
    limit = max_connections - RESERVED_CONNECTIONS
    if limit < 1:
        raise ValueError(
            f"max_connections is {max_connections}: {RESERVED_CONNECTIONS} are reserved, so it must be at least "
            f"{RESERVED_CONNECTIONS + 1}"
        )
    return limit


def default_passwords() -> dict[str, str]:
    """Passwords by role for servers that listen on 127.0.0.1 only and live as long as a test."""
    return {role: f"{role}-password" for role in (OWNER, APP, EXPORTER)}


def server_statements(max_connections: int, passwords: dict[str, str]) -> list[sql.Composable]:
    """Statements for a new server, run by the superuser in the database `postgres`."""
    limits = {OWNER: OWNER_CONNECTIONS, APP: fence(max_connections), EXPORTER: EXPORTER_CONNECTIONS}
    roles: list[sql.Composable] = [
        sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(limit), sql.Literal(passwords[role])
        )
        for role, limit in limits.items()
    ]
    return [
        *roles,
        sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(EXPORTER)),
        sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(TEMPLATE), sql.Identifier(OWNER)),
    ]


def template_statements() -> list[sql.Composable]:
    """Statements for the template, run by the superuser in it: rows for the app, the schema for the owner."""
    defaults = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public GRANT {} TO {}")
    owner, app = sql.Identifier(OWNER), sql.Identifier(APP)
    return [
        sql.SQL("CREATE EXTENSION pg_stat_statements"),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(app),
        defaults.format(owner, sql.SQL("SELECT, INSERT, UPDATE, DELETE ON TABLES"), app),
        defaults.format(owner, sql.SQL("USAGE, SELECT ON SEQUENCES"), app),
    ]
