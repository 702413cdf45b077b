"""`python -m services.api.migrate`: bring the schema to a version, or wait until it is there.

As the owner role, straight to PostgreSQL: the lock and the DDL want one session, which a pooler does not promise.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from services.api import logs
from services.api.settings import DatabaseSettings

LOCK = 0x7472696D  # any number that nobody else takes; seed.py takes it too
POLL_SECONDS = 0.5
DEFAULT_WAIT_SECONDS = 600.0

LOCK_TIMEOUT_SECONDS = 3.0
"""How long a migration queues for a table. Behind it everybody queues who wants to read it, so it lets them pass."""
LOCK_PAUSE_SECONDS = 1.0
LOCK_NOT_AVAILABLE = "55P03"

log = structlog.get_logger(__name__)


class NotMigratedError(Exception):
    """The schema did not come to the wanted version in time."""


def engine_of(settings: DatabaseSettings) -> AsyncEngine:
    """Connections that are not kept: the owner may hold few."""
    return create_async_engine(settings.database_url(), poolclass=NullPool, connect_args={"timeout": 10})


async def migrate(
    settings: DatabaseSettings,
    revision: str = "head",
    *,
    down: bool = False,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    seconds: float = DEFAULT_WAIT_SECONDS,
) -> str | None:
    """Bring the schema up (or down) to `revision`, all or nothing; the version that it has then.

    Two that run at once take turns. A table in use is tried for again until `seconds` are over: NotMigratedError.
    """
    engine = engine_of(settings)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                return await _migrate_at_once(engine, revision, down, lock_timeout_seconds)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
                if time.monotonic() >= deadline:
                    raise NotMigratedError(
                        f"a table stayed in use for {seconds:g} s; find who holds it (pg_stat_activity, the oldest "
                        "xact_start), end that transaction, and run this again"
                    ) from None
            log.warning("a table is in use, trying again", waited_seconds=lock_timeout_seconds)
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
    finally:
        await engine.dispose()


async def wait(settings: DatabaseSettings, seconds: float = DEFAULT_WAIT_SECONDS) -> None:
    """Wait until the schema has the version of this code. Raises NotMigratedError."""
    wanted = head()
    deadline = time.monotonic() + seconds
    engine = engine_of(settings)
    try:
        while True:
            try:
                async with engine.connect() as connection:
                    version = await connection.run_sync(_version)
                if version == wanted:
                    return
                found = f"the schema has version {version or 'none'}"
            except (OSError, SQLAlchemyError) as error:
                found = f"the database cannot be asked ({type(error).__name__})"
            if time.monotonic() >= deadline:
                raise NotMigratedError(
                    f"{found} after {seconds:g} s, the code needs {wanted}; run: python -m services.api.migrate"
                )
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await engine.dispose()


def head() -> str:
    """The version that this code needs."""
    revision = ScriptDirectory.from_config(configuration()).get_current_head()
    if revision is None:
        raise CommandError("there are no migrations beside services/api/migrate.py")
    return revision


def configuration() -> Config:
    """Alembic's, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


async def _migrate_at_once(engine: AsyncEngine, revision: str, down: bool, lock_timeout_seconds: float) -> str | None:
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        # After that lock: another migration may take its time.
        timeout = f"{max(1, round(lock_timeout_seconds * 1000))}ms"
        await connection.execute(text("SELECT set_config('lock_timeout', :timeout, true)"), {"timeout": timeout})
        await connection.run_sync(_run, revision, down)
        return await connection.run_sync(_version)


def _run(connection: Connection, revision: str, down: bool) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    (command.downgrade if down else command.upgrade)(config, revision)


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.api.migrate", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--to", metavar="REVISION", default="head", help="migrate up to this version (default: head)")
    what.add_argument("--down-to", metavar="REVISION", help="migrate down to this version (base: remove everything)")
    what.add_argument("--wait", action="store_true", help="change nothing; wait until the schema is at head")
    parser.add_argument("--timeout", type=float, default=DEFAULT_WAIT_SECONDS, help="seconds that --wait waits")
    options = parser.parse_args(arguments)
    settings = DatabaseSettings()
    logs.configure("info")
    try:
        if options.wait:
            asyncio.run(wait(settings, options.timeout))
            log.info("the schema is in place", version=head())
        else:
            revision = options.down_to or options.to
            version = asyncio.run(migrate(settings, revision, down=options.down_to is not None))
            log.info("migrated", version=version)
    except (NotMigratedError, CommandError, OSError, SQLAlchemyError) as error:
        log.error("not migrated", error=str(error), host=settings.database_host, port=settings.database_port,
                  user=settings.database_user)  # fmt: skip
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
