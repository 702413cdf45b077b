from __future__ import annotations

import pytest

from deploy.servers.packages import LEAST, PINNED, cache_key, mismatches, parse_version, too_old

GOOD = {"postgres": (17, 12), "pgbouncer": (1, 24), "redis-server": (8, 0), "prometheus": (2, 53)}


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("postgres (PostgreSQL) 17.12 (Debian 17.12-0+deb13u1)", (17, 12)),
        ("PgBouncer 1.24.1\nlibevent 2.1.12-stable\nadns: c-ares 1.34.5", (1, 24)),
        ("Redis server v=8.0.2 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=6fd8d0e31a0ac5c3", (8, 0)),
        ("prometheus, version 2.53.3+ds1 (branch: debian/sid, revision: 2.53.3+ds1-2)", (2, 53)),
    ],
)
def test_versions_are_read_from_what_the_servers_print(output: str, version: tuple[int, int]) -> None:
    assert parse_version(output) == version


def test_an_output_without_a_version_is_named() -> None:
    with pytest.raises(ValueError, match="command not found"):
        parse_version("sh: command not found")


def test_the_root_has_the_pinned_versions() -> None:
    assert mismatches(GOOD) == []
    assert mismatches({**GOOD, "postgres": (17, 99)}) == [], "a patch level of PostgreSQL is no other version"
    assert mismatches({**GOOD, "pgbouncer": (1, 25)}) == ["pgbouncer is 1.25, expected 1.24"]
    assert mismatches({**GOOD, "postgres": (18, 0)}) == ["postgres is 18.0, expected 17"]


def test_servers_on_path_may_be_newer_but_not_older() -> None:
    assert too_old({**GOOD, "prometheus": (3, 0), "postgres": (18, 1)}) == []
    assert too_old({**GOOD, "pgbouncer": (1, 18)}) == ["pgbouncer is 1.18, needs 1.24 or later"]


def test_both_tables_name_the_same_programs() -> None:
    assert LEAST.keys() == PINNED.keys()
    assert cache_key() == cache_key()
    assert len(cache_key()) == 12
