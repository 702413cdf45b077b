"""Two servers and many clients that want the same at the same moment: nothing is sold twice, nothing ordered twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from deploy.servers.postgres import Postgres
from services.api.settings import DatabaseSettings, Settings
from tests.integration.api.conftest import PASSWORD, CatalogClient, running
from tests.integration.api.server_process import ServerProcess, serving

CLIENTS = 30
PIECES = 7


async def sign_in(http: httpx.AsyncClient) -> dict[str, str]:
    credentials = {"email": "ada@example.org", "password": PASSWORD}
    assert (await http.post("/auth/register", json=credentials)).status_code == 201
    token = (await http.post("/auth/token", json=credentials)).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def created(http: httpx.AsyncClient, headers: dict[str, str], stock: int) -> int:
    item = {"name": "the last ones", "category": "rarities", "price_cents": 100, "stock": stock}
    answer = await http.post("/items", json=item, headers=headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def from_everywhere(
    servers: tuple[ServerProcess, ...], body: dict[str, Any], headers: dict[str, str]
) -> list[httpx.Response]:
    """The same order from clients with a connection of their own each, over all servers, at once."""

    async def one(number: int) -> httpx.Response:
        async with httpx.AsyncClient(base_url=servers[number % len(servers)].url, timeout=60) as http:
            return await http.post("/orders", json=body, headers=headers)

    return await asyncio.gather(*(one(number) for number in range(CLIENTS)))


@pytest.mark.long  # test_orders.py has the same within one process
@pytest.mark.timeout(300)
async def test_the_last_pieces_and_the_same_key_over_two_servers(
    settings: Settings, owner: DatabaseSettings, postgres: Postgres
) -> None:
    async with serving(settings) as one, serving(settings) as other:
        async with httpx.AsyncClient(base_url=one.url, timeout=60) as http:
            headers = await sign_in(http)
            scarce, single = await created(http, headers, PIECES), await created(http, headers, 1)
        wanted = {"lines": [{"item_id": scarce, "quantity": 1}]}
        answers = await from_everywhere((one, other), wanted, headers)
        assert Counter(answer.status_code for answer in answers) == {201: PIECES, 409: CLIENTS - PIECES}

        keyed = {**headers, "Idempotency-Key": "only-once"}
        wanted = {"lines": [{"item_id": single, "quantity": 1}]}
        answers = await from_everywhere((one, other), wanted, keyed)
        assert Counter(answer.status_code for answer in answers) == {201: 1, 200: CLIENTS - 1}
        assert len({answer.content for answer in answers}) == 1

    left = f"SELECT item_id, quantity FROM stock WHERE item_id IN ({scarce}, {single}) ORDER BY item_id"
    assert postgres.execute(left, database=owner.database_name) == [(scarce, 0), (single, 0)]
    sold = "SELECT count(*), sum(quantity) FROM orders JOIN order_lines ON order_id = id"
    assert postgres.execute(sold, database=owner.database_name) == [(PIECES + 1, PIECES + 1)]


async def test_a_wave_of_log_ins_is_told_to_come_back_and_reads_go_on(settings: Settings) -> None:
    narrow = settings.model_copy(update={"password_hash_threads": 1, "password_hash_queue": 2})
    async with running(narrow) as catalog:
        await catalog.sign_in()
        wave = asyncio.gather(*(_log_in(catalog) for _ in range(20)))
        assert (await catalog.http.get("/items")).status_code == 200
        answers = await wave
        seen = Counter(answer.status_code for answer in answers)
        assert seen.keys() == {200, 503}
        assert seen[200] >= 3, "one at a time, two may wait"
        for answer in answers:
            if answer.status_code == 503:
                assert answer.headers["retry-after"] == "1"
                assert answer.headers["content-type"] == "application/problem+json"
        assert (await _log_in(catalog)).status_code == 200


async def _log_in(catalog: CatalogClient) -> httpx.Response:
    return await catalog.http.post("/auth/token", json={"email": "ada@example.org", "password": PASSWORD})
