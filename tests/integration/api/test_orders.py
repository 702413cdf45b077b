"""Orders: never oversold, never placed twice, never half placed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx

from tests.integration.api.conftest import CatalogClient


def lines(*pairs: tuple[int, int]) -> dict[str, Any]:
    return {"lines": [{"item_id": item_id, "quantity": quantity} for item_id, quantity in pairs]}


async def order(
    catalog: CatalogClient, headers: dict[str, str], *pairs: tuple[int, int], key: str | None = None
) -> httpx.Response:
    more = {"Idempotency-Key": key} if key else {}
    return await catalog.http.post("/orders", json=lines(*pairs), headers={**headers, **more})


async def stock(catalog: CatalogClient, item_id: int) -> int:
    return int((await catalog.http.get(f"/items/{item_id}")).json()["stock"])


async def test_an_order_takes_from_the_stock_and_can_be_read_by_its_user_only(catalog: CatalogClient) -> None:
    headers, other = await catalog.sign_in(), await catalog.sign_in("bob@example.org")
    lamp, vase = await catalog.item(headers), await catalog.item(headers, name="vase", price_cents=30)
    await catalog.http.get(f"/items/{lamp['id']}")
    placed = await order(catalog, headers, (vase["id"], 1), (lamp["id"], 2))
    assert placed.status_code == 201, placed.text
    assert placed.json()["total_cents"] == 230
    assert (await catalog.http.get(placed.headers["location"], headers=headers)).json() == placed.json()
    assert (await catalog.http.get(placed.headers["location"], headers=other)).status_code == 404
    assert (await stock(catalog, lamp["id"]), await stock(catalog, vase["id"])) == (3, 4)
    second = await order(catalog, headers, (lamp["id"], 1))
    mine = (await catalog.http.get("/orders", headers=headers, params={"limit": 1})).json()
    assert [each["id"] for each in mine["orders"]] == [second.json()["id"]]
    rest = (await catalog.http.get("/orders", headers=headers, params={"before": mine["next"]})).json()
    assert [each["id"] for each in rest["orders"]] == [placed.json()["id"]]


async def test_the_last_pieces_are_sold_once(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    scarce, other = await catalog.item(headers, stock=3), await catalog.item(headers, stock=1000)
    # In both orders of the lines: a pair that locked in the order of the request would deadlock.
    pairs = [(scarce["id"], 1), (other["id"], 1)]
    answers = await asyncio.gather(
        *(order(catalog, headers, *(pairs if number % 2 else pairs[::-1])) for number in range(24))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 3, 409: 21}
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["items"] == [{"item_id": scarce["id"], "wanted": 1, "left": 0}]
    assert (await stock(catalog, scarce["id"]), await stock(catalog, other["id"])) == (0, 997)
    mine = (await catalog.http.get("/orders", headers=headers, params={"limit": 100})).json()["orders"]
    assert len(mine) == 3, "a refused order leaves nothing"


async def test_the_same_key_places_one_order(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    item = await catalog.item(headers, stock=1)
    answers = await asyncio.gather(*(order(catalog, headers, (item["id"], 1), key="once") for _ in range(6)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 5}
    assert len({answer.text for answer in answers}) == 1
    assert await stock(catalog, item["id"]) == 0
    await catalog.http.delete(f"/items/{item['id']}", headers=headers)
    again = await order(catalog, headers, (item["id"], 1), key="once")
    assert (again.status_code, again.text) == (200, answers[0].text), "even after the item has gone"


async def test_a_key_belongs_to_its_content_and_its_user(catalog: CatalogClient) -> None:
    headers, other = await catalog.sign_in(), await catalog.sign_in("bob@example.org")
    item = await catalog.item(headers)
    assert (await order(catalog, headers, (item["id"], 1), key="k")).status_code == 201
    different = await order(catalog, headers, (item["id"], 2), key="k")
    assert different.status_code == 422
    assert "take a new key" in different.json()["detail"]
    assert (await order(catalog, other, (item["id"], 1), key="k")).status_code == 201


async def test_what_is_not_there_cannot_be_ordered(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    item = await catalog.item(headers)
    missing = await order(catalog, headers, (item["id"], 1), (item["id"] + 1, 1))
    assert missing.status_code == 404
    assert missing.json()["items"] == [item["id"] + 1]
    unusable: list[dict[str, Any]] = [{"lines": []}, lines((1, 0)), lines((1, 1), (1, 1)), {}]
    for bad in unusable:
        assert (await catalog.http.post("/orders", json=bad, headers=headers)).status_code == 422
    assert await stock(catalog, item["id"]) == 5


async def test_the_report_adds_up(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    lamp = await catalog.item(headers, category="lighting", price_cents=100)
    vase = await catalog.item(headers, category="garden", price_cents=30)
    await order(catalog, headers, (lamp["id"], 2), (vase["id"], 1))
    await order(catalog, headers, (vase["id"], 2))
    report = await catalog.http.get("/reports/revenue", params={"days": 7}, headers=headers)
    assert report.json() == {
        "days": 7,
        "categories": [
            {"category": "lighting", "orders": 1, "units": 2, "revenue_cents": 200},
            {"category": "garden", "orders": 2, "units": 3, "revenue_cents": 90},
        ],
    }
