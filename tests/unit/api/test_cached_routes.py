"""The key read off a plain request is the key that the endpoint comes to: asked of the endpoint itself."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import quote_plus

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from services.api import problems
from services.api.items.cached_routes import CACHED_ROUTES, item_key, page_key, search_key
from services.api.items.endpoints import router
from trimtab.cache import Cache, CacheGroup

NUMBERS = st.one_of(st.integers(-1, 120).map(str), st.sampled_from(["", "007", "1e3", "9" * 18, "9" * 19, "+5", "5_0"]))
WORDS = st.one_of(
    st.sampled_from(["lamp", "brass lamp", " lamp ", "ab", "a" * 100, "a" * 101, "50%", "größe", "a\x00b", "x.y-z_~"]),
    st.text(alphabet="aZ0 -%+&=;\x00ö", max_size=8),
)
RAW = st.sampled_from(["q=brass%20lamp", "q=brass+lamp", "q=%6camp", "q=lamp+", "q=a%2Bb", "limit=5;q=lamp", "q", "&"])


APP = FastAPI()
problems.install(APP)
APP.include_router(router)


def encoded(parameters: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={quote_plus(value, errors='surrogatepass')}" for name, value in parameters)


def queries(*parameters: tuple[str, st.SearchStrategy[str]]) -> st.SearchStrategy[str]:
    one = st.one_of(*(st.tuples(st.just(name), values) for name, values in parameters))
    return st.one_of(st.lists(one, max_size=3).map(encoded), RAW)


async def endpoint_agrees(group: str, key: str, path: str) -> bool:
    """Whether the endpoint finds what is in the cache under this key; there is no database to make it anew."""
    cache = Cache([CacheGroup(group, ttl_seconds=60)])

    async def load() -> bytes:
        return b'"from memory"'

    await cache.get(group, key, load)
    APP.state.catalog = SimpleNamespace(cache=cache, database=None)
    transport = httpx.ASGITransport(APP, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalog") as client:
        answer = await client.get(path)
    return answer.status_code == 200 and answer.content == b'"from memory"'


@settings(max_examples=120, deadline=None)
@given(query=queries(("after", NUMBERS), ("limit", NUMBERS), ("category", WORDS), ("x", NUMBERS)))
async def test_pages(query: str) -> None:
    key = page_key({}, query.encode())
    assert key is None or await endpoint_agrees("list", key, f"/items?{query}")


@settings(max_examples=120, deadline=None)
@given(query=queries(("q", WORDS), ("limit", NUMBERS)))
async def test_searches(query: str) -> None:
    key = search_key({}, query.encode())
    assert key is None or await endpoint_agrees("search", key, f"/items/search?{query}")


@settings(max_examples=60, deadline=None)
@given(item_id=NUMBERS)
async def test_items(item_id: str) -> None:
    key = item_key({"item_id": item_id}, b"")
    assert key is None or await endpoint_agrees("item", key, f"/items/{item_id}")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (item_key({"item_id": "17"}, b""), "17"),
        (item_key({"item_id": "17"}, b"x=1"), None),
        (item_key({"item_id": "017"}, b""), None),
        (item_key({"item_id": "9" * 19}, b""), None),
        (page_key({}, b""), "0:20:"),
        (page_key({}, b"after=40&limit=5&category=lamps"), "40:5:=lamps"),
        (page_key({}, b"limit=101"), None),
        (page_key({}, b"after=1&after=2"), None),
        (search_key({}, b"q=brass+lamp"), "20:brass lamp"),
        (search_key({}, b"q=brass%20lamp&limit=3"), "3:brass lamp"),
        (search_key({}, b"q=ab"), None),
        (search_key({}, b"q=gr%C3%B6%C3%9Fe"), None),
        (search_key({}, b""), None),
    ],
)
def test_plain_requests_have_a_key(key: str | None, expected: str | None) -> None:
    assert key == expected


def test_the_routes_are_those_of_the_endpoints() -> None:
    paths = set(APP.openapi()["paths"])
    assert {route.path for route in CACHED_ROUTES} <= paths
