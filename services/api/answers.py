"""Answers as bytes: encoded once by orjson, or taken from the cache as they are."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/json"


def encode(content: Any) -> bytes:
    """JSON as stored in the cache and sent to clients."""
    return orjson.dumps(content, option=orjson.OPT_UTC_Z)


def json_answer(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(content), status, headers, MEDIA_TYPE)


def bytes_answer(content: bytes) -> Response:
    """JSON that is encoded already."""
    return Response(content, media_type=MEDIA_TYPE)
