"""What clients should not send, and what they may: tokens, SQL, alphabets, broken text."""

from __future__ import annotations

import base64
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import jwt
import orjson

from deploy.servers.postgres import Postgres
from services.api.settings import DatabaseSettings
from services.api.users.tokens import ISSUER
from tests.integration.api.conftest import PASSWORD, TOKEN_SECRET, CatalogClient

LATER = datetime(2100, 1, 1, tzinfo=UTC)
EARLIER = datetime.now(UTC) - timedelta(seconds=5)
GOOD = {"iss": ISSUER, "sub": "1", "exp": LATER}

HOSTILE = [
    "'; DROP TABLE items; --",
    '" OR 1=1 --',
    "\\'; SELECT pg_sleep(30); --",
    "$1 %s {0} %(x)s :name ?",
    "/* */ -- ; \\ ''",
    "%_%",
]
ALPHABETS = {
    "combining": "cafe\u0301 lamp",
    "right to left": "\u05de\u05e0\u05d5\u05e8\u05d4 \u200f\u0645\u0635\u0628\u0627\u062d",
    "emoji with joiners": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family",
    "four bytes": "\U00020000\U00020001\U00020002\U0001f4a1",
    "thai": "\u0e42\u0e04\u0e21\u0e44\u0e1f",
    "control and joiner": "a\u200bb\u0007c\u2028d",
}


def token(claims: dict[str, Any], secret: str = TOKEN_SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, secret, algorithm)


def unsigned(algorithm: str) -> str:
    parts = ({"alg": algorithm, "typ": "JWT"}, {**GOOD, "exp": LATER.timestamp()})
    head, claims = (base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in parts)
    return f"{head}.{claims}."


BAD_TOKENS = {
    "expired": token({**GOOD, "exp": EARLIER}),
    "another secret": token(GOOD, "another secret, also longer than 32 bytes"),
    "another issuer": token({**GOOD, "iss": "somebody"}),
    "no issuer": token({"sub": "1", "exp": LATER}),
    "no expiry": token({"iss": ISSUER, "sub": "1"}),
    "no subject": token({"iss": ISSUER, "exp": LATER}),
    "another algorithm": token(GOOD, algorithm="HS512"),
    "none": unsigned("none"),
    "None": unsigned("None"),
    "a subject that is no number": token({**GOOD, "sub": "1 OR 1=1"}),
    "a subject that is no id": token({**GOOD, "sub": "9" * 30}),
    "a negative subject": token({**GOOD, "sub": "-1"}),
    "not valid yet": token({**GOOD, "nbf": LATER}),
    "no token at all": "a.b.c",
    "only dots": "..",
    "long": "x" * 10_000,
}


async def test_a_bad_token_is_a_401_that_says_what_to_do(catalog: CatalogClient) -> None:
    for kind, path in itertools.product(BAD_TOKENS, ("/auth/me", "/orders")):
        refused = await catalog.http.get(path, headers={"Authorization": f"Bearer {BAD_TOKENS[kind]}"})
        assert refused.status_code == 401, kind
        assert "POST /auth/token" in refused.json()["detail"]
        assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_changed_token_and_one_of_somebody_who_is_gone(catalog: CatalogClient) -> None:
    good = (await catalog.sign_in())["Authorization"]
    head, claims, signature = good.split(".")
    padded = claims + "=" * (-len(claims) % 4)
    forged = orjson.dumps({**orjson.loads(base64.urlsafe_b64decode(padded)), "sub": "2"})
    changed = f"{head}.{base64.urlsafe_b64encode(forged).decode().rstrip('=')}.{signature}"
    for authorization in (changed, good[:-4], good.replace("Bearer", "Basic"), "Bearer", "", "Bearer  "):
        assert (await catalog.http.get("/auth/me", headers={"Authorization": authorization})).status_code == 401
    nobody = {"Authorization": f"Bearer {token({**GOOD, 'sub': '999999'})}"}
    assert (await catalog.http.get("/auth/me", headers=nobody)).status_code == 401
    order = {"lines": [{"item_id": (await catalog.item({"Authorization": good}))["id"], "quantity": 1}]}
    ordered = await catalog.http.post("/orders", json=order, headers=nobody)
    assert ordered.status_code == 401, ordered.text


async def test_sql_is_text_in_every_field(catalog: CatalogClient, owner: DatabaseSettings, postgres: Postgres) -> None:
    headers = await catalog.sign_in()
    for text in HOSTILE:
        await _write_and_find(catalog, headers, text)
    counts = postgres.execute("SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM orders)",
                              database=owner.database_name)  # fmt: skip
    assert counts == [(len(HOSTILE), len(HOSTILE))]


async def _write_and_find(catalog: CatalogClient, headers: dict[str, str], text: str) -> None:
    item = await catalog.item(headers, name=text, description=text, category=text)
    assert (item["name"], item["description"], item["category"]) == (text, text, text)
    changed = await catalog.http.patch(f"/items/{item['id']}", json={"description": text * 2}, headers=headers)
    assert changed.json()["description"] == text * 2
    found = await catalog.http.get("/items/search", params={"q": text})
    assert [each["id"] for each in found.json()["items"]] == [item["id"]]
    listed = await catalog.http.get("/items", params={"category": text})
    assert [each["id"] for each in listed.json()["items"]] == [item["id"]]
    address = f"{quote(text, safe='')}'--@example.org"
    assert (await catalog.sign_in(address))["Authorization"]
    guess = await catalog.http.post("/auth/token", json={"email": address, "password": text + PASSWORD})
    assert guess.status_code == 401
    key = {"Idempotency-Key": "".join(text.split()), **headers}
    order = {"lines": [{"item_id": item["id"], "quantity": 1}]}
    assert [(await catalog.http.post("/orders", json=order, headers=key)).status_code for _ in range(2)] == [201, 200]
    for path in (f"/items/{quote(text, safe='')}", f"/orders/{quote(text, safe='')}", f"/items?after={quote(text)}"):
        assert (await catalog.http.get(path, headers=headers)).status_code in (404, 422)


