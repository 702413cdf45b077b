"""Compiled statements, the arguments that go with them, and the rows that come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, bindparam, func, insert, select, text
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.expression import Executable

from trimtab.database import Statement

items = Table("items", MetaData(), Column("id", BigInteger), Column("name", Text), Column("price", Integer))


class Item(NamedTuple):
    id: int
    name: str


@dataclass(slots=True)
class Priced:
    id: int
    price: int | None
    made: list[int] = field(init=False, default_factory=list)


def test_a_statement_has_its_name_before_it_and_its_arguments_in_order() -> None:
    statement = Statement("x.y", select(func.f(bindparam("b", type_=Integer), 7, bindparam("a", type_=Integer))))
    assert statement.text.startswith("/* x.y */ SELECT f($1::INTEGER, $2::INTEGER, $3::INTEGER)")
    assert statement.arguments({"a": 1, "b": 2}) == (2, 7, 1)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_any_number_of_arguments(count: int) -> None:
    names = ["a", "b", "c"][:count]
    statement = Statement("x.y", select(func.f(*(bindparam(name, type_=Integer) for name in names))))
    assert statement.arguments(dict.fromkeys(reversed(names), 5) | {"unknown": 1}) == (5,) * count


def test_a_missing_argument_is_not_null() -> None:
    statement = Statement("x.y", select(bindparam("a", type_=Integer), bindparam("b", 8, type_=Integer)))
    assert statement.arguments({"a": None}) == (None, 8), "one with a value of its own may be left out"
    assert statement.arguments({"a": 1, "b": None}) == (1, None)
    with pytest.raises(KeyError):
        statement.arguments({"b": 1})


def test_rows_are_of_the_declared_type() -> None:
    named = Statement("items.get", select(items.c.id, items.c.name), Item)
    assert named.row is not None
    row = named.row((7, "lamp"))
    assert (row, row.name, type(row)) == ((7, "lamp"), "lamp", Item)
    returned = Statement("items.add", insert(items).values(id=1).returning(items.c.id, items.c.price), Priced)
    assert returned.row is not None
    assert returned.row((7, 30)) == Priced(7, 30)
    assert Statement("items.all", select(items)).row is None


@dataclass(kw_only=True)
class ByKeyword:
    id: int


@pytest.mark.parametrize(
    ("statement", "row", "message"),
    [
        (select(items.c.name, items.c.id), Item, r"statement x: the columns are \['name', 'id'\], the fields of Item"),
        (select(items.c.id), Item, r"the columns are \['id'\]"),
        (select(items.c.id), ByKeyword, "ByKeyword has fields that are keyword-only"),
        (select(items.c.id), int, "a row is a NamedTuple or a dataclass"),
        (text("SELECT 1"), Item, "has no columns to make rows of"),
    ],
)
def test_rows_that_do_not_fit_are_refused_at_import(statement: Executable, row: type[Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Statement("x", statement, row)


def test_what_cannot_be_sent_safely_is_refused() -> None:
    with pytest.raises(ValueError, match=r"called 'x \*/ DROP'"):
        Statement("x */ DROP", select(1))
    with pytest.raises(ValueError, match=r"write column == func\.any"):
        Statement("x", select(items).where(items.c.id.in_(bindparam("ids", expanding=True))))
    with pytest.raises(TypeError, match="CreateTable is no query"):
        Statement("x", CreateTable(items))
