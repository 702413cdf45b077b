"""A SQLAlchemy asyncio pool that is resized while it is in use.

    engine = create_async_engine(url, poolclass=ResizableAsyncPool, pool_size=8)
    await engine.pool.resize(20)

Reading order: interface, slots (the bookkeeping), resizable (the pool), direct (`pool.connection()`), idle, closing,
age; check and limited for a SQLAlchemy that the pool does not know.
"""

from trimtab.pool.age import AGE_JITTER, MAX_AGE_SECONDS
from trimtab.pool.check import UnsupportedSQLAlchemyError, check_sqlalchemy
from trimtab.pool.interface import ResizablePool
from trimtab.pool.limited import LimitedAsyncPool
from trimtab.pool.resizable import ResizableAsyncPool

__all__ = [
    "AGE_JITTER",
    "MAX_AGE_SECONDS",
    "LimitedAsyncPool",
    "ResizableAsyncPool",
    "ResizablePool",
    "UnsupportedSQLAlchemyError",
    "check_sqlalchemy",
]
