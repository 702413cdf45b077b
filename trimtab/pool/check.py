"""Whether the SQLAlchemy that is installed has what the resizable pool is built on."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.util import concurrency

_INTERNALS: dict[Any, tuple[str, ...]] = {
    Pool: ("_do_get", "_do_return_conn", "_create_connection"),
    ConnectionPoolEntry: ("close", "invalidate", "info", "dbapi_connection"),
    concurrency: ("await_", "greenlet_spawn"),
}


class UnsupportedSQLAlchemyError(RuntimeError):
    """This version of SQLAlchemy lacks something that the pool is built on."""


def check_sqlalchemy() -> None:
    """Raise UnsupportedSQLAlchemyError unless everything that the pool is built on is there."""
    for owner, names in _INTERNALS.items():
        annotated = getattr(owner, "__annotations__", {})
        inherited = {name for base in getattr(owner, "__mro__", ()) for name in getattr(base, "__annotations__", {})}
        for name in names:
            if not hasattr(owner, name) and name not in annotated and name not in inherited:
                raise UnsupportedSQLAlchemyError(
                    f"SQLAlchemy {sqlalchemy.__version__} has no {owner.__name__}.{name}, which the resizable pool is "
                    "built on; install sqlalchemy>=2.1,<2.2 or use AsyncAdaptedQueuePool without tuning the pool size"
                )
