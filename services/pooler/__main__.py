"""The agent beside PgBouncer: `python -m services.pooler`.

Reads the settings and the knobs document, keeps PgBouncer at its size, serves the metrics, and ends after PgBouncer.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import structlog
from prometheus_client import REGISTRY
from pydantic import ValidationError

from services.pooler.agent import Agent
from services.pooler.apply import Applier
from services.pooler.configure import explain
from services.pooler.console import Console
from services.pooler.endpoints import Endpoints
from services.pooler.listener import listener_probe
from services.pooler.metrics import PoolerCollector
from services.pooler.postgres import login_probe
from services.pooler.settings import PodNameError, Settings
from trimtab.knobs.document import PoolerKnobs
from trimtab.knobs.watch import KnobsWatcher

LISTENER_GRACE_SECONDS = 2.0
"""When both get SIGTERM together PgBouncer may close its listener a moment after the agent asks."""

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT, and then as long as PgBouncer drains; a second signal ends it at once."""
    console = Console.of(settings)
    listening = listener_probe(settings.probe_address, settings.listen_port)
    agent = Agent(console, Applier(console, login_probe(settings)), listening, settings.pod)
    watcher = KnobsWatcher(
        settings.knobs_path,
        pooler=PoolerKnobs(pool_size=settings.pool_size, max_pods=settings.max_pods),
        pod_uid=settings.pod_uid,
    )
    watcher.subscribe(agent.apply, confirm=agent.confirm)
    REGISTRY.register(PoolerCollector(agent.snapshot))
    REGISTRY.register(watcher)
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    endpoints = Endpoints(agent, REGISTRY, settings.metrics_address, settings.metrics_port)
    log.info("serving", port=endpoints.port, pod=settings.pod_name or None, console=settings.console_address)
    async with watcher, asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(agent.run())
        received = await signals.get()
        agent.terminate()
        log.info("terminating: not ready from now on", signal=received.name)
        drained = tasks.create_task(wait_for_drain(agent))
        again = tasks.create_task(signals.get())
        await asyncio.wait({drained, again}, return_when=asyncio.FIRST_COMPLETED)
        for task in (keeping, drained, again):
            task.cancel()
    await endpoints.close()
    await console.close()
    log.info("ended")


async def wait_for_drain(agent: Agent) -> None:
    """Returns when PgBouncer has ended, or when it does not drain at all: then the agent alone was told to end."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + LISTENER_GRACE_SECONDS
    while agent.sees_pgbouncer and (clock() < deadline or await agent.draining()):  # noqa: ASYNC110  # another process is waited for
        await asyncio.sleep(0.1)


def main() -> int:
    try:
        settings = Settings()
        _ = settings.pod
    except ValidationError as error:
        print(explain(error), file=sys.stderr)  # noqa: T201
        return 1
    except PodNameError as error:
        print(f"pooler agent: {error}", file=sys.stderr)  # noqa: T201
        return 1
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
