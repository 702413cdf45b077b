"""Items: write, read, search, page, cache."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.api.settings import Settings
from tests.integration.api.conftest import CatalogClient, running
from trimtab.cache import Cache


def hits(cache: Cache, group: str) -> int:
    return sum(count for labels, count in cache.stats.requests.items() if labels[0] == group and labels[-1] == "hit")


async def test_create_get_change_delete(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    item = await catalog.item(headers, name="  brass lamp ", description="ä desk's “light”")
    assert item["name"] == "brass lamp"
    url = f"/items/{item['id']}"
    assert (await catalog.http.get(url)).json() == item
    changed = await catalog.http.patch(url, json={"price_cents": 42, "stock": 7}, headers=headers)
    assert changed.status_code == 200
    expected = {**item, "price_cents": 42, "stock": 7, "updated_at": changed.json()["updated_at"]}
    assert changed.json() == expected == (await catalog.http.get(url)).json()
    assert (await catalog.http.delete(url, headers=headers)).status_code == 204
    for answer in (
        await catalog.http.get(url),
        await catalog.http.patch(url, json={"stock": 1}, headers=headers),
        await catalog.http.delete(url, headers=headers),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"There is no item {item['id']}"


async def test_a_created_item_is_seen_by_who_was_told_that_it_does_not_exist(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    first = await catalog.item(headers)
    assert (await catalog.http.get(f"/items/{first['id'] + 1}")).status_code == 404
    second = await catalog.item(headers)
    assert second["id"] == first["id"] + 1
    assert (await catalog.http.get(f"/items/{second['id']}")).status_code == 200


async def test_writing_needs_a_token(catalog: CatalogClient) -> None:
    values = {"name": "x", "category": "y", "price_cents": 1}
    for answer in (
        await catalog.http.post("/items", json=values),
        await catalog.http.patch("/items/1", json={"stock": 1}),
        await catalog.http.delete("/items/1"),
        await catalog.http.post("/orders", json={"lines": [{"item_id": 1, "quantity": 1}]}),
        await catalog.http.get("/reports/revenue"),
    ):
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"price_cents": -1},
        {"stock": 10**9},
        {"name": "a\x00b"},
        {"colour": "red"},
        {"price_cents": "1e3"},
    ],
)
async def test_bad_values_are_refused(catalog: CatalogClient, values: dict[str, Any]) -> None:
    headers = await catalog.sign_in()
    body = {"name": "x", "category": "y", "price_cents": 1, **values}
    assert (await catalog.http.post("/items", json=body, headers=headers)).status_code == 422
    assert (await catalog.http.patch("/items/1", json=values, headers=headers)).status_code == 422


@pytest.mark.parametrize(
    "text",
    ["100% wool", "under_score", "back\\slash", "o'brien; DROP TABLE items; --", "$1 %s {x}", "Überraschungs-Ei",
     "日本語の本", "emoji 🪔 lamp", 'quote " double'],
)  # fmt: skip
async def test_search_takes_every_character_literally(catalog: CatalogClient, text: str) -> None:
    headers = await catalog.sign_in()
    wanted = await catalog.item(headers, name=f"the {text} thing")
    await catalog.item(headers, name="100x wool underXscore backslash lamp thing")
    found = await catalog.http.get("/items/search", params={"q": text})
    assert found.status_code == 200, found.text
    assert [item["id"] for item in found.json()["items"]] == [wanted["id"]]


async def test_search_ignores_case_ranks_and_needs_three_characters(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    worse = await catalog.item(headers, name="lampshades of linen")
    better = await catalog.item(headers, name="a LAMP")
    found = (await catalog.http.get("/items/search", params={"q": "Lamp"})).json()["items"]
    assert [item["id"] for item in found] == [better["id"], worse["id"]]
    for text in ("la", "  la  ", "", "a\x00bc"):
        assert (await catalog.http.get("/items/search", params={"q": text})).status_code == 422


async def test_pages_are_stable_while_items_come_and_go(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    ids = [(await catalog.item(headers, category="ab"[number % 2]))["id"] for number in range(10)]
    seen, after = [], 0
    while True:
        page = (await catalog.http.get("/items", params={"after": after, "limit": 3})).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
        if len(seen) == 3:  # gone before and behind the reader, and one more at the end
            for gone in (ids[0], ids[5]):
                await catalog.http.delete(f"/items/{gone}", headers=headers)
            ids.append((await catalog.item(headers))["id"])
    assert seen == [number for number in ids if number != ids[5]]
    of_category = (await catalog.http.get("/items", params={"category": "b", "limit": 100})).json()
    assert {item["category"] for item in of_category["items"]} == {"b"}
    assert of_category["next"] is None


async def test_a_read_is_a_hit_until_a_write_in_this_or_another_pod(settings: Settings) -> None:
    async with running(settings) as here, running(settings) as there:
        headers = await here.sign_in()
        url = f"/items/{(await here.item(headers))['id']}"
        for _ in range(3):
            assert (await here.http.get(url)).json()["price_cents"] == 100
        assert hits(here.app.state.catalog.cache, "item") == 2
        assert (await there.http.get(url)).json()["price_cents"] == 100
        assert hits(there.app.state.catalog.cache, "item") == 1, "from Redis"
        await here.http.patch(url, json={"price_cents": 7}, headers=headers)
        assert (await here.http.get(url)).json()["price_cents"] == 7
        there.app.state.catalog.cache.clear_memory()  # its in-process tier may be a second behind
        assert (await there.http.get(url)).json()["price_cents"] == 7


async def test_bodies_beyond_the_limit_are_refused(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    body = b'{"name": "' + b"x" * 70_000 + b'", "category": "c", "price_cents": 1}'

    async def streamed() -> Any:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    for content in (body, streamed()):
        refused: httpx.Response = await catalog.http.post("/items", content=content, headers=headers)
        assert refused.status_code == 413
        assert refused.headers["content-type"] == "application/problem+json"
        assert "65536" in refused.json()["detail"]
