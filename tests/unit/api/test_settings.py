"""Settings come from text and say what is wrong."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.api.__main__ import main
from services.api.settings import Settings

SECRET = "a secret of tests, longer than 32 bytes"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TOKEN_SECRET": SECRET, "POOL_SIZE": "3", "CACHE_TTL_SECONDS": '{"search": 7}'}.items():
        monkeypatch.setenv(f"API_{name}", value)
    settings = Settings()
    assert settings.pool_size == 3
    assert settings.cache_ttl_seconds["search"] == 7
    assert set(settings.cache_ttl_seconds) == {"item", "list", "search", "report"}


@pytest.mark.parametrize(
    "values", [{"token_secret": "short"}, {"pool_size": 0}, {"cache_ttl_seconds": {"nonsense": 1}}, {"concurrency": 0}]
)
def test_what_cannot_be_used_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"token_secret": SECRET, **values})


def test_secrets_are_not_shown() -> None:
    settings = Settings.model_validate(
        {"token_secret": SECRET, "database_password": "hidden-1", "redis_password": "hidden-2"}
    )
    shown = f"{settings!r} {settings} {settings.database_url()!r} {settings.database_url()}"
    assert "hidden" not in shown
    assert SECRET not in shown


def test_bad_settings_end_the_server_with_a_sentence_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_TOKEN_SECRET", "short-secret")
    monkeypatch.setenv("API_POOL_SIZE", "0")
    assert main() == 2
    said = capsys.readouterr().err
    assert "API_TOKEN_SECRET" in said
    assert "at least 32" in said
    assert "API_POOL_SIZE" in said
    assert "short-secret" not in said
