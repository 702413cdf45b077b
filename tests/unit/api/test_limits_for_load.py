"""What the demo and the e2e tests set for the load generator is what the service reads."""

from __future__ import annotations

import pytest

from deploy import images, stack
from services.api.settings import Settings

REFERENCES = {name: f"registry.example/{name}:1" for name in images.NAMES}


def test_the_stack_of_the_demo_lets_one_address_sign_everybody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    release = stack.stack(REFERENCES, {"api": {"poolSize": 3, "env": {"API_LOG_LEVEL": "debug"}}})
    api = release.values["api"]
    assert (api["poolSize"], api["env"]["API_LOG_LEVEL"]) == (3, "debug"), "given values stay"
    monkeypatch.setenv("API_TOKEN_SECRET", "a secret of tests, longer than 32 bytes")
    for name, value in api["env"].items():
        assert isinstance(value, str), "Helm writes large numbers as 1e+06"
        monkeypatch.setenv(name, value)
    settings = Settings()
    # The demo's closed loop asks for fewer than 100 tokens a second.
    assert min(settings.register_per_minute, settings.token_per_minute, settings.password_tries_per_minute) >= 6000
