"""What the repositories put into their statements."""

from __future__ import annotations

import pytest

from services.api.items.repository import escaped


@pytest.mark.parametrize(
    ("text", "pattern"), [("100%", "100\\%"), ("a_b", "a\\_b"), ("a\\%", "a\\\\\\%"), ("ab", "ab")]
)
def test_likes_own_characters_are_escaped(text: str, pattern: str) -> None:
    assert escaped(text) == pattern
