"""A SQLAlchemy asyncio pool that is resized while it is in use.

engine = create_async_engine(url, poolclass=ResizableAsyncPool, pool_size=8)
await engine.pool.resize(20)
"""

from trimtab.pool.check import UnsupportedSQLAlchemyError, check_sqlalchemy
from trimtab.pool.resizable import AGE_JITTER, MAX_AGE_SECONDS, ResizableAsyncPool

__all__ = [
    "AGE_JITTER",
    "MAX_AGE_SECONDS",
    "ResizableAsyncPool",
    "UnsupportedSQLAlchemyError",
    "check_sqlalchemy",
]
