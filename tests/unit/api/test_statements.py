"""Compiled statements and the arguments that go with them."""

from __future__ import annotations

import pytest
from sqlalchemy import Integer, bindparam, func, select

from services.api.database import Statement
from services.api.items.repository import escaped


def test_a_statement_has_its_name_before_it_and_its_arguments_in_order() -> None:
    statement = Statement("x.y", select(func.f(bindparam("b", type_=Integer), 7, bindparam("a", type_=Integer))))
    assert statement.text.startswith("/* x.y */ SELECT f($1::INTEGER, $2::INTEGER, $3::INTEGER)")
    assert statement.arguments({"a": 1, "b": 2}) == [2, 7, 1]


def test_a_missing_argument_is_not_null() -> None:
    statement = Statement("x.y", select(bindparam("a", type_=Integer)))
    assert statement.arguments({"a": None}) == [None]
    with pytest.raises(KeyError):
        statement.arguments({})


@pytest.mark.parametrize(
    ("text", "pattern"), [("100%", "100\\%"), ("a_b", "a\\_b"), ("a\\%", "a\\\\\\%"), ("ab", "ab")]
)
def test_likes_own_characters_are_escaped(text: str, pattern: str) -> None:
    assert escaped(text) == pattern
