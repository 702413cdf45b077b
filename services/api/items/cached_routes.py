"""The items' reads that are answered from memory before the request is validated (trimtab.answers).

A key is read off a request only where it is written as plainly as the endpoint would write it itself, so that both
come to the same key. Leading zeros, escapes, parameters twice or unknown ones: all that is the endpoint's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.responses import Response

from services.api.items import keys, service
from services.api.items.schemas import DEFAULT_PAGE, MAX_PAGE, MIN_QUERY_LENGTH
from services.api.problems import problem
from trimtab.answers import CachedRoute

_ID = re.compile(r"[1-9][0-9]{0,17}")
_AFTER = re.compile(r"0|[1-9][0-9]{0,17}")
_LIMIT = re.compile(r"[1-9][0-9]{0,2}")
_CATEGORY = re.compile(r"[A-Za-z0-9_.~-]{1,64}")
_TEXT = re.compile(r"[A-Za-z0-9_.~-]+(?:(?:\+|%20)[A-Za-z0-9_.~-]+)*")
_MAX_TEXT = 100


def item_key(path: Mapping[str, str], query: bytes) -> str | None:
    """Of GET /items/{item_id}."""
    item_id = path["item_id"]
    return keys.item(int(item_id)) if not query and _ID.fullmatch(item_id) else None


def page_key(path: Mapping[str, str], query: bytes) -> str | None:
    """Of GET /items."""
    given = _plain(query, {"after": _AFTER, "limit": _LIMIT, "category": _CATEGORY})
    if given is None:
        return None
    limit = int(given.get("limit", DEFAULT_PAGE))
    return keys.page(int(given.get("after", 0)), limit, given.get("category")) if limit <= MAX_PAGE else None


def search_key(path: Mapping[str, str], query: bytes) -> str | None:
    """Of GET /items/search."""
    given = _plain(query, {"q": _TEXT, "limit": _LIMIT})
    if given is None or "q" not in given:
        return None
    limit = int(given.get("limit", DEFAULT_PAGE))
    text = given["q"].replace("+", " ").replace("%20", " ")
    return keys.search(text, limit) if limit <= MAX_PAGE and MIN_QUERY_LENGTH <= len(text) <= _MAX_TEXT else None


def _plain(query: bytes, patterns: Mapping[str, re.Pattern[str]]) -> dict[str, str] | None:
    """The parameters, each at most once and written as its pattern says; None where anything else is there."""
    given: dict[str, str] = {}
    for pair in query.decode("ascii").split("&") if query else ():
        name, _, value = pair.partition("=")
        if name in given or name not in patterns or not patterns[name].fullmatch(value):
            return None
        given[name] = value
    return given


def _no_item(path: Mapping[str, str]) -> Response:
    error = service.no_item(int(path["item_id"]))
    return problem(error.status, error.detail)


# Without the report: it is for users only, and who asks is the endpoint's to find out.
CACHED_ROUTES = (
    CachedRoute("/items/{item_id}", "item", item_key, nothing=_no_item),
    CachedRoute("/items", "list", page_key),
    CachedRoute("/items/search", "search", search_key),
)
