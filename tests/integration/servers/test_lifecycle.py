"""Each server starts, stops, restarts and is killed; nothing of it stays behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy.servers.errors import PortTakenError, ServerFailedError
from deploy.servers.exporters import PostgresExporter, RedisExporter
from deploy.servers.installation import Installation
from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Postgres
from deploy.servers.prometheus import Prometheus
from deploy.servers.redis import RedisServer
from deploy.servers.server import Server
from tests.integration.conftest import OwnServer

MakeServer = Callable[[Postgres, RedisServer], Server]

EVERY_SERVER: dict[str, MakeServer] = {
    "postgres": lambda postgres, redis: Postgres(fsync=False),
    "pgbouncer": lambda postgres, redis: PgBouncer(backend=postgres.login()),
    "redis": lambda postgres, redis: RedisServer(),
    "prometheus": lambda postgres, redis: Prometheus(),
    "postgres-exporter": lambda postgres, redis: PostgresExporter(postgres.login("trimtab_exporter")),
    "redis-exporter": lambda postgres, redis: RedisExporter(redis),
}
every_server = pytest.mark.parametrize("make", EVERY_SERVER.values(), ids=EVERY_SERVER.keys())


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def family(server: Server) -> list[psutil.Process]:
    process = psutil.Process(server.pid)
    return [process, *process.children(recursive=True)]


def runs_as_root(process: psutil.Process) -> bool:
    """PostgreSQL starts processes that end by themselves: one that is gone runs as nobody."""
    try:
        return process.uids().real == 0
    except psutil.NoSuchProcess:
        return False


@every_server
def test_start_stop_start_and_restart(make: MakeServer, postgres: Postgres, redis_server: RedisServer) -> None:
    server = make(postgres, redis_server)
    with server:
        assert server.running
        first = family(server)
        assert not runs_as_root(psutil.Process(server.pid)) and not any(map(runs_as_root, first)), (
            "a server runs as root"
        )
        port = server.port
        server.stop()
        assert not server.running
        assert not any(process.is_running() for process in first)
        server.start()
        again = server.pid
        server.restart()
        assert server.pid != again
        assert server.port == port
        last = family(server)
        directory = server.directory
    assert not any(process.is_running() for process in last)
    assert not directory.exists(), "the temporary directory is left behind"


@every_server
def test_kill_leaves_no_process_and_it_starts_again(
    make: MakeServer, postgres: Postgres, redis_server: RedisServer, own_server: OwnServer
) -> None:
    server = own_server(make(postgres, redis_server))
    alive = family(server)
    server.kill()
    assert not any(process.is_running() for process in alive)
    with pytest.raises(OSError), socket.create_connection(server.address, timeout=5):
        pass
    server.start()
    assert server.running


def test_the_mounts_of_a_server_are_its_own(own_server: OwnServer, installation: Installation) -> None:
    if installation.root is None:
        pytest.skip("servers on PATH need no mounts")
    before = mounts()
    server = own_server(RedisServer())
    assert str(server.directory) in Path(f"/proc/{server.pid}/mountinfo").read_text()
    assert mounts() == before
    server.kill()
    assert mounts() == before
    assert not any((installation.root / "tmp").iterdir()), "a mount point is left in the cached root"


def test_committed_rows_survive_a_kill_of_postgres(own_server: OwnServer) -> None:
    server = own_server(Postgres(fsync=False))
    server.execute("CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)", database="catalog")
    server.kill()
    server.start()
    assert server.execute("SELECT id FROM kept", database="catalog") == [(1,)]


def test_a_server_that_does_not_stop_is_killed(own_server: OwnServer) -> None:
    server = own_server(RedisServer())
    process = psutil.Process(server.pid)
    process.suspend()  # a stopped process handles no SIGTERM
    server.stop(timeout_seconds=0.5)
    assert not process.is_running()


def test_stopping_the_pooler_does_not_wait_for_its_clients(postgres: Postgres, own_server: OwnServer) -> None:
    server = own_server(PgBouncer(backend=postgres.login()))
    with psycopg.connect(server.login().conninfo) as client:
        client.execute("SELECT 1")
        client.commit()
        process = psutil.Process(server.pid)
        server.stop()
        assert not process.is_running()


def test_a_server_outlives_the_thread_that_started_it(own_server: OwnServer) -> None:
    started: list[RedisServer] = []
    thread = threading.Thread(target=lambda: started.append(own_server(RedisServer())))
    thread.start()
    thread.join()
    with started[0].client() as client:
        assert client.ping()
    assert started[0].running


def test_a_given_directory_is_kept_with_its_data(installation: Installation, tmp_path: Path) -> None:
    with Postgres(installation=installation, fsync=False, directory=tmp_path / "pg") as server:
        server.execute("CREATE TABLE kept (id int)", database="catalog")
    with Postgres(installation=installation, fsync=False, directory=tmp_path / "pg") as server:
        assert server.execute("SELECT count(*) FROM kept", database="catalog") == [(0,)]


def test_a_port_that_is_taken_is_named(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = RedisServer(installation=installation, port=port)
        with pytest.raises(PortTakenError, match=rf"redis cannot listen on 127\.0\.0\.1:{port}"), server:
            pass


class Unlucky(RedisServer):
    """Somebody takes its first port between the draw and the start."""

    thief: socket.socket | None = None

    def _prepare(self) -> None:
        super()._prepare()
        if self.thief is None:
            self.thief = socket.create_server(("127.0.0.1", self.port))


def test_a_port_lost_in_the_start_is_drawn_again(own_server: OwnServer) -> None:
    server = own_server(Unlucky())
    assert server.thief is not None
    assert server.thief.getsockname()[1] != server.port
    server.thief.close()


BROKEN: dict[str, tuple[MakeServer, str]] = {
    "postgres": (
        lambda postgres, redis: Postgres(settings={"shared_buffers": "banana"}),
        'invalid value for parameter "shared_buffers"',
    ),
    "pgbouncer": (
        lambda postgres, redis: PgBouncer(backend=postgres.login(), settings={"pool_mode": "sometimes"}),
        'invalid value "sometimes" for parameter pool_mode',
    ),
    "redis": (lambda postgres, redis: RedisServer(maxmemory_policy="guess"), "maxmemory-policy guess"),
    "prometheus": (lambda postgres, redis: Prometheus(scrape_configs=[{"job": "x"}]), "field job not found"),
}


@pytest.mark.parametrize(("make", "complaint"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_configuration_is_shown_with_the_log(
    make: MakeServer, complaint: str, postgres: Postgres, redis_server: RedisServer
) -> None:
    server = make(postgres, redis_server)
    with pytest.raises(ServerFailedError, match=f"{server.name} ended with") as failure, server:
        pass
    assert complaint in str(failure.value)
    assert not server.running
    assert not server.directory.exists()
