"""The items: list, search, get, create, change, delete. Reading needs no token, writing does."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.api.answers import bytes_answer, json_answer
from services.api.catalog import catalog_of
from services.api.items import service
from services.api.items.schemas import (
    DEFAULT_PAGE,
    MAX_ID,
    MAX_PAGE,
    Category,
    Found,
    Item,
    ItemChange,
    NewItem,
    Page,
    SearchText,
)  # fmt: skip
from services.api.openapi import EVERYWHERE, LOCATION, WITH_BODY, WITH_TOKEN, errors
from services.api.users.endpoints import CurrentUser

NO_ITEM = {404: "There is no item 17"}

router = APIRouter(prefix="/items", tags=["items"], responses=errors(*EVERYWHERE))
Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.get("", response_model=Page)
async def list_items(
    request: Request,
    after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    limit: Limit = DEFAULT_PAGE,
    category: Annotated[Category | None, Query()] = None,
) -> Response:
    """The items after an id, in the order of their ids."""
    return bytes_answer(await service.page(catalog_of(request), after, limit, category))


@router.get("/search", response_model=Found)
async def search_items(request: Request, q: Annotated[SearchText, Query()], limit: Limit = DEFAULT_PAGE) -> Response:
    """Items whose name contains the text, best match first."""
    return bytes_answer(await service.search(catalog_of(request), q, limit))


@router.api_route("/search", methods=["PATCH", "DELETE"], include_in_schema=False)
async def search_cannot_be_changed() -> None:
    """Otherwise `search` would be an item's id that is no number."""
    raise HTTPException(405)


@router.get("/{item_id}", response_model=Item, responses=errors(details=NO_ITEM))
async def get_item(request: Request, item_id: Id) -> Response:
    """One item."""
    return bytes_answer(await service.get(catalog_of(request), item_id))


@router.post(
    "",
    status_code=201,
    response_model=Item,
    responses={201: {"headers": LOCATION}, **errors(*WITH_BODY, *WITH_TOKEN)},
)
async def create_item(request: Request, item: NewItem, user: CurrentUser) -> Response:
    """A new item with its stock."""
    created = await service.create(catalog_of(request), item)
    return json_answer(created, status=201, headers={"Location": f"/items/{created.id}"})


@router.patch("/{item_id}", response_model=Item, responses=errors(*WITH_BODY, *WITH_TOKEN, details=NO_ITEM))
async def change_item(request: Request, item_id: Id, change: ItemChange, user: CurrentUser) -> Response:
    """Change some fields of an item."""
    return json_answer(await service.change(catalog_of(request), item_id, change))


@router.delete("/{item_id}", status_code=204, response_class=Response, responses=errors(*WITH_TOKEN, details=NO_ITEM))
async def delete_item(request: Request, item_id: Id, user: CurrentUser) -> Response:
    """Take an item out of the catalog. Orders go on naming it."""
    await service.remove(catalog_of(request), item_id)
    return Response(status_code=204)
