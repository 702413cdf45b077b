"""PgBouncer with a configuration that somebody else wrote, as the pooler's own `configure` does."""

from __future__ import annotations

from pathlib import Path

import psycopg

from deploy.servers import ports
from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Postgres
from tests.integration.conftest import OwnServer


def test_a_ready_made_ini_is_run_in_place(postgres: Postgres, own_server: OwnServer, tmp_path: Path) -> None:
    to, port = postgres.login(), ports.draw()
    users = tmp_path / "userlist.txt"
    users.write_text(f'"{to.user}" "{to.password}"\n"boss" "boss-password"\n')
    ini = tmp_path / "pgbouncer.ini"
    ini.write_text(
        f"[databases]\nshop = host={to.host} port={to.port} dbname={to.database} user={to.user}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = scram-sha-256\nauth_file = {users}\n"
        "pool_mode = transaction\ndefault_pool_size = 1\nadmin_users = boss\nunix_socket_dir =\n"
    )
    for file in (users, ini):
        file.chmod(0o600)
    server = own_server(PgBouncer(ini=ini, port=port, console_user="boss", console_password="boss-password"))
    with psycopg.connect(host=server.host, port=port, user=to.user, password=to.password, dbname="shop") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("catalog_app",)
    ini.write_text(ini.read_text().replace("default_pool_size = 1", "default_pool_size = 7"))
    server.console("RELOAD")
    settings = {row["key"]: row["value"] for row in server.console("SHOW CONFIG")}
    assert settings["default_pool_size"] == "7"
