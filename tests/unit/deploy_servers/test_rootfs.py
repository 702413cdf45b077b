"""Finding and making the root: what is left when it fails, and what is said."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from deploy.servers.errors import ServersUnavailableError
from deploy.servers.installation import Installation
from deploy.servers.rootfs import build, cache_directory, lacking, locked

CHECKOUT = Path(__file__).parents[3]


def put_on_path(directory: Path, program: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir(exist_ok=True)
    (directory / program).write_text(f"#!/bin/sh\n{script}\n")
    (directory / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_the_cache_moves_with_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs util-linux")
def test_a_build_that_fails_leaves_nothing_and_shows_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = 'for last; do :; done; mkdir -p "$last/etc"; echo "E: no such mirror"; exit 25'
    put_on_path(tmp_path / "bin", "mmdebstrap", script, monkeypatch)
    put_on_path(tmp_path / "bin", "apt-get", "exit 0", monkeypatch)  # a machine without the keyring asks for it
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "servers-x.partial-1").mkdir()  # of an earlier build that was killed
    said: list[str] = []
    with pytest.raises(ServersUnavailableError, match=r"mmdebstrap ended with 25:\nE: no such mirror"):
        build(tmp_path / "cache" / "servers-x", said.append)
    assert list((tmp_path / "cache").iterdir()) == []
    assert any("no such mirror" in line for line in said)


@pytest.mark.parametrize(
    ("pgbouncer", "reasons"), [("1.24.1", []), ("1.18.0", ["pgbouncer is 1.18, needs 1.24 or later"])]
)
def test_servers_on_path_are_used_when_recent(
    monkeypatch: pytest.MonkeyPatch, pgbouncer: str, reasons: list[str]
) -> None:
    versions = {"postgres": "17.1", "pgbouncer": pgbouncer, "redis-server": "8.0.2", "prometheus": "2.53.3"}
    with tempfile.TemporaryDirectory() as directory:  # pytest's own is closed to the user that servers run as
        Path(directory).chmod(0o755)
        for program, version in versions.items():
            put_on_path(Path(directory), program, f"echo {program} {version}", monkeypatch)
        assert lacking(Installation()) == reasons


def test_missing_servers_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if Installation().find("redis-server") is None:
        assert "redis-server is not on PATH" in lacking(Installation())


def hold(path: Path, seconds: float) -> None:
    with locked(path):
        path.with_suffix(".held").touch()
        time.sleep(seconds)
        path.with_suffix(".held").unlink()


def test_only_one_process_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "root.lock"
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(path, 0.3))
    other.start()
    while not path.with_suffix(".held").exists():
        assert other.is_alive()
        time.sleep(0.01)
    with locked(path):
        assert not path.with_suffix(".held").exists()
    other.join(30)


@pytest.mark.skipif(os.geteuid() != 0, reason="drops root to see what is said without it")
def test_without_root_the_remedy_is_said(tmp_path: Path) -> None:
    if not lacking(Installation()):
        pytest.skip("this machine's own servers are used, with or without root")
    script = (
        "import sys, os; sys.path[:0] = sys.argv[1].split(os.pathsep)\n"
        "from pathlib import Path\n"
        "from deploy.servers.rootfs import resolve\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "resolve(Path(sys.argv[2]), print)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(CHECKOUT), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "without root" in done.stderr
    assert "Remedy: run as root (sudo), or put PostgreSQL >= 17" in done.stderr
