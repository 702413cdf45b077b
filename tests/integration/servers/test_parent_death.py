"""Servers end with the Python process that started them, even when it is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.servers.installation import Installation

STARTS_SERVERS = """
import json, sys, threading
import psutil
from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Postgres
from deploy.servers.redis import RedisServer
directory = {directory!r}
from pathlib import Path
servers = [Postgres(fsync=False, directory=Path(directory) / "pg"), RedisServer(directory=Path(directory) / "redis")]
started = threading.Thread(target=lambda: [server.start() for server in servers])
started.start(); started.join()
servers.append(PgBouncer(backend=servers[0].login(), directory=Path(directory) / "pgbouncer").start())
pids = []
for server in servers:
    pids += [server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))]
print(json.dumps(pids), flush=True)
{ending}
"""


@pytest.mark.parametrize("ending", ["sys.stdin.read()", "raise SystemExit(3)"], ids=["killed", "exits"])
def test_servers_end_with_their_parent(installation: Installation, tmp_path: Path, ending: str) -> None:
    script = STARTS_SERVERS.format(directory=str(tmp_path), ending=ending)
    checkout = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=checkout, env={**os.environ, "PYTHONPATH": checkout},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        line = parent.stdout.readline()
        assert line, "the parent ended without starting its servers"
        family = []
        for pid in json.loads(line):
            try:
                family.append(psutil.Process(pid))
            except psutil.NoSuchProcess:
                continue  # ended already, as it should
        if ending.startswith("sys.stdin"):
            assert len(family) > 5
            parent.kill()
        parent.wait(30)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
