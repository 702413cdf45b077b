"""PostgreSQL with the roles, limits and settings of the stack."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.servers import postgres_data
from deploy.servers import postgres_roles as roles
from deploy.servers.errors import ServerFailedError
from deploy.servers.installation import Installation
from deploy.servers.server import START_TIMEOUT_SECONDS, Server

SETTINGS: dict[str, str | int] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 100,
    "superuser_reserved_connections": roles.SUPERUSER_CONNECTIONS,
    "shared_buffers": "128MB",
    "password_encryption": "scram-sha-256",
    "shared_preload_libraries": "pg_stat_statements",
    # Without these, backends outlive a killed pooler and hold connections that the budget has given away.
    "client_connection_check_interval": "1s",
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "logging_collector": "off",
}
HBA = """
local all postgres trust
local all all scram-sha-256
host all postgres all reject
host all all 127.0.0.1/32 scram-sha-256
"""
SOCKET_PATH_BYTES = 107


@dataclass(frozen=True)
class Login:
    """How a role reaches a database."""

    host: str
    port: int
    user: str
    password: str
    database: str

    @property
    def conninfo(self) -> str:
        """For psycopg."""
        return psycopg.conninfo.make_conninfo(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=self.database
        )

    def url(self, scheme: str = "postgresql") -> str:
        """For asyncpg ("postgresql") and SQLAlchemy ("postgresql+asyncpg")."""
        return (
            f"{scheme}://{quote(self.user, safe='')}:{quote(self.password, safe='')}"
            f"@{self.host}:{self.port}/{quote(self.database, safe='')}"
        )


class Postgres(Server):
    """PostgreSQL 17. The superuser comes in over the Unix socket in `socket_directory`, everybody else by password.

    `settings` override SETTINGS. `fsync=False` is for tests: a crash of the machine may lose the data, a killed
    server does not. A directory that holds data already is used as it is.
    """

    name = "postgres"
    program = "postgres"
    user = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions; SIGTERM would wait for clients
    death_signal = signal.SIGQUIT  # "immediate": takes the backends along, which SIGKILL would leave to find out

    def __init__(
        self,
        *,
        settings: Mapping[str, str | int] | None = None,
        fsync: bool = True,
        passwords: Mapping[str, str] | None = None,
        installation: Installation | None = None,
        directory: Path | None = None,
        port: int | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(
            installation=installation, directory=directory, port=port, start_timeout_seconds=start_timeout_seconds
        )
        self.settings: dict[str, str | int] = {**SETTINGS, **(settings or {})}
        if not fsync:
            self.settings |= {"fsync": "off", "full_page_writes": "off"}
        self.passwords = {**roles.default_passwords(), **(passwords or {})}
        self.data_directory = self.directory / "data"
        self.socket_directory = self.directory / "run"
        self._is_new = False

    @property
    def max_connections(self) -> int:
        return int(self.settings["max_connections"])

    @property
    def fence(self) -> int:
        """Connections that `catalog_app` may hold."""
        return roles.fence(self.max_connections)

    def login(self, role: str = roles.APP, database: str = roles.DATABASE) -> Login:
        """How `role` (catalog_owner, catalog_app, trimtab_exporter) reaches `database` directly."""
        return Login(self.host, self.port, role, self.passwords[role], database)

    def superuser_conninfo(self, database: str = "postgres") -> str:
        """For psycopg, over the Unix socket."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.socket_directory), port=self.port, user="postgres", dbname=database
        )

    def execute(self, *statements: str | sql.Composable, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements as the superuser, each on its own; the rows of the last one."""
        rows: list[tuple[object, ...]] = []
        with psycopg.connect(self.superuser_conninfo(database), autocommit=True) as connection:
            for statement in statements:
                text = statement if isinstance(statement, str) else statement.as_string(connection)
                cursor = connection.execute(text.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def create_database(self, name: str, template: str = roles.TEMPLATE) -> None:
        """A copy of `template`, to which nobody may be connected, owned by catalog_owner."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
        self.execute(statement.format(*map(sql.Identifier, (name, template, roles.OWNER))))

    def drop_database(self, name: str) -> None:
        """Remove the database, ending its sessions."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _prepare(self) -> None:
        roles.fence(self.max_connections)
        socket_path = self.socket_directory / f".s.PGSQL.{self.port}"
        if len(str(socket_path).encode()) > SOCKET_PATH_BYTES:
            raise ServerFailedError(
                f"the socket path {socket_path} is longer than {SOCKET_PATH_BYTES} bytes: take a shorter directory"
            )
        self.socket_directory.mkdir(mode=0o700, exist_ok=True)
        self.give(self.socket_directory)
        if not (self.data_directory / "PG_VERSION").exists():
            postgres_data.copy_to(self.data_directory, self.installation, self.user)
            self._is_new = True
        settings = {**self.settings, "port": self.port, "unix_socket_directories": str(self.socket_directory)}
        lines = [f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        for path, text in (
            (self.data_directory / "postgresql.conf", "".join(lines)),
            (self.data_directory / "pg_hba.conf", HBA),
        ):
            path.write_text(text)
            self.give(path)

    def _arguments(self) -> Sequence[str]:
        return ["-D", str(self.data_directory)]

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.superuser_conninfo(), connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def _after_start(self) -> None:
        if self._is_new:
            self.execute(*roles.server_statements(self.max_connections, self.passwords))
            self.execute(*roles.template_statements(), database=roles.TEMPLATE)
            self.create_database(roles.DATABASE)
            self._is_new = False
