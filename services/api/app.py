"""The application: routes, errors, middleware, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.api import openapi, problems
from services.api.catalog import Catalog
from services.api.health.endpoints import router as health
from services.api.items.cached_routes import CACHED_ROUTES
from services.api.items.endpoints import router as items
from services.api.orders.endpoints import router as orders
from services.api.reports.endpoints import router as reports
from services.api.request_limits import RequestLimitsMiddleware
from services.api.settings import Settings
from services.api.users.endpoints import router as users
from trimtab.service import Trimtab


def create_app(settings: Settings) -> FastAPI:
    """The service of these settings. Knobs come from the document that TRIMTAB_KNOBS names, where there is one."""
    catalog = Catalog.open(settings)
    tunable = Trimtab(
        engine=catalog.database.engine,
        cache=catalog.cache,
        concurrency=settings.concurrency,
        max_connection_age_seconds=settings.max_connection_age_seconds,
        metrics_port=settings.metrics_port,
        slow_statement_seconds=settings.slow_statement_seconds,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with tunable.lifespan(app):
                yield
        finally:
            await catalog.close()

    app = FastAPI(
        title="Catalog",
        summary="A shop catalog: the reference service of Trimtab",
        version="1",
        lifespan=lifespan,
        generate_unique_id_function=openapi.operation_id,
        redoc_url=None,
    )
    app.state.catalog = catalog
    app.state.tunable = tunable
    problems.install(app)
    openapi.install(app)
    for router in (health, users, items, orders, reports):
        app.include_router(router)
    app.add_middleware(RequestLimitsMiddleware, max_body_bytes=settings.max_body_bytes)
    tunable.install(app, answers=CACHED_ROUTES)  # around these: drain, telemetry, answers from memory, admission
    return app
