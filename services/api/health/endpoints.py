"""GET /healthz: the process answers. GET /readyz: it can serve and takes new work."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from services.api.answers import json_answer
from services.api.openapi import errors
from services.api.problems import problem

NOT_READY = "The settings are not applied yet, or the pod is draining"

router = APIRouter(tags=["health"], responses=errors(414, 431, 500))


class Alive(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"]


class Ready(BaseModel):
    """The service takes new work."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})

    status: Literal["ready"]


@router.get("/healthz", response_model=Alive)
async def healthz() -> Response:
    """Whether the process answers; nothing else, so that a slow database restarts no pod."""
    return json_answer({"status": "ok"})


@router.get("/readyz", response_model=Ready, responses=errors(details={503: NOT_READY}))
async def readyz(request: Request) -> Response:
    """Whether the settings are in force and no drain has begun.

    The database is not asked: all pods share it, and a service without ready pods cannot even say what is wrong.
    """
    if not request.app.state.tunable.ready:
        return problem(503, NOT_READY)
    return json_answer({"status": "ready"})
