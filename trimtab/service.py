"""Everything at once: what a FastAPI or Starlette service needs to become tunable.

    engine = create_async_engine(url, poolclass=ResizableAsyncPool, pool_size=5)
    tunable = Trimtab(engine=engine, cache=Cache([CacheGroup("item", ttl_seconds=30)], redis))
    app = FastAPI(lifespan=tunable.lifespan)
    tunable.install(app)

Only wiring: each part can be used alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from trimtab.admission import AdmissionMiddleware, AimdRule, ConcurrencyLimiter
from trimtab.answers import AnswersMiddleware, CachedRoute
from trimtab.cache import Cache
from trimtab.drain import MAX_CONNECTION_AGE_SECONDS, Drain, DrainMiddleware
from trimtab.knobs.document import ApiKnobs
from trimtab.knobs.watch import Knobs, KnobsWatcher
from trimtab.pool import ResizablePool
from trimtab.telemetry import (
    SLOW_STATEMENT_SECONDS,
    AdmissionCollector,
    CacheCollector,
    MetricsServer,
    PoolCollector,
    SlowStatementLog,
    StatementCollector,
    TelemetryMiddleware,
    new_registry,
    start_metrics_server,
    watch_engine,
)

DEFAULT_CONCURRENCY = 100
DEFAULT_METRICS_PORT = 9100


class Trimtab:
    """The tunable parts of one process, wired to its knobs document (TRIMTAB_KNOBS).

    The settings in force without a document are those that the parts were made with: the engine's pool size, the
    groups' TTLs, `concurrency` requests in progress. `admission` lowers those while the database is slow (give it a
    higher `slow_seconds` where the normal answer takes seconds; None: never). `metrics_port` None: no metrics port, the
    caller serves `registry`. Statements that take `slow_statement_seconds` or longer are logged (math.inf: none are).
    """

    def __init__(
        self,
        *,
        engine: AsyncEngine | None = None,
        cache: Cache | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        admission: AimdRule | None = AimdRule(),
        max_connection_age_seconds: float = MAX_CONNECTION_AGE_SECONDS,
        metrics_port: int | None = DEFAULT_METRICS_PORT,
        slow_statement_seconds: float = SLOW_STATEMENT_SECONDS,
        registry: CollectorRegistry | None = None,
        watcher: KnobsWatcher | None = None,
    ) -> None:
        self.engine = engine
        self.cache = cache
        self.limiter = ConcurrencyLimiter(concurrency, rule=admission)
        self.drain = Drain(max_connection_age_seconds)
        self.slow_statements = SlowStatementLog(slow_statement_seconds)
        self.registry = registry if registry is not None else new_registry()
        self.metrics_server: MetricsServer | None = None
        self._metrics_port = metrics_port
        defaults = ApiKnobs(
            pool_size=self.pool.size() if engine is not None else None,
            concurrency=concurrency,
            cache_ttl_seconds={group.name: group.ttl_seconds for group in cache.groups} if cache is not None else {},
        )
        self.watcher = watcher if watcher is not None else KnobsWatcher.from_environment(api=defaults)
        self.watcher.subscribe(self._apply, confirm=self._confirm)
        self._register()

    @property
    def pool(self) -> ResizablePool:
        """The engine's present pool."""
        if self.engine is None:
            raise RuntimeError("this service was made without an engine, so it has no pool")
        pool = self.engine.sync_engine.pool
        if not isinstance(pool, ResizablePool):
            raise TypeError(
                f"the engine's pool is a {type(pool).__name__}, which cannot be resized; "
                "remedy: create_async_engine(url, poolclass=ResizableAsyncPool, pool_size=...)"
            )
        return pool

    @property
    def ready(self) -> bool:
        """Whether the settings are applied and no drain has begun: what /readyz should say, beside its own checks."""
        return self.watcher.applied is not None and not self.drain.draining

    def install(self, app: Starlette, *, answers: Sequence[CachedRoute] = ()) -> None:
        """Put the middleware around an application, before it starts.

        Outermost the drain, then telemetry, answers from memory (those of `answers`), admission.
        """
        app.add_middleware(AdmissionMiddleware, limiter=self.limiter)
        if answers:
            if self.cache is None:
                raise RuntimeError("answers from memory need a cache, but this service was made without one")
            app.add_middleware(AnswersMiddleware, cache=self.cache, routes=answers)
        app.add_middleware(TelemetryMiddleware, registry=self.registry)
        app.add_middleware(DrainMiddleware, drain=self.drain)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Apply the knobs and serve the metrics while the application runs. Closes the cache, not the engine."""
        self.slow_statements.start()
        await self.watcher.start()
        try:
            if self._metrics_port is not None:
                self.metrics_server = start_metrics_server(self._metrics_port, self.registry)
            yield
        finally:
            await self.watcher.stop()
            if self.metrics_server is not None:
                self.metrics_server.stop()
            if self.cache is not None:
                await self.cache.close()

    def _register(self) -> None:
        self.registry.register(self.watcher)
        self.registry.register(AdmissionCollector(self.limiter))
        self.registry.register(StatementCollector(self.slow_statements))
        if self.engine is not None:
            watch_engine(self.engine)
            self.registry.register(PoolCollector(lambda: self.pool))
        if self.cache is not None:
            self.registry.register(CacheCollector(self.cache))

    async def _apply(self, knobs: Knobs) -> None:
        api = knobs.api
        if self.engine is not None and api.pool_size is not None:
            await self.pool.resize(api.pool_size)
        if api.concurrency is not None:
            self.limiter.set_ceiling(api.concurrency)
        if self.cache is not None:
            declared = {group.name for group in self.cache.groups}
            for group, seconds in api.cache_ttl_seconds.items():
                if group in declared:
                    self.cache.set_ttl(group, seconds)

    async def _confirm(self, knobs: Knobs) -> None:
        if self.engine is not None:
            await self.pool.drained()
