"""Whether the SQLAlchemy that is installed has what the resizable pool is built on."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import util
from sqlalchemy.pool import ConnectionPoolEntry, Pool, base

SUPPORTED = ">=2.1,<2.2"
REMEDY = f"install sqlalchemy{SUPPORTED}"

_INTERNALS: dict[Any, tuple[str, ...]] = {
    Pool: ("_do_get", "_do_return_conn", "_create_connection", "_dialect", "dispatch"),
    ConnectionPoolEntry: ("close", "invalidate", "info", "dbapi_connection", "driver_connection"),
    base: ("_ConnectionRecord",),
    getattr(base, "_ConnectionRecord", None): ("_is_hard_or_soft_invalidated",),
    util: ("await_", "greenlet_spawn"),
}  # fmt: skip


class UnsupportedSQLAlchemyError(RuntimeError):
    """This version of SQLAlchemy lacks something that the pool is built on."""


def check_sqlalchemy() -> None:
    """Raise UnsupportedSQLAlchemyError unless everything that the pool is built on is there."""
    for owner, names in _INTERNALS.items():
        annotated = {name for base in getattr(owner, "__mro__", ()) for name in getattr(base, "__annotations__", {})}
        for name in names:
            if not hasattr(owner, name) and name not in annotated:
                raise UnsupportedSQLAlchemyError(
                    f"SQLAlchemy {sqlalchemy.__version__} has no {owner.__name__}.{name}, which the resizable pool is "
                    f"built on; {REMEDY}"
                )
