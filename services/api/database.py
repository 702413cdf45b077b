"""The database of the service, opened from its settings. Statements and rows: trimtab.database."""

from __future__ import annotations

from typing import Self

from sqlalchemy.ext.asyncio import create_async_engine

from services.api.settings import Settings
from trimtab import database
from trimtab.pool import ResizableAsyncPool


class Database(database.Database):
    """Reads and transactions over the pool of this service."""

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Nothing is connected yet: the pool opens connections when they are needed."""
        engine = create_async_engine(
            settings.database_url(),
            poolclass=ResizableAsyncPool,
            pool_size=settings.pool_size,
            pool_timeout=settings.checkout_timeout_seconds,
            connect_args={"timeout": settings.checkout_timeout_seconds},
        )
        return cls(engine, statement_timeout_seconds=settings.statement_timeout_seconds)
