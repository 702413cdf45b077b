"""Errors as RFC 9457 problem details. What a client may know is in the problem; the rest goes to the log."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import asyncpg
import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import TimeoutError as CheckoutTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)


class InvalidPart(BaseModel):
    """A part of the request that was not understood. Without its value: that may be a password."""

    location: list[str]
    message: str


class Problem(BaseModel):
    """What every error answer looks like (RFC 9457). Some problems have more members, for example `items`."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[InvalidPart] = []


class ProblemError(Exception):
    """An error that the client is told about as it is. `detail` says what, the limit and the remedy."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.more = more


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """The answer for a status and a sentence."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(orjson.dumps(content), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have every error of `app` answered as a problem."""
    app.add_exception_handler(ProblemError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for error in (CheckoutTimeoutError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
                  asyncpg.TooManyConnectionsError, asyncpg.InterfaceError, asyncpg.InternalClientError,
                  TimeoutError, OSError):  # fmt: skip
        app.add_exception_handler(error, _unavailable)
    app.add_exception_handler(Exception, _unexpected)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101  # what it is registered for
    return problem(error.status, error.detail, headers=error.headers, **error.more)


async def _invalid(request: Request, error: Exception) -> Response:
    """Without the values: one of them may be a password."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [{"location": [str(step) for step in item["loc"]], "message": item["msg"]} for item in error.errors()]
    return problem(422, f"{len(errors)} part(s) of the request are invalid", errors=errors[:20])


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names the methods of the first route of this path only.
        methods = request.app.openapi()["paths"].get(_route(request), {})
        headers["Allow"] = ", ".join(sorted(method.upper() for method in methods)) or headers.get("Allow", "GET")
    return problem(error.status_code, str(error.detail), headers=headers)


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("database unavailable", route=_route(request), error=type(error).__name__)
    # Without Retry-After: by that header clients tell an admission that was refused from a failure like this one.
    return problem(503, "The database does not answer; retry later")


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer, and the server logs it then, with its traceback.
    log.error("unexpected error", route=_route(request), error=type(error).__name__)
    return problem(500, "Something went wrong here; it was logged")


def _route(request: Request) -> str:
    route = request.scope.get("route")
    return str(getattr(route, "path", "unmatched"))
