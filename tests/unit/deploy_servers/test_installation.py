from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from deploy.servers.errors import ServerFailedError, ServersUnavailableError
from deploy.servers.installation import Installation


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for program in ("usr/bin/redis-server", "usr/lib/postgresql/17/bin/postgres"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nredis:x:101:103::/var/lib/redis:/bin/sh\n")
    return tmp_path


def test_programs_are_found_as_the_root_sees_them(root: Path) -> None:
    assert Installation(root).find("postgres") == "/usr/lib/postgresql/17/bin/postgres"
    assert Installation(root).find("prometheus") is None


def test_upstreams_names_of_the_exporters_are_known(root: Path) -> None:
    (root / "usr/bin/redis_exporter").touch()
    assert Installation(root).find("prometheus-redis-exporter") == "/usr/bin/redis_exporter"


def test_a_program_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(ServersUnavailableError, match=f"prometheus is not in {root}"):
        Installation(root).argv("prometheus", [], user="redis")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_the_command_enters_the_root_and_drops_root(root: Path) -> None:
    command = Installation(root).argv(
        "redis-server", ["x.conf"], user="redis", shares=[Path("/srv/a b")], death_signal=signal.SIGQUIT
    )
    assert command[0] == "unshare"
    assert command[-2:] == ["/usr/bin/redis-server", "x.conf"]
    assert {"--reuid=101", "--regid=103", "--clear-groups", "--pdeathsig=SIGQUIT", "/srv/a b"} <= set(command)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_a_user_that_the_root_lacks_is_named(root: Path) -> None:
    with pytest.raises(ServersUnavailableError, match="has no user postgres"):
        Installation(root).argv("postgres", [], user="postgres")


@pytest.mark.parametrize("directory", ["/usr/share/x", "/etc", "/", "relative"])
def test_a_directory_that_would_hide_the_root_is_refused(root: Path, directory: str) -> None:
    with pytest.raises(ServerFailedError, match="below /tmp"):
        Installation(root).argv("redis-server", [], user="redis", shares=[Path(directory)])
