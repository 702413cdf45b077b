"""pgbouncer.ini and userlist.txt as text, and who may not have them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.pooler import configure
from services.pooler.ini import check_ordinal, render_ini, render_userlist
from services.pooler.settings import PodIdentity, PodNameError, Settings, parse_pod_name

GOLDEN = Path(__file__).with_name("pgbouncer.golden.ini")


def settings(**changes: object) -> Settings:
    values: dict[str, object] = {
        "database_host": "catalog-postgres",
        "database_password": "pass'wo\"rd",
        "console_password": "console",
        "pool_size": 10,
        "max_pods": 2,
        "pod_name": "catalog-pooler-1",
        "peer_service": "catalog-pooler-peers",
    }
    return Settings.model_validate({**values, **changes})


def sections(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            found[name] = {}
        elif line:
            key, _, value = line.partition(" = ")
            found[name][key] = value
    return found


def test_the_ini_is_the_golden_one() -> None:
    assert render_ini(settings()) == GOLDEN.read_text()


def test_nothing_but_the_agent_can_open_more_than_one_server() -> None:
    ini = sections(render_ini(settings()))
    assert list(ini["databases"]) == ["catalog"], "one database line and no '*'"
    line = ini["databases"]["catalog"]
    assert "user='catalog_app'" in line
    assert "pool_size" not in line
    assert "max_db_connections" not in line
    pgbouncer = ini["pgbouncer"]
    assert (pgbouncer["default_pool_size"], pgbouncer["max_db_connections"]) == ("1", "1")
    assert (pgbouncer["reserve_pool_size"], pgbouncer["min_pool_size"]) == ("0", "0")
    assert "users" not in ini


def test_every_counted_pod_is_a_peer_by_its_ordinal_and_no_service_means_no_peers() -> None:
    ini = sections(render_ini(settings(max_pods=3)))
    assert ini["peers"] == {
        str(ordinal + 1): f"host=catalog-pooler-{ordinal}.catalog-pooler-peers port=6432" for ordinal in range(3)
    }
    assert ini["pgbouncer"]["peer_id"] == "2"
    alone = sections(render_ini(settings(peer_service="")))
    assert "peers" not in alone
    assert "peer_id" not in alone["pgbouncer"]


def test_quotes_in_names_and_passwords_stay_inside_their_value() -> None:
    quoted = settings(database_user="o'neill", console_user='say "hi"')
    assert "user='o''neill'" in render_ini(quoted)
    assert render_userlist(quoted) == '"o\'neill" "pass\'wo""rd"\n"say ""hi""" "console"\n'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("database_user", "a\nb"),
        ("database_host", ""),
        ("database_name", 'a"b'),
        ("database_name", "*"),
        ("console_password", "a\nb"),
        ("pool_size", 0),
        ("max_pods", 0),
    ],
)
def test_values_that_would_become_other_settings_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        settings(**{field: value})


def test_passwords_are_not_shown() -> None:
    assert "pass'wo" not in repr(settings())
    assert "pass'wo" not in render_ini(settings())


@pytest.mark.parametrize(
    ("name", "base", "ordinal"), [("catalog-pooler-0", "catalog-pooler", 0), ("p-12", "p", 12), ("a-1-2", "a-1", 2)]
)
def test_the_ordinal_is_the_names_end(name: str, base: str, ordinal: int) -> None:
    assert parse_pod_name(name) == PodIdentity(base, ordinal)


@pytest.mark.parametrize("name", ["pooler", "pooler-", "pooler-x1", "pooler-01", "-1", "pooler-7d9f8b6c5-x2x4z"])
def test_a_name_without_an_ordinal_is_refused(name: str) -> None:
    with pytest.raises(PodNameError, match="StatefulSet"):
        parse_pod_name(name)


def test_an_ordinal_beyond_the_counted_pods_is_refused() -> None:
    check_ordinal(PodIdentity("p", 1), 2, "the chart")
    with pytest.raises(PodNameError, match=r"ordinal 2, but the chart allows 2 pooler pods \(ordinals 0 to 1\)"):
        check_ordinal(PodIdentity("p", 2), 2, "the chart")


def test_configure_writes_both_files_with_their_modes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ini = configure.configure(settings(run_directory=run))
    assert ini == run / "pgbouncer.ini"
    assert stat.S_IMODE(ini.stat().st_mode) == 0o640
    assert stat.S_IMODE((run / "userlist.txt").stat().st_mode) == 0o600
    assert sorted(path.name for path in run.iterdir()) == ["pgbouncer.ini", "userlist.txt"]


def test_configure_ignores_a_document_that_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knobs = tmp_path / "knobs.json"
    knobs.write_text("{")
    configure.configure(settings(run_directory=tmp_path / "run", knobs_path=knobs))
    assert "ignored" in capsys.readouterr().err


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("POOLER_DATABASE_PASSWORD", "two\nlines")
    for name in ("POOLER_DATABASE_HOST", "POOLER_POOL_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert configure.main() == 1
    said = capsys.readouterr().err
    assert "POOLER_DATABASE_HOST" in said
    assert "POOLER_POOL_SIZE" in said
    assert "two" not in said
