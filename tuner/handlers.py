"""The only file of the tuner that knows kopf: it watches TuningPolicies and feeds the loop, which decides.

No timers, no daemons, no change handlers: kopf then writes neither annotations nor finalizers on users' objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import kopf
import structlog
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from tuner.actuate.kubernetes import KubernetesPlatform
from tuner.cluster.api import ClusterApi
from tuner.crds import GROUP, VERSION
from tuner.endpoints import serve
from tuner.loop import Loop
from tuner.metrics import TunerMetrics
from tuner.settings import Settings


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    ours = Settings()
    _log(ours)
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = 300
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    memo.api = await ClusterApi.connect()
    memo.loop = Loop(KubernetesPlatform(memo.api), TunerMetrics(registry), ours.policies_at_a_time)
    memo.endpoints = await serve(ours, registry, memo.loop.alive)
    memo.running = asyncio.create_task(memo.loop.run())


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    memo.running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await memo.running
    for runner in memo.endpoints:
        await runner.cleanup()
    await memo.api.close()


@kopf.on.event(GROUP, VERSION, "tuningpolicies")
async def policy_seen(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    body = dict(event["object"])
    if event["type"] == "DELETED":
        memo.loop.gone(body)
    else:
        memo.loop.seen(body)


def _log(settings: Settings) -> None:
    level = logging.getLevelNamesMapping()[settings.log_level]
    for chatty in ("httpx", "kopf.objects"):  # a line for each query and each event that was seen
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    renderer: Any = (
        structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
