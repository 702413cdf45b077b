"""The statements of an SQLAlchemy engine, told to the telemetry: for services that use its ORM or Core as they are.

Times what a cursor executes, without BEGIN, COMMIT and the wait for a connection. Statements that go to the driver
itself (`trimtab.database`) pass no cursor, so nothing is counted twice.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from time import perf_counter
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from trimtab.telemetry.request import note_statement

NAME_OPTION = "statement_name"
"""Execution option that names a statement: `select(...).execution_options(statement_name="items.get")`."""

NAMES_KEPT = 2048
_STARTED = "trimtab_started"
_NAME_COMMENT = re.compile(r"\s*/\*\s*([\w.:\-]{1,64})\s*\*/")
_FIRST_WORD = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*([A-Za-z]{1,16})\b", re.DOTALL)
_TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE|JOIN)\s+"?([A-Za-z_][\w."]{0,62})', re.IGNORECASE)
_LITERAL = re.compile(r"'|\$\$|\$[A-Za-z_]|/\*|--")


def watch_engine(engine: AsyncEngine | Engine) -> None:
    """Count and time the statements of `engine`. Doing it twice changes nothing: SQLAlchemy knows its listeners."""
    sync_engine = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    event.listen(sync_engine, "before_cursor_execute", _before)
    event.listen(sync_engine, "after_cursor_execute", _after)
    event.listen(sync_engine, "handle_error", _failed)


@lru_cache(NAMES_KEPT)
def statement_name(text: str) -> str:
    """What a statement without a name is called: its `/* name */` comment, else verb, table and a hash of the text.

    Only identifiers that stand before the first literal or comment are used: a text that was put together from strings
    may hold values, and those belong in no log.
    """
    named = _NAME_COMMENT.match(text)
    if named is not None:
        return named[1]
    verb = _FIRST_WORD.match(text)
    literal = _LITERAL.search(text)
    table = _TABLE.search(text, 0, len(text) if literal is None else literal.start())
    words = [
        "statement" if verb is None else verb[1].upper(),
        "" if table is None else table[1].replace('"', ""),
        hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=4).hexdigest(),
    ]
    return " ".join(word for word in words if word)


def _before(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> None:
    setattr(context, _STARTED, perf_counter())


def _after(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> None:
    _note(statement, context)


def _failed(failure: ExceptionContext) -> None:
    if failure.execution_context is not None and failure.statement is not None:
        _note(failure.statement, failure.execution_context)


def _note(statement: str, context: Any) -> None:
    started = getattr(context, _STARTED, None)
    if started is None:
        return
    setattr(context, _STARTED, None)
    seconds = perf_counter() - started
    note_statement(context.execution_options.get(NAME_OPTION) or statement_name(statement), seconds)
