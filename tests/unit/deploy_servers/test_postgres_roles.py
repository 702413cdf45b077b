from __future__ import annotations

import pytest

from deploy.servers.postgres_roles import RESERVED_CONNECTIONS, default_passwords, fence, server_statements


def test_the_reserved_connections_are_those_of_the_decision() -> None:
    assert RESERVED_CONNECTIONS == 13
    assert fence(100) == 87


def test_a_server_too_small_for_its_reserves_is_refused() -> None:
    assert fence(14) == 1
    with pytest.raises(ValueError, match=r"max_connections is 13.*at least 14"):
        fence(13)


def test_every_role_has_a_limit() -> None:
    statements = [statement.as_string(None) for statement in server_statements(100, default_passwords())]
    limits = [text.partition("CONNECTION LIMIT ")[2].split()[0] for text in statements if "CREATE ROLE" in text]
    assert limits == ["4", "87", "2"]
