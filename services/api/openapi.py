"""What the OpenAPI document says beside what FastAPI finds by itself: every error of an operation, with an example."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from services.api.problems import MEDIA_TYPE, Problem

_TEXT = {"type": "string"}
_SECONDS = {"type": "integer", "minimum": 1}

# By status: what an example's detail says where an operation has nothing better.
DETAILS = {
    400: "There was an error parsing the body",
    401: "This needs a token: Authorization: Bearer TOKEN (POST /auth/token)",
    408: "The body did not arrive within 10 s; send it faster.",
    413: "The request body has 70000 bytes, the limit is 65536 bytes",
    414: "The URL has 9000 bytes, the limit is 8192 bytes",
    422: "1 part(s) of the request are invalid",
    429: "Too many requests from your address: 120 a minute are allowed; retry after 12 s",
    431: "The headers have 20000 bytes, the limit is 16384 bytes",
    500: "Something went wrong here; it was logged",
    503: "The database does not answer; retry later",
}
EXTENSIONS: dict[int, dict[str, Any]] = {
    422: {"errors": [{"location": ["query", "limit"], "message": "Input should be less than or equal to 100"}]}
}
HEADERS: dict[int, dict[str, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "How to authenticate", "required": True, "schema": _TEXT}},
    429: {
        "Retry-After": {"description": "Seconds until more is allowed", "required": True, "schema": _SECONDS},
        "RateLimit": {"description": "What is left, and when there is more", "required": True, "schema": _TEXT},
        "RateLimit-Policy": {"description": "The limit that was met", "required": True, "schema": _TEXT},
    },
    503: {"Retry-After": {"description": "There when the service is at its limit, not broken", "schema": _SECONDS}},
}

EVERYWHERE = (414, 422, 431, 500, 503)
"""Any operation with parameters may answer so."""
WITH_BODY = (400, 408, 413)
WITH_TOKEN = (401,)

LOCATION = {"Location": {"description": "Where it can be read", "required": True, "schema": _TEXT}}


def errors(*statuses: int, details: Mapping[int, str] | None = None) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, for its `responses`; `details` replace the example's sentence."""
    sentences = {**DETAILS, **(details or {})}
    return {status: _error(status, sentences[status]) for status in sorted({*statuses, *(details or {})})}


def operation_id(route: APIRoute) -> str:
    """The name of the function: short, and unique because a test says so."""
    return route.name


def install(app: FastAPI) -> None:
    """Have `app` publish the document with the schema of problems in it."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            parts = schema.pop("$defs", {})
            made["components"]["schemas"].update({"Problem": schema, **parts})
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _error(status: int, detail: str) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    example = {"type": "about:blank", "title": title, "status": status, "detail": detail, **EXTENSIONS.get(status, {})}
    schema = {"$ref": "#/components/schemas/Problem"}
    described: dict[str, Any] = {
        "description": title,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if status in HEADERS:
        described["headers"] = HEADERS[status]
    return described
