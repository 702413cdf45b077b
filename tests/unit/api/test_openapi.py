"""The document that clients are made from."""

from __future__ import annotations

from services.api.app import create_app
from services.api.settings import Settings

ROUTES = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/auth/register"), ("POST", "/auth/token"), ("GET", "/auth/me"),
    ("GET", "/items"), ("POST", "/items"), ("GET", "/items/search"), ("GET", "/items/{item_id}"),
    ("PATCH", "/items/{item_id}"), ("DELETE", "/items/{item_id}"), ("GET", "/orders"), ("POST", "/orders"),
    ("GET", "/orders/{order_id}"), ("GET", "/reports/revenue"),
}  # fmt: skip


async def test_the_routes_are_these() -> None:
    app = create_app(Settings.model_validate({"token_secret": "a secret of tests, longer than 32 bytes"}))
    document = app.openapi()
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == ROUTES
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert "application/problem+json" in operation["responses"]["4XX"]["content"], f"{method} {path}"
    await app.state.catalog.close()
