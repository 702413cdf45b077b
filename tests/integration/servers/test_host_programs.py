"""A program of the host, without a root filesystem: where a machine has recent servers on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from deploy.servers.exporters import RedisExporter
from deploy.servers.installation import Installation
from deploy.servers.redis import RedisServer
from tests.integration.conftest import OwnServer


def test_a_program_on_path_runs_without_root_rights(
    installation: Installation, redis_server: RedisServer, own_server: OwnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = installation.find("prometheus-redis-exporter")
    assert source is not None
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        copy = Path(directory) / "redis_exporter"
        shutil.copy(f"{installation.root or ''}{source}", copy)
        if subprocess.run([copy, "--version"], capture_output=True, check=False).returncode != 0:
            pytest.skip("the root's exporter does not run on this host's libraries")
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        server = own_server(RedisExporter(redis_server, installation=Installation(root=None)))
        process = psutil.Process(server.pid)
        assert process.exe() == str(copy)
        assert process.uids().real != 0
        assert "redis_up 1" in server.metrics()
        server.kill()
        assert not process.is_running()
