"""A pooler pod as processes: configure once, the real PgBouncer, the real agent, and a knobs file between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from deploy.servers import ports
from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Login, Postgres
from trimtab.knobs import document as knobs

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 40.0
CONSOLE_USER, CONSOLE_PASSWORD = "trimtab_agent", "console \"pass' word"
POD_UID = "0b1c2d3e-0000-4000-8000-000000000001"


def wait_for(what: str, condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Returns when `condition` holds; a test that waits in vain says for what."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for: {what}")
        time.sleep(0.05)


def uuid7() -> str:
    """A version 7 UUID of now; the standard library makes them from 3.14 on."""
    value = (time.time_ns() // 1_000_000) << 80 | uuid.uuid4().int & ((1 << 80) - 1)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


class Pod:
    """`with Pod(postgres, pool_size=2) as pod:` starts PgBouncer; `pod.start_agent()` the agent."""

    def __init__(self, postgres: Postgres, *, pool_size: int = 1, max_pods: int = 2, ordinal: int = 0) -> None:
        self.postgres = postgres
        self.directory = Path(tempfile.mkdtemp(prefix="trimtab-pod-"))
        self.run_directory = self.directory / "run"
        self.knobs_path = self.directory / "knobs" / "knobs.json"
        self.knobs_path.parent.mkdir()
        self.epoch = uuid7()
        self.metrics_port, listen_port = ports.draw(), ports.draw()
        app = postgres.login()
        self.environment = {
            "PATH": os.environ["PATH"],
            "POOLER_DATABASE_HOST": app.host,
            "POOLER_DATABASE_PORT": str(app.port),
            "POOLER_DATABASE_NAME": app.database,
            "POOLER_DATABASE_USER": app.user,
            "POOLER_DATABASE_PASSWORD": app.password,
            "POOLER_LISTEN_ADDRESS": "127.0.0.1",
            "POOLER_LISTEN_PORT": str(listen_port),
            "POOLER_CONSOLE_USER": CONSOLE_USER,
            "POOLER_CONSOLE_PASSWORD": CONSOLE_PASSWORD,
            "POOLER_POOL_SIZE": str(pool_size),
            "POOLER_MAX_PODS": str(max_pods),
            "POOLER_METRICS_ADDRESS": "127.0.0.1",
            "POOLER_METRICS_PORT": str(self.metrics_port),
            "POOLER_PEER_SERVICE": "catalog-pooler-peers.invalid",
            "POOLER_RUN_DIRECTORY": str(self.run_directory),
            "TRIMTAB_KNOBS": str(self.knobs_path),
            "POD_NAME": f"catalog-pooler-{ordinal}",
            "POD_UID": POD_UID,
        }
        self.agent: subprocess.Popen[bytes] | None = None
        self.agent_log = self.directory / "agent.log"
        self.pgbouncer: PgBouncer
        self._listen_port = listen_port
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.metrics_port}", timeout=20)

    def configure(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.pooler.configure"],
            env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def __enter__(self) -> Self:
        configured = self.configure()
        assert configured.returncode == 0, configured.stderr
        self.pgbouncer = PgBouncer(
            ini=self.run_directory / "pgbouncer.ini",
            port=self._listen_port,
            directory=self.directory / "pgbouncer",
            console_user=CONSOLE_USER,
            console_password=CONSOLE_PASSWORD,
        )
        self.pgbouncer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait()
        if error is not None and self.agent_log.exists():
            sys.stderr.write(f"--- the agent said:\n{self.agent_log.read_text()[-6000:]}\n")
            sys.stderr.write(f"--- PgBouncer said:\n{self.pgbouncer.log_tail(40)}\n")
        self._http.close()
        self.pgbouncer.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def app_login(self) -> Login:
        app = self.postgres.login()
        return Login("127.0.0.1", self._listen_port, app.user, app.password, app.database)

    def start_agent(self) -> None:
        with self.agent_log.open("ab") as log:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "services.pooler"], env=self.environment, cwd=ROOT, stdout=log, stderr=log
            )

    def agent_process(self) -> psutil.Process:
        assert self.agent is not None
        return psutil.Process(self.agent.pid)

    def terminate_agent(self) -> None:
        assert self.agent is not None
        self.agent.send_signal(signal.SIGTERM)

    def agent_runs(self) -> bool:
        return self.agent is not None and self.agent.poll() is None

    # The knobs.

    def publish(self, generation: int, pool_size: int, max_pods: int = 2) -> None:
        knobs.write(
            self.knobs_path,
            knobs.KnobsDocument(
                epoch=self.epoch,
                generation=generation,
                policy="catalog",
                pooler=knobs.PoolerKnobs(pool_size=pool_size, max_pods=max_pods),
            ),
        )

    def acknowledged(self) -> int | None:
        """The generation that trimtab_knobs_info names; None while there is none."""
        for labels, value in self.series("trimtab_knobs_info"):
            if value == 1:
                assert labels["pod_uid"] == POD_UID
                return int(labels["generation"])
        return None

    def wait_acknowledged(self, generation: int) -> None:
        wait_for(f"the acknowledgement of generation {generation}", lambda: self.acknowledged() == generation)

    def wait_servers(self, count: int) -> None:
        """Until the agent has seen `count` server connections, of any state."""
        wait_for(f"{count} servers", lambda: sum(v for _, v in self.series("trimtab_pooler_servers")) == count)

    def wait_errors_beyond(self, count: float) -> None:
        wait_for(f"more than {count} bad documents", lambda: (self.value("trimtab_knobs_errors_total") or 0) > count)

    # What the agent says.

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Samples of one series name; empty while the agent does not answer."""
        try:
            text = self._http.get("/metrics").text
        except httpx.TransportError:
            return []
        families = text_string_to_metric_families(text)
        return [(s.labels, s.value) for family in families for s in family.samples if s.name == name]

    def value(self, name: str, **labels: str) -> float | None:
        """One sample's value; None where there is none."""
        matching = [value for has, value in self.series(name) if labels.items() <= has.items()]
        return matching[0] if len(matching) == 1 else None

    def ready(self) -> tuple[bool, str]:
        try:
            answer = self._http.get("/readyz")
        except httpx.TransportError as error:
            return False, f"no agent: {error}"
        assert answer.status_code in (200, 503), answer
        return answer.status_code == 200, answer.text.strip()

    def is_ready(self) -> bool:
        return self.ready()[0]

    # What PgBouncer says, past the agent.

    def limits(self) -> tuple[int, int]:
        """(pool_size, max_connections) that PgBouncer enforces."""
        rows = self.pgbouncer.console("SHOW DATABASES")
        row = next(row for row in rows if row["name"] == self.postgres.login().database)
        return int(str(row["pool_size"])), int(str(row["max_connections"]))

    def reconnects(self) -> int:
        return self.pgbouncer.log_path.read_text(errors="replace").count("RECONNECT command issued")
