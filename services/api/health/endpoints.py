"""GET /healthz: the process answers. GET /readyz: it can serve and takes new work."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.api.answers import json_answer
from services.api.problems import problem

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Response:
    """Whether the process answers; nothing else, so that a slow database restarts no pod."""
    return json_answer({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether the settings are in force and no drain has begun.

    The database is not asked: all pods share it, and a service without ready pods cannot even say what is wrong.
    """
    if not request.app.state.tunable.ready:
        return problem(503, "The settings are not applied yet, or the pod is draining")
    return json_answer({"status": "ready"})