async def test_names_of_every_alphabet_come_back_as_they_were_and_are_found(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    await catalog.item(headers, name="something else")
    for kind, text in ALPHABETS.items():
        item = await catalog.item(headers, name=text, description=text, category=text)
        read = (await catalog.http.get(f"/items/{item['id']}")).json()
        assert (read["name"], read["description"], read["category"]) == (text, text, text), kind
        for path, query in (("/items/search", {"q": text}), ("/items", {"category": text})):
            found = await catalog.http.get(path, params=query)
            assert [each["name"] for each in found.json()["items"]] == [text], kind


async def test_text_that_the_database_cannot_hold_is_refused(catalog: CatalogClient) -> None:
    headers = {**await catalog.sign_in(), "Content-Type": "application/json"}
    for broken in ("\x00", "a\x00b", "\ud800", "a\udfffb", "\udc00\ud800"):
        escaped = "".join(f"\\u{ord(character):04x}" for character in broken)
        for field in ("name", "description", "category"):
            item = {"name": "lamp", "category": "light", "price_cents": 1, field: "VALUE"}
            for method, path, fields in (("POST", "/items", item), ("PATCH", "/items/1", {field: "VALUE"})):
                body = orjson.dumps(fields).replace(b"VALUE", b"lamp" + escaped.encode())
                refused = await catalog.http.request(method, path, content=body, headers=headers)
                assert refused.status_code == 422, (field, escaped)
        for field, value in (("email", f"a{escaped}@example.org"), ("password", f"{escaped}{PASSWORD}")):
            body = orjson.dumps({"email": "b@example.org", "password": PASSWORD, field: "VALUE"})
            body = body.replace(b"VALUE", value.encode())
            for path in ("/auth/register", "/auth/token"):
                refused = await catalog.http.post(path, content=body, headers=headers)
                assert refused.status_code == 422, (field, escaped)
                assert PASSWORD not in refused.text
        raw = quote(broken.encode("utf-8", "surrogatepass"), safe="")
        for path in (f"/items/search?q=lamp{raw}", f"/items?category=lamp{raw}"):
            # Bytes that are no UTF-8 arrive as U+FFFD, which is text like any other.
            assert (await catalog.http.get(path)).status_code == (422 if "\x00" in broken else 200), (path, escaped)


BAD_BODIES = [
    (b"", 422),
    (b"{", 422),
    (b"null", 422),
    (b"[]", 422),
    (b'"text"', 422),
    (b'\xff\xfe{"name": 1}', 400),
    (b"[" * 30_000, 400),
    (b'{"price_cents": ' + b"9" * 10_000 + b"}", 400),
    (b'{"name": "x", "category": "y", "price_cents": NaN}', 422),
    (b'{"name": "x", "category": "y", "price_cents": 1e400}', 422),
    (b'{"name": "x", "category": "y", "price_cents": 1.5}', 422),
    (b'{"name": "x", "category": "y", "price_cents": true}', 422),
    (b'{"name": "x", "category": "y", "price_cents": "1"}', 422),
    (b'{"name": "x", "category": "y", "price_cents": 9223372036854775808}', 422),
    (b'{"name": null, "category": "y", "price_cents": 1}', 422),
    (b'{"name": "x", "category": "y", "price_cents": 1, "__proto__": {}}', 422),
]


async def test_bodies_that_are_no_item_are_refused(catalog: CatalogClient) -> None:
    headers = {**await catalog.sign_in(), "Content-Type": "application/json"}
    for body, status in BAD_BODIES:
        refused = await catalog.http.post("/items", content=body, headers=headers)
        assert refused.status_code == status, body[:80]
        assert refused.headers["content-type"] == "application/problem+json"


async def test_null_is_no_change(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    item = await catalog.item(headers)
    for body in ({"name": None}, {"stock": None, "price_cents": 5}, {}):
        assert (await catalog.http.patch(f"/items/{item['id']}", json=body, headers=headers)).status_code == 422
    assert (await catalog.http.get(f"/items/{item['id']}")).json() == item


async def test_other_kinds_of_content_and_methods_are_refused(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        refused = await catalog.http.post("/items", content=b"name=x", headers={**headers, "Content-Type": kind})
        assert refused.status_code == 422
    refused = await catalog.http.put("/items/1", json={}, headers=headers)
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, PATCH")
    refused = await catalog.http.patch("/items/search", json={}, headers=headers)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert (await catalog.http.get("/nothing")).headers["content-type"] == "application/problem+json"


async def test_an_idempotency_key_is_short_and_visible(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    order = {"lines": [{"item_id": (await catalog.item(headers))["id"], "quantity": 1}]}
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    for key in (b"", b"x" * 256, b"with blank", b"tab\there", "schlüssel".encode("latin-1"), b"\xff\xfe"):
        refused = await catalog.http.post("/orders", json=order, headers=[*sent, (b"Idempotency-Key", key)])
        assert refused.status_code == 422, key
