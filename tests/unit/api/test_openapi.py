"""The document that clients are made from: complete, with an example for everything, each valid by its own schema."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema_rs
import pytest

from services.api.app import create_app
from services.api.problems import MEDIA_TYPE
from services.api.settings import Settings

# By operation: the statuses that it answers. 414, 431 and 500 come with all of them, 422 and 503 with all but health.
STATUSES = {
    "healthz": (200,),
    "readyz": (200, 503),
    "register": (201, 400, 408, 409, 413, 429),
    "token": (200, 400, 401, 408, 413, 429),
    "me": (200, 401),
    "list_items": (200,),
    "search_items": (200,),
    "get_item": (200, 404),
    "create_item": (201, 400, 401, 408, 413),
    "change_item": (200, 400, 401, 404, 408, 413),
    "delete_item": (204, 401, 404),
    "place_order": (200, 201, 400, 401, 404, 408, 409, 413),
    "list_orders": (200, 401),
    "get_order": (200, 401, 404),
    "revenue": (200, 401),
}
ROUTES = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/auth/register"), ("POST", "/auth/token"), ("GET", "/auth/me"),
    ("GET", "/items"), ("POST", "/items"), ("GET", "/items/search"), ("GET", "/items/{item_id}"),
    ("PATCH", "/items/{item_id}"), ("DELETE", "/items/{item_id}"), ("GET", "/orders"), ("POST", "/orders"),
    ("GET", "/orders/{order_id}"), ("GET", "/reports/revenue"),
}  # fmt: skip


@pytest.fixture
async def document() -> AsyncIterator[dict[str, Any]]:
    app = create_app(Settings.model_validate({"token_secret": "a secret of tests, longer than 32 bytes"}))
    yield app.openapi()
    await app.state.catalog.close()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def examples(document: dict[str, Any], media: dict[str, Any]) -> list[Any]:
    """Of a media type: its own, or those of the schema that it names."""
    if "example" in media:
        return [media["example"]]
    name = media["schema"]["$ref"].removeprefix("#/components/schemas/")
    found: list[Any] = document["components"]["schemas"][name].get("examples", [])
    return found


async def test_the_routes_are_these(document: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(document)} == ROUTES


async def test_operations_have_names_of_their_own_and_say_what_they_do(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert sorted(names) == sorted(STATUSES), "each once"
    assert all(operation["description"] for _, _, operation in operations(document))


async def test_every_operation_names_its_statuses(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        name = operation["operationId"]
        is_health = path in ("/healthz", "/readyz")
        wanted = {*STATUSES[name], 414, 431, 500, *(() if is_health else (422, 503))}
        assert set(map(int, operation["responses"])) == wanted, name


async def test_every_body_and_answer_has_an_example_that_is_valid(document: dict[str, Any]) -> None:
    seen = 0
    for _, path, operation in operations(document):
        described = [operation["requestBody"]] if "requestBody" in operation else []
        described += [answer for status, answer in operation["responses"].items() if status != "204"]
        for one in described:
            for kind, media in one["content"].items():
                given = examples(document, media)
                assert given, f"{path} {kind} has no example"
                validator = jsonschema_rs.validator_for({**media["schema"], "components": document["components"]})
                for example in given:
                    validator.validate(example)
                    seen += 1
    assert seen > 100


async def test_errors_are_problems_and_say_so_in_their_example(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == [MEDIA_TYPE], f"{path} {status}"
                example = answer["content"][MEDIA_TYPE]["example"]
                assert example["status"] == int(status)
                assert example["detail"]


async def test_what_needs_a_token_says_so(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        needs_token = 401 in STATUSES[operation["operationId"]] and operation["operationId"] != "token"
        assert ("security" in operation) == needs_token, operation["operationId"]
