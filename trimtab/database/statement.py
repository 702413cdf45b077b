"""A statement is written in SQLAlchemy Core and compiled when its module is imported.

So its text is constant, and the driver and the pooler prepare it once. Its name stands before it as a comment, by which
pg_stat_statements can be joined with routes and log lines. Values reach the driver as they are: it takes Python's own
types (asyncpg's table of types), and what SQLAlchemy's types would convert has to be converted by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Generic, TypeVar, overload

from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import Executable

from trimtab.database.rows import converter

R = TypeVar("R")
Row = Mapping[str, Any]
"""A row without a declared type: the driver's record, its values by the names of the columns."""

_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class Statement(Generic[R]):
    """A compiled statement whose rows are of type R.

    `name` is `<feature>.<what>`; arguments are given by the names of the bind parameters. `row` is a NamedTuple or a
    dataclass whose fields are the statement's columns, in their order; without it rows are mappings.
    """

    __slots__ = ("_arguments", "_constants", "_names", "name", "row", "text")

    name: str
    text: str
    """As it is sent: the name as a comment, then SQL with $1, $2, ..."""
    row: Callable[[Any], R] | None
    """Makes a row of a record of the driver; None: the record itself is the row."""

    @overload
    def __init__(self: Statement[Row], name: str, statement: Executable) -> None: ...
    @overload
    def __init__(self, name: str, statement: Executable, row: type[R]) -> None: ...
    def __init__(self, name: str, statement: Executable, row: type[R] | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"a statement is called {name!r}; its name stands in SQL, it must match {_NAME.pattern}")
        compiled = _compile(name, statement)
        self.name = name
        self.text = f"/* {name} */ {compiled}"
        self.row = None if row is None else converter(row, _columns(name, statement), f"statement {name}")
        # An argument without a value of its own has to be given; a literal or a default may be.
        self._names = tuple(compiled.positiontup or ())
        self._constants = {key: compiled.params[key] for bind, key in compiled.bind_names.items() if not bind.required}
        self._arguments = _picker(self._names)

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values in the order of $1, $2, ... KeyError where one is missing."""
        return self._arguments({**self._constants, **values} if self._constants else values)

    def __repr__(self) -> str:
        return f"Statement({self.name!r})"


def _compile(name: str, statement: Executable) -> SQLCompiler:
    compiled = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]  # every Executable of Core has it
    if not isinstance(compiled, SQLCompiler):
        raise TypeError(f"statement {name}: a {type(statement).__name__} is no query")
    if "POSTCOMPILE" in str(compiled):
        raise ValueError(
            f"statement {name}: an IN over a list has another text for each length; write column == func.any(bindparam)"
        )
    return compiled


def _columns(name: str, statement: Executable) -> list[str]:
    columns = getattr(statement, "exported_columns", None)
    if columns is None:
        raise TypeError(f"statement {name} has no columns to make rows of")
    return [column.name for column in columns]


def _picker(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """itemgetter gives a tuple only for two names and more."""
    if not names:
        return lambda values: ()
    if len(names) == 1:
        only = names[0]
        return lambda values: (values[only],)
    return itemgetter(*names)
