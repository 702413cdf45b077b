"""The example of docs/how-to/make-your-service-tunable.md, run as a process against the real servers."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from deploy.servers import ports
from deploy.servers.postgres import Login, Postgres
from deploy.servers.redis import RedisServer
from trimtab.knobs.document import ApiKnobs, KnobsDocument, write

PAGE = Path(__file__).parents[3] / "docs/how-to/make-your-service-tunable.md"
DEADLINE_SECONDS = 40.0
EPOCH = "019b0000-0000-7000-8000-000000000000"


def example(name: str = "example") -> str:
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, f"{PAGE} has no example {name!r}"
    return found[1]


def example_with_answers() -> str:
    """As the page says: in place of the plain install."""
    plain = "tunable.install(app)  #\n"
    assert example().count(plain) == 1
    return example().replace(plain, example("answers"))


async def eventually(holds: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                result = holds()
                if await result if asyncio.iscoroutine(result) else result:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
    pytest.fail(what)


class Service:
    """The example, running."""

    def __init__(self, port: int, metrics_port: int, knobs: Path) -> None:
        self.knobs = knobs
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS, trust_env=False)
        self._metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"

    async def metric(self, series: str) -> float | None:
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_SECONDS) as client:
            text = (await client.get(self._metrics_url)).text
        for line in text.splitlines():
            if line.startswith(f"{series} "):
                return float(line.rsplit(" ", 1)[1])
        return None


@pytest.fixture(params=[example, example_with_answers])
async def service(
    request: pytest.FixtureRequest,
    pooled: Login,
    postgres: Postgres,
    database: str,
    clean_redis: RedisServer,
    tmp_path: Path,
) -> AsyncIterator[Service]:
    postgres.execute(
        "CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL)",
        "INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 100) n",
        "GRANT ALL ON items TO catalog_app",
        database=database,
    )
    (tmp_path / "service.py").write_text(request.param())
    port, metrics_port = ports.draw(), ports.draw()
    environment = os.environ | {
        "DATABASE_URL": pooled.url("postgresql+asyncpg"),
        "REDIS_URL": clean_redis.url,
        "METRICS_PORT": str(metrics_port),
        "TRIMTAB_KNOBS": str(tmp_path / "knobs" / "knobs.json"),
        "POD_UID": "pod-1",
    }
    command = ["-m", "uvicorn", "service:app", "--port", str(port), "--no-proxy-headers", "--log-level", "warning"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=tmp_path, env=environment)
    running = Service(port, metrics_port, tmp_path / "knobs" / "knobs.json")

    async def is_ready() -> bool:
        assert process.returncode is None, "the example ended"
        return (await running.client.get("/readyz")).status_code == 200

    try:
        await eventually(is_ready, "the example is not ready")
        yield running
    finally:
        await running.client.aclose()
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), DEADLINE_SECONDS)


async def test_the_example_serves_caches_and_follows_its_knobs(service: Service) -> None:
    client = service.client
    made, from_memory = [await client.get("/items/7") for _ in range(2)]
    assert made.json() == {"id": 7, "name": "item 7"}
    assert re.fullmatch(r'db;dur=\d+\.\d;desc="1 statement"', made.headers.pop("server-timing"))
    del made.headers["date"], from_memory.headers["date"]
    assert (from_memory.content, from_memory.headers) == (made.content, made.headers)
    assert (await client.get("/items/700")).status_code == 404
    assert await service.metric('trimtab_cache_requests_total{group="item",result="hit",tier="memory"}') == 1
    assert await service.metric("trimtab_slow_statements_total") is not None
    assert await service.metric("trimtab_admission_limit") == 64
    assert (await client.put("/items/7", params={"name": "seven"})).status_code == 200
    assert (await client.get("/items/7")).json()["name"] == "seven"
    assert await service.metric("trimtab_pool_size") == 5
    info = 'trimtab_knobs_info{{epoch="{}",generation="{}",pod_uid="pod-1"}}'
    assert await service.metric(info.format("", 0)) == 1

    knobs = ApiKnobs(pool_size=3, concurrency=9, cache_ttl_seconds={"item": 5, "unknown": 9})
    failed = 0
    stop = asyncio.Event()

    async def read_all_the_time(first: int) -> None:
        nonlocal failed
        number = first
        while not stop.is_set():
            number = number % 100 + 1
            failed += (await client.get(f"/items/{number}")).status_code != 200

    readers = [asyncio.create_task(read_all_the_time(10 * first)) for first in range(6)]
    for generation in range(1, 4):
        size = 3 + generation % 2
        document = KnobsDocument(
            epoch=EPOCH, generation=generation, policy="p", api=knobs.model_copy(update={"pool_size": size})
        )
        write(service.knobs, document)
        series = info.format(EPOCH, generation)
        await eventually(partial(service.metric, series), f"generation {generation} not acknowledged")
        assert await service.metric("trimtab_pool_size") == size
        assert await service.metric("trimtab_pool_draining") == 0
    stop.set()
    await asyncio.gather(*readers)
    assert failed == 0
    assert await service.metric("trimtab_admission_limit") == 9
    assert await service.metric('trimtab_cache_ttl_seconds{group="item"}') == 5
    ok = 'http_request_duration_seconds_count{method="GET",route="/items/{item_id}",status="200"}'
    assert (await service.metric(ok) or 0) > 10


def test_the_example_adds_about_ten_lines() -> None:
    added = [line for line in example().splitlines() if line.rstrip().endswith("#") or "  # after" in line]
    assert len(added) <= 12, added
