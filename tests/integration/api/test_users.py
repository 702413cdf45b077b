"""Register, token, me."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.api.users.tokens import Tokens
from tests.integration.api.conftest import PASSWORD, TOKEN_SECRET, CatalogClient


async def test_a_registered_user_gets_a_token_that_says_who_he_is(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in("Ada@Example.org")
    me = await catalog.http.get("/auth/me", headers=headers)
    assert me.status_code == 200
    assert me.json()["email"] == "ada@example.org"
    assert set(me.json()) == {"id", "email", "created_at"}


async def test_an_address_is_registered_once_even_at_the_same_moment(catalog: CatalogClient) -> None:
    credentials = {"email": "twice@example.org", "password": PASSWORD}
    answers = await asyncio.gather(*(catalog.http.post("/auth/register", json=credentials) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


@pytest.mark.parametrize(("email", "password"), [("ada@example.org", "wrong horse"), ("nobody@example.org", PASSWORD)])
async def test_wrong_password_and_unknown_address_get_the_same_answer(
    catalog: CatalogClient, email: str, password: str
) -> None:
    await catalog.sign_in()
    refused = await catalog.http.post("/auth/token", json={"email": email, "password": password})
    assert refused.status_code == 401
    assert refused.json()["detail"] == "Address or password is wrong"


async def test_bad_tokens_are_refused_with_the_remedy(catalog: CatalogClient) -> None:
    good = (await catalog.sign_in())["Authorization"].removeprefix("Bearer ")
    head, claims, signature = good.split(".")
    expired = Tokens(TOKEN_SECRET, 60).issue(1, datetime.now(UTC) - timedelta(hours=1))
    bad = {
        "tampered": f"{head}.{claims[:-2]}AA.{signature}",
        "foreign": Tokens("another secret of more than 32 bytes", 60).issue(1),
        "unsigned": f"eyJhbGciOiJub25lIn0.{claims}.",
        "nonsense": "nonsense",
        "expired": expired,
    }
    for kind, token in bad.items():
        refused = await catalog.http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401, kind
        assert "POST /auth/token" in refused.json()["detail"]
        assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert ("expired" in refused.json()["detail"]) == (kind == "expired")
    assert (await catalog.http.get("/auth/me")).status_code == 401


async def test_an_invalid_request_is_a_problem_that_repeats_no_password(catalog: CatalogClient) -> None:
    refused = await catalog.http.post("/auth/register", json={"email": "nonsense", "password": "sh0rt!"})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert "sh0rt!" not in refused.text
    assert {tuple(error["location"]) for error in refused.json()["errors"]} == {("body", "email"), ("body", "password")}
