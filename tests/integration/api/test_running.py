# ruff: noqa: ASYNC110  # what is waited for happens in another process
"""The server as a process: knobs while it runs, a stop that loses nothing, what it says about itself."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from deploy.servers.postgres import Postgres
from deploy.servers.redis import RedisServer
from services.api.seed import seed
from services.api.settings import DatabaseSettings, Settings
from tests.integration.api.conftest import PASSWORD
from tests.integration.api.server_process import ServerProcess, serving
from tests.integration.api.service_proxy import service_of
from trimtab.knobs.document import ApiKnobs, KnobsDocument, write

EPOCH = "0199e4c5-0000-7000-8000-000000000001"
WAIT_SECONDS = 60.0
SEEDED = 500


def document(generation: int, **knobs: object) -> KnobsDocument:
    api = ApiKnobs.model_validate(knobs)
    return KnobsDocument(epoch=EPOCH, generation=generation, policy="catalog", api=api)


def value(metrics: str, series: str) -> float | None:
    found = re.search(rf"^{re.escape(series)} (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else None


async def until_acknowledged(server: ServerProcess, generation: int) -> str:
    series = f'trimtab_knobs_info{{epoch="{EPOCH}",generation="{generation}",pod_uid="pod-of-the-test"}}'
    async with asyncio.timeout(WAIT_SECONDS):
        while value(metrics := await server.metrics(), series) != 1:
            await asyncio.sleep(0.1)
    return metrics


class Load:
    """Keep-alive clients that read, search, list and, where they are signed in, order; failures are kept.

    Each sends to the server that `choose` names, and sends nothing twice.
    """

    def __init__(self, choose: Callable[[], str], *, clients: int = 8, headers: dict[str, str] | None = None) -> None:
        self._choose = choose
        self._headers = headers
        self._stopping = False
        self.clients = clients
        self.answered = 0
        self.ordered = 0
        self.failures: list[str] = []
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(clients)]

    async def until(self, answered: int) -> None:
        """Until so many more were answered."""
        goal = self.answered + answered
        async with asyncio.timeout(WAIT_SECONDS):
            while self.answered < goal:
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _run(self, number: int) -> None:
        async with httpx.AsyncClient(timeout=30, headers=self._headers) as http:
            while not self._stopping:
                number += 1
                try:
                    answer = await self._send(http, number)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    await asyncio.sleep(0.05)
                    continue
                if not answer.is_success:
                    self.failures.append(f"{answer.status_code} {answer.text}")
                self.answered += 1
                self.ordered += answer.status_code == 201

    async def _send(self, http: httpx.AsyncClient, number: int) -> httpx.Response:
        item = number % SEEDED + 1
        if self._headers and number % 4 == 0:
            body = {"lines": [{"item_id": item, "quantity": 1}]}
            return await http.post(f"{self._choose()}/orders", json=body)
        path = (f"/items/{item}", f"/items?after={item}", "/items/search?q=brass")[number % 3]
        return await http.get(self._choose() + path)


@pytest.mark.timeout(300)
async def test_knobs_change_while_it_serves(
    settings: Settings, owner: DatabaseSettings, postgres: Postgres, tmp_path: Path
) -> None:
    await seed(owner, SEEDED)
    knobs = tmp_path / "knobs.json"
    write(knobs, document(1, poolSize=3, concurrency=20, cacheTTLSeconds={"search": 1, "list": 1, "item": 1}))
    async with serving(settings, knobs) as server:
        metrics = await until_acknowledged(server, 1)
        assert value(metrics, "trimtab_pool_size") == 3, "in force from the first request"
        assert value(metrics, "trimtab_admission_limit") == 20
        load = Load(lambda: server.url)
        await load.until(50)
        for generation, size in enumerate((1, 8, 2, 6), start=2):
            write(knobs, document(generation, poolSize=size, cacheTTLSeconds={"search": 10 * size}))
            metrics = await until_acknowledged(server, generation)
            assert value(metrics, "trimtab_pool_size") == size
            assert value(metrics, 'trimtab_cache_ttl_seconds{group="search"}') == 10 * size
            assert value(metrics, 'trimtab_cache_ttl_seconds{group="report"}') == 30, "absent: the setting"
            await load.until(50)
        knobs.write_text("{garbage")
        async with asyncio.timeout(WAIT_SECONDS):
            while not value(metrics := await server.metrics(), "trimtab_knobs_errors_total"):
                await asyncio.sleep(0.1)
        assert value(metrics, "trimtab_pool_size") == 6
        await load.stop()
        assert load.failures == []


@pytest.mark.timeout(300)
async def test_a_rolling_restart_loses_no_request(
    settings: Settings, owner: DatabaseSettings, postgres: Postgres
) -> None:
    """Reads and orders go on over connections that stay with their server until it closes them, and none fails."""
    await seed(owner, SEEDED)
    orders = "SELECT count(*) FROM orders WHERE idempotency_key LIKE 'server-%'"
    async with serving(settings, API_DRAIN_SECONDS="5") as old, service_of(old) as service:
        load = Load(lambda: service.url, headers=await signed_in(old))
        await load.until(50)
        async with serving(settings) as new:
            service.servers.append(new)
            async with asyncio.timeout(WAIT_SECONDS):
                while new not in service.endpoints:
                    await asyncio.sleep(0.05)
            old.terminate()
            async with asyncio.timeout(WAIT_SECONDS):
                while await old.ready():
                    await asyncio.sleep(0.05)
            assert old.process.returncode is None, "it still answers"
            async with httpx.AsyncClient() as http:
                answer = await http.get(f"{old.url}/items/1")
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            async with asyncio.timeout(WAIT_SECONDS):
                while not service.connections[new.url]:
                    await asyncio.sleep(0.01)
            assert old.process.returncode is None, "the new one serves while the old one drains"
            assert await old.ended() == 0
            await load.until(50)
            await load.stop()
            assert load.failures == []
            assert service.connections[new.url] >= load.clients
            counted = postgres.execute(orders, database=owner.database_name)
            assert counted == [(load.ordered,)], "each order that was answered was placed, once"
            assert load.ordered > 10


async def signed_in(server: ServerProcess) -> dict[str, str]:
    credentials = {"email": "load@example.org", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        assert (await http.post("/auth/register", json=credentials)).status_code == 201
        token = (await http.post("/auth/token", json=credentials)).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.timeout(300)
async def test_it_says_what_the_contract_names(settings: Settings, owner: DatabaseSettings, postgres: Postgres) -> None:
    await seed(owner, SEEDED)
    async with serving(settings, TRIMTAB_CPU_LIMIT_MILLICORES="500") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            for _ in range(2):
                assert (await http.get("/items/7")).status_code == 200
            credentials = {"email": f"{uuid.uuid4().hex}@example.org", "password": PASSWORD}
            await http.post("/auth/register", json=credentials)
            token = (await http.post("/auth/token", json=credentials)).json()["access_token"]
            body = {"lines": [{"item_id": 7, "quantity": 1}]}
            ordered = await http.post("/orders", json=body, headers={"Authorization": f"Bearer {token}"})
            assert ordered.status_code == 201
        metrics = await server.metrics()
        for series in (
            'http_request_duration_seconds_count{method="GET",route="/items/{item_id}",status="200"}',
            "trimtab_pool_size", "trimtab_pool_draining", "trimtab_pool_checked_out",
            "trimtab_pool_checkout_seconds_count", "trimtab_pool_timeouts_total",
            "trimtab_admission_limit", "trimtab_admission_in_flight",
            'trimtab_admission_rejected_total{reason="full"}',
            'trimtab_cache_requests_total{group="item",result="hit",tier="memory"}',
            'trimtab_cache_fill_seconds_count{group="item"}', 'trimtab_cache_writes_total{group="item"}',
            'trimtab_cache_ttl_seconds{group="list"}', 'trimtab_cache_bytes{group="item"}',
            'trimtab_cache_group_info{group="item",invalidation="OnWrite",tables="items,stock"}',
            'trimtab_cache_group_info{group="search",invalidation="None",tables="items"}',
            'trimtab_knobs_info{epoch="",generation="0",pod_uid="pod-of-the-test"}', "trimtab_knobs_errors_total",
            "process_cpu_seconds_total", "trimtab_cpu_limit_cores",
        ):  # fmt: skip
            assert value(metrics, series) is not None, f"{series} is missing in\n{metrics}"
        statements = postgres.execute(
            "SELECT query, calls FROM pg_stat_statements WHERE userid = 'catalog_app'::regrole", database="catalog"
        )
        names = {str(text).split("*/")[0].strip("/* ") for text, _ in statements}
        assert {"items.get", "users.insert", "orders.lock_stock", "orders.take"} <= names


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_reads_survive_redis(settings: Settings, owner: DatabaseSettings, redis_server: RedisServer) -> None:
    await seed(owner, SEEDED)
    async with serving(settings, API_REDIS_PORT="9") as server:  # where nobody listens
        load = Load(lambda: server.url)
        await load.until(60)
        await load.stop()
        assert load.failures == []
