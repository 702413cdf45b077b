"""The tuner's two HTTP ports: /metrics for Prometheus, /healthz for the kubelet."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tuner.settings import Settings


async def serve(settings: Settings, registry: CollectorRegistry, alive: Callable[[], bool]) -> list[web.AppRunner]:
    """Start both; the runners are to be cleaned up by the caller."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_: web.Request) -> web.Response:
        if alive():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the loop over the policies has stopped: restart this pod\n")

    runners = []
    for port, path, handler in (
        (settings.metrics_port, "/metrics", metrics),
        (settings.health_port, "/healthz", health),
    ):
        app = web.Application()
        app.router.add_get(path, handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, settings.listen, port).start()
        runners.append(runner)
    return runners
