"""POST /auth/register, POST /auth/token, GET /auth/me."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request
from starlette.responses import Response

from services.api.answers import json_answer
from services.api.catalog import catalog_of
from services.api.openapi import EVERYWHERE, WITH_BODY, WITH_TOKEN, errors
from services.api.rate_limits import customer_of
from services.api.users import service
from services.api.users.schemas import Credentials, Token, User

router = APIRouter(prefix="/auth", tags=["users"], responses=errors(*EVERYWHERE))

# For the OpenAPI document; the header is read by the service, whose answer says what is wrong.
_bearer = HTTPBearer(auto_error=False)


async def current_user(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
) -> int:
    """The id of the user who asks."""
    return service.user_of(catalog_of(request), request.headers.get("authorization"))


CurrentUser = Annotated[int, Depends(current_user)]


@router.post(
    "/register", status_code=201, response_model=User, responses=errors(*WITH_BODY, 429, details={409: service.TAKEN})
)
async def register(request: Request, credentials: Credentials) -> Response:
    """Register an address with a password."""
    catalog = catalog_of(request)
    headers = await catalog.throttle.registration(_client(request), credentials.email)
    return json_answer(await service.register(catalog, credentials), status=201, headers=headers)


@router.post("/token", response_model=Token, responses=errors(*WITH_BODY, 429, details={401: service.WRONG}))
async def token(request: Request, credentials: Credentials) -> Response:
    """Get a token for an address and its password."""
    catalog, client = catalog_of(request), _client(request)
    headers = await catalog.throttle.sign_in(client, credentials.email)
    issued = await service.token(catalog, credentials)
    await catalog.throttle.signed_in(client, credentials.email)
    return json_answer(issued.model_dump(), headers={"Cache-Control": "no-store", **headers})


@router.get("/me", response_model=User, responses=errors(*WITH_TOKEN))
async def me(request: Request, user_id: CurrentUser) -> Response:
    """Who the token says that I am."""
    return json_answer(await service.me(catalog_of(request), user_id))


def _client(request: Request) -> str:
    """Who is at the other end of the connection. Headers of proxies are not believed: anybody can send them."""
    return customer_of(request.client.host) if request.client else "unknown"
