"""PgBouncer in transaction mode in front of a PostgreSQL."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg

from deploy.servers import postgres_roles as roles
from deploy.servers.errors import ServerFailedError
from deploy.servers.installation import Installation
from deploy.servers.postgres import Login
from deploy.servers.server import START_TIMEOUT_SECONDS, Server

SETTINGS: dict[str, str | int] = {
    "listen_addr": "127.0.0.1",
    "pool_mode": "transaction",
    "auth_type": "scram-sha-256",
    "max_prepared_statements": 200,
    "max_client_conn": 1000,
    # Sizes are set through the console. 1 because 0 means unlimited.
    "default_pool_size": 1,
    "max_db_connections": 1,
    "min_pool_size": 0,
    "reserve_pool_size": 0,
    "ignore_startup_parameters": "extra_float_digits",
    "unix_socket_dir": "",
}


class PgBouncer(Server):
    """PgBouncer 1.24. Without an `ini` it writes its own: one database line that always has the name `catalog`.

    `backend` says where that line leads. `ini` is a ready-made configuration instead; its directory is handed to the
    server's user, as an emptyDir of a pod is, `port` must be its listen_port and `console_user` its admin user.
    """

    name = "pgbouncer"
    program = "pgbouncer"
    user = "postgres"
    stop_signal = signal.SIGINT  # ends when the servers are idle; SIGTERM waits for all clients

    def __init__(
        self,
        *,
        backend: Login | None = None,
        ini: Path | None = None,
        settings: Mapping[str, str | int] | None = None,
        console_user: str = "console",
        console_password: str = "console-password",  # noqa: S107  # a server of 127.0.0.1 that lives as long as a test
        installation: Installation | None = None,
        directory: Path | None = None,
        port: int | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        if (backend is None) == (ini is None):
            raise ServerFailedError("pgbouncer needs either a backend or a ready-made ini, and not both")
        if ini is not None and port is None:
            raise ServerFailedError(f"pgbouncer with the ready-made {ini} needs its listen_port as port")
        super().__init__(
            installation=installation, directory=directory, port=port, start_timeout_seconds=start_timeout_seconds
        )
        self.backend = backend
        self.settings: dict[str, str | int] = {**SETTINGS, **(settings or {})}
        self.console_user = console_user
        self.console_password = console_password
        self.ini = ini.absolute() if ini is not None else self.directory / "pgbouncer.ini"
        self._is_ready_made = ini is not None
        if ini is not None:
            self.shares.append(self.ini.parent)

    def login(self) -> Login:
        """How the app reaches the database through the pooler."""
        if self.backend is None:
            raise ServerFailedError(f"the logins of the ready-made {self.ini} are its author's to know")
        return Login(self.host, self.port, self.backend.user, self.backend.password, roles.DATABASE)

    def console_login(self) -> Login:
        """How the console is reached. It speaks the simple protocol only: psycopg's ClientCursor, autocommit."""
        return Login(self.host, self.port, self.console_user, self.console_password, "pgbouncer")

    def console(self, command: str) -> list[dict[str, object]]:
        """Run one console command (SHOW POOLS, SET ..., RECONNECT) and return its rows."""
        with psycopg.connect(
            self.console_login().conninfo, autocommit=True, connect_timeout=5, cursor_factory=psycopg.ClientCursor
        ) as connection:
            cursor = connection.execute(command.encode())
            if cursor.description is None:
                return []
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def set_pool_size(self, connections: int) -> None:
        """Open at most `connections` server connections, from now on."""
        if connections < 1:
            raise ValueError(f"a pool size of {connections} means unlimited to PgBouncer; the least is 1")
        self.console(f"SET max_db_connections = {connections}")
        self.console(f"SET default_pool_size = {connections}")

    def retarget(self, backend: Login) -> None:
        """Lead the database line elsewhere, for clients of this moment too. Sizes set by SET are the file's again."""
        self.backend = backend
        self._write()
        self.console("RELOAD")

    def _prepare(self) -> None:
        if self._is_ready_made:
            for path in (self.ini.parent, *self.ini.parent.iterdir()):
                self.give(path)
        else:
            self._write()

    def _write(self) -> None:
        if self.backend is None:
            raise ServerFailedError(f"{self.ini} is ready-made: change it there")
        to = self.backend
        settings = {
            **self.settings,
            "listen_port": self.port,
            "auth_file": str(self.directory / "userlist.txt"),
            "admin_users": self.console_user,
            "stats_users": self.console_user,
        }
        ini = f"[databases]\n{roles.DATABASE} = host={to.host} port={to.port} dbname={to.database} user={to.user}\n"
        ini += "\n[pgbouncer]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())
        users = f'"{to.user}" "{to.password}"\n"{self.console_user}" "{self.console_password}"\n'
        for path, text in ((self.ini, ini), (self.directory / "userlist.txt", users)):
            path.write_text(text)
            path.chmod(0o600)
            self.give(path)

    def _arguments(self) -> Sequence[str]:
        return [str(self.ini)]

    def _answers(self) -> bool:
        try:
            self.console("SHOW VERSION")
        except psycopg.OperationalError as error:
            # A ready-made ini may have another console; that it refuses us is an answer too.
            return self._is_ready_made and "FATAL" in str(error)
        return True
