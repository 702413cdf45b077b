"""POST /auth/register, POST /auth/token, GET /auth/me."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request
from starlette.responses import Response

from services.api.answers import json_answer
from services.api.catalog import catalog_of
from services.api.users import service
from services.api.users.schemas import Credentials, Token, User

router = APIRouter(prefix="/auth", tags=["users"])

# For the OpenAPI document; the header is read by the service, whose answer says what is wrong.
_bearer = HTTPBearer(auto_error=False)


async def current_user(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
) -> int:
    """The id of the user who asks."""
    return service.user_of(catalog_of(request), request.headers.get("authorization"))


CurrentUser = Annotated[int, Depends(current_user)]


@router.post("/register", status_code=201, response_model=User)
async def register(request: Request, credentials: Credentials) -> Response:
    """Register an address with a password."""
    return json_answer(dict(await service.register(catalog_of(request), credentials)), status=201)


@router.post("/token", response_model=Token)
async def token(request: Request, credentials: Credentials) -> Response:
    """Get a token for an address and its password."""
    issued = await service.token(catalog_of(request), credentials)
    return json_answer(issued.model_dump(), headers={"Cache-Control": "no-store"})


@router.get("/me", response_model=User)
async def me(request: Request, user_id: CurrentUser) -> Response:
    """Who the token says that I am."""
    return json_answer(dict(await service.me(catalog_of(request), user_id)))
