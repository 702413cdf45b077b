"""pgbouncer.ini and userlist.txt as text. Pure.

The pool starts at one server connection: only the agent, which knows what the budget allows, makes it larger. For
that `SET default_pool_size` must be effective, so no pool_size stands on a database or user line, and nothing may
open servers beside it: no `*` database, no reserve pool, no minimum.
"""

from __future__ import annotations

from services.pooler.settings import MAX_PEERS, PodIdentity, PodNameError, Settings

START_SIZE = 1
"""Server connections before the agent has spoken. Never 0: PgBouncer reads 0 as no limit."""

MAX_PREPARED_STATEMENTS = 200

SERVER_LOGIN_RETRY_SECONDS = 1
"""Pause after a refused login. PgBouncer's 15 s would leave a recovered PostgreSQL unused for that long."""


def check_ordinal(pod: PodIdentity, max_pods: int, source: str) -> None:
    """Raises PodNameError for a pod that the budget does not count: its connections would be nobody's."""
    if pod.ordinal >= max_pods:
        raise PodNameError(
            f"pod {pod.base}-{pod.ordinal} has ordinal {pod.ordinal}, but {source} allows {max_pods} pooler pods "
            f"(ordinals 0 to {max_pods - 1}): scale {pod.base} to {max_pods} or fewer replicas, or raise maxPods"
        )


def render_ini(settings: Settings) -> str:
    """The whole pgbouncer.ini of this pod."""
    sections = [_databases(settings), _peers(settings), _pgbouncer(settings)]
    return "\n".join(section for section in sections if section)


def render_userlist(settings: Settings) -> str:
    """The users that may log in to PgBouncer, which also holds the password PgBouncer gives to PostgreSQL."""
    users = {
        settings.database_user: settings.database_password,
        settings.console_user: settings.console_password,
    }
    return "".join(f"{_quoted(user)} {_quoted(secret.get_secret_value())}\n" for user, secret in users.items())


def _databases(settings: Settings) -> str:
    parameters = {
        "host": settings.database_host,
        "port": str(settings.database_port),
        "dbname": settings.database_name,
        # A forced user makes one pool of all clients: pools, and with them limits, are a (database, user).
        "user": settings.database_user,
    }
    line = " ".join(f"{key}={_connection_value(value)}" for key, value in parameters.items())
    return f"[databases]\n{settings.database_name} = {line}\n"


def _peers(settings: Settings) -> str:
    """Every pod of the set, this one too, so that each can forward a cancel request to the one that owns it."""
    if not settings.peer_service:
        return ""
    base, peers = settings.pod.base, min(settings.max_pods, MAX_PEERS)
    lines = (
        f"{ordinal + 1} = host={base}-{ordinal}.{settings.peer_service} port={settings.listen_port}\n"
        for ordinal in range(peers)
    )
    return "[peers]\n" + "".join(lines)


def _pgbouncer(settings: Settings) -> str:
    run_directory = settings.run_directory
    values: dict[str, object] = {
        "listen_addr": settings.listen_address,
        "listen_port": settings.listen_port,
        "unix_socket_dir": run_directory,
        "unix_socket_mode": "0700",
        "auth_type": "scram-sha-256",
        "auth_file": run_directory / "userlist.txt",
        "admin_users": settings.console_user,
        "pool_mode": "transaction",
        "max_prepared_statements": MAX_PREPARED_STATEMENTS,
        "default_pool_size": START_SIZE,
        "max_db_connections": START_SIZE,
        "min_pool_size": 0,
        "reserve_pool_size": 0,
        "max_client_conn": settings.max_client_connections,
        "query_wait_timeout": settings.query_wait_timeout,
        "server_lifetime": settings.server_lifetime,
        "server_idle_timeout": settings.server_idle_timeout,
        "server_login_retry": SERVER_LOGIN_RETRY_SECONDS,
        "server_connect_timeout": 5,
        "tcp_keepalive": 1,
        "tcp_keepidle": 10,
        "tcp_keepintvl": 5,
        "tcp_keepcnt": 3,
        # Hints that drivers send at startup and that change no result.
        "ignore_startup_parameters": "extra_float_digits,jit",
        # The agent exports the statistics, and its probes of the listener are no news.
        "log_connections": 0,
        "log_disconnections": 0,
        "log_stats": 0,
    }
    if settings.peer_service:
        values["peer_id"] = settings.pod.ordinal + 1
    return "[pgbouncer]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _connection_value(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
