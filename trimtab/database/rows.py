"""From what the driver gives to the declared type of a row, by position: no names are looked up for a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

R = TypeVar("R")


def converter(row: type[R], columns: Sequence[str], where: str) -> Callable[[Iterable[Any]], R]:
    """A function from a record to `row`, whose fields must be the columns, in their order.

    A NamedTuple takes a record as it is; a dataclass is called with its values (about 0.2 and 0.5 us for ten columns;
    with frozen=True several times that).
    """
    named = getattr(row, "_fields", None) if issubclass(row, tuple) else None
    fields = list(named) if named is not None else _init_fields(row, where)
    if fields != list(columns):
        raise TypeError(
            f"{where}: the columns are {list(columns)}, the fields of {row.__name__} {fields}; make them alike"
        )
    if named is not None:
        return partial(tuple.__new__, row)  # type: ignore[type-var]  # it is a tuple, see above
    return lambda record: row(*record)


def _init_fields(row: type[Any], where: str) -> list[str]:
    if not dataclasses.is_dataclass(row):
        raise TypeError(f"{where}: a row is a NamedTuple or a dataclass, {row!r} is neither")
    if any(field.init and field.kw_only for field in dataclasses.fields(row)):
        raise TypeError(f"{where}: {row.__name__} has fields that are keyword-only; rows are made by position")
    return [field.name for field in dataclasses.fields(row) if field.init]
