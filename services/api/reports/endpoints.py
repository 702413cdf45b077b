"""GET /reports/revenue."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from services.api.answers import bytes_answer
from services.api.catalog import catalog_of
from services.api.openapi import EVERYWHERE, WITH_TOKEN, errors
from services.api.reports import service
from services.api.reports.schemas import RevenueReport
from services.api.users.endpoints import CurrentUser

MAX_DAYS = 365

router = APIRouter(prefix="/reports", tags=["reports"], responses=errors(*EVERYWHERE, *WITH_TOKEN))


@router.get("/revenue", response_model=RevenueReport)
async def revenue(request: Request, user: CurrentUser, days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 30) -> Response:
    """Revenue by category over the last days."""
    return bytes_answer(await service.revenue(catalog_of(request), days))
