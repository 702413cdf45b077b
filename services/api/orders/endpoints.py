"""POST /orders, GET /orders, GET /orders/{order_id}: each for the user of the token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from services.api.answers import json_answer
from services.api.catalog import catalog_of
from services.api.items.schemas import MAX_ID
from services.api.openapi import EVERYWHERE, LOCATION, WITH_BODY, WITH_TOKEN, errors
from services.api.orders import service
from services.api.orders.schemas import NewOrder, Order, Orders
from services.api.users.endpoints import CurrentUser

router = APIRouter(prefix="/orders", tags=["orders"], responses=errors(*EVERYWHERE, *WITH_TOKEN))
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


@router.post(
    "",
    status_code=201,
    response_model=Order,
    responses={
        200: {"model": Order, "description": "Placed before, with the same key", "headers": LOCATION},
        201: {"headers": LOCATION},
        **errors(*WITH_BODY, details={404: "Not in the catalog: items [17]", 409: service.SHORT}),
    },
)
async def place_order(
    request: Request, order: NewOrder, user_id: CurrentUser, idempotency_key: IdempotencyKey = None
) -> Response:
    """Place an order. With an Idempotency-Key it can be sent again safely: 201 the first time, then 200."""
    placed, is_new = await service.place(catalog_of(request), user_id, idempotency_key, order)
    return json_answer(placed, status=201 if is_new else 200, headers={"Location": f"/orders/{placed['id']}"})


@router.get("", response_model=Orders)
async def list_orders(
    request: Request,
    user_id: CurrentUser,
    before: Annotated[int, Query(ge=1, le=MAX_ID)] = MAX_ID,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """My orders, the latest first."""
    return json_answer(await service.page(catalog_of(request), user_id, before, limit))


@router.get("/{order_id}", response_model=Order, responses=errors(details={404: "You have no order 5"}))
async def get_order(
    request: Request, order_id: Annotated[int, Path(ge=1, le=MAX_ID)], user_id: CurrentUser
) -> Response:
    """One of my orders."""
    return json_answer(await service.get(catalog_of(request), user_id, order_id))
