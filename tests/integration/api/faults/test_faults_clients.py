"""Clients that leave, dawdle or do not listen; a knobs file full of garbage; a log that nobody takes."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio

from deploy.servers import ports
from tests.integration.api.faults.load import Load, until
from tests.integration.api.faults.sockets import connect, connect_deaf, fill, request
from tests.integration.api.faults.stack import ITEMS, POOL_SIZE, Accounts, Stack, Watched, signed_in
from tests.integration.api.server_process import ServerProcess, environment_of, serving
from trimtab.knobs.document import MAX_DOCUMENT_BYTES, ApiKnobs, KnobsDocument

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

EPOCH = "0199e4c5-0000-7000-8000-000000000001"
CONCURRENCY = 8
ANSWERED = 'http_request_duration_seconds_count{method="GET",route="/orders",status="200"}'


def document(generation: int, **knobs: int) -> str:
    api = ApiKnobs.model_validate(knobs)
    return KnobsDocument(epoch=EPOCH, generation=generation, policy="catalog", api=api).to_json()


class KnobsVolume:
    """A directory as the kubelet makes it of a ConfigMap: knobs.json -> ..data/knobs.json, ..data -> a version."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._versions = 0
        self.path = directory / "knobs.json"
        directory.mkdir()
        self.publish(document(1, poolSize=POOL_SIZE, concurrency=CONCURRENCY).encode())
        self.path.symlink_to("..data/knobs.json")

    def publish(self, content: bytes | None) -> None:
        """A new version, swapped in at once; None: without the file."""
        self._versions += 1
        version = self._directory / f"..version_{self._versions}"
        version.mkdir()
        if content is not None:
            (version / "knobs.json").write_bytes(content)
        link = self._directory / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self._directory / "..data")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def volume(tmp_path_factory: pytest.TempPathFactory) -> KnobsVolume:
    return KnobsVolume(tmp_path_factory.mktemp("knobs") / "volume")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(seeded: Stack, volume: KnobsVolume) -> AsyncIterator[Watched]:
    async with serving(seeded.settings(), volume.path) as server:
        yield await signed_in(server)


async def test_a_knobs_file_full_of_garbage(stack: Stack, api: Watched, volume: KnobsVolume) -> None:
    """Under load: no request fails, the last good settings stay, each kind is counted, a good document ends it."""
    good = document(2, poolSize=POOL_SIZE + 1).encode()
    garbage = {
        "empty": b"",
        "part of a document": good[: len(good) // 2],
        "wrong type": good.replace(b'"poolSize":6', b'"poolSize":"many"'),
        "no size at all": good.replace(b'"poolSize":6', b'"poolSize":0'),
        "huge": good + b" " * MAX_DOCUMENT_BYTES,
        "binary": bytes(range(256)) * 4,
        "another shape": b"[1, 2, 3]",
    }
    async with Load(api.url, api.headers, ITEMS) as load:
        for kind, content in garbage.items():
            errors = await api.value("trimtab_knobs_errors_total")
            volume.publish(content)

            async def counted(errors: float = errors) -> bool:
                return await api.value("trimtab_knobs_errors_total") > errors

            await until(counted, f"the error is counted: {kind}")
            assert await api.value("trimtab_pool_size") == POOL_SIZE, kind
        volume.publish(None)
        await load.more(100)
        assert await api.value("trimtab_pool_size") == POOL_SIZE, "a file that vanishes changes nothing"
        volume.publish(good)

        async def in_force() -> bool:
            return await api.value("trimtab_pool_size") == POOL_SIZE + 1

        await until(in_force, "the good document")
    volume.publish(document(3, poolSize=POOL_SIZE, concurrency=CONCURRENCY).encode())
    await until_size(api, POOL_SIZE)
    assert load.book.failures == []
    assert load.book.refused == 0


async def until_size(api: Watched, size: int) -> None:
    async def in_force() -> bool:
        return await api.value("trimtab_pool_size") == size

    await until(in_force, f"a pool size of {size}")


async def test_clients_leave_in_the_middle_of_a_query(stack: Stack, api: Watched) -> None:
    """Reports and an order that wait for locks, and their clients gone: within the statement timeout nothing runs at
    the server any more, no transaction is open, every connection and place is free, and the order is not placed."""
    accounts = Accounts.of(stack)
    blocker = psycopg.connect(stack.postgres.superuser_conninfo(stack.database))
    try:
        blocker.execute("LOCK TABLE order_lines IN ACCESS EXCLUSIVE MODE")
        clients = [await connect(api) for _ in range(POOL_SIZE + 3)]
        for number, (_, writer) in enumerate(clients[:-2]):
            writer.write(request(api, f"GET /reports/revenue?days={number + 1}"))
        for _, writer in clients[-2:]:
            writer.write(request(api, "POST /orders", b'{"lines":[{"item_id":1,"quantity":1}]}'))
        await until(lambda: waiting_for_locks(stack) == POOL_SIZE, "every connection waits for the lock")
        for _, writer in clients:
            writer.transport.abort()
        await until(lambda: waiting_for_locks(stack) == 0, "nobody waits at the server, though the lock is held")
        await api.until_idle()
        assert stack.backends("idle in transaction%") == 0
    finally:
        blocker.close()
    async with Load(api.url, api.headers, ITEMS) as load:
        await load.well(3)
    assert load.book.failures == []
    accounts.assert_balanced(load.book)


@pytest.mark.long
async def test_many_clients_leave_at_any_time(stack: Stack, api: Watched) -> None:
    """Hundreds of requests that are abandoned at random moments, others being served all the while."""
    draw = random.Random(7)
    async with Load(api.url, api.headers, ITEMS, readers=2, writers=0, buyers=1) as load:
        for number in range(150):
            _, writer = await connect(api)
            target = draw.choice(
                (f"GET /reports/revenue?days={number + 1}", f"GET /items?after={number}", "GET /auth/me")
            )
            writer.write(request(api, target))
            await asyncio.sleep(draw.uniform(0, 0.01))
            writer.transport.abort()
        await load.well(3)
    assert load.book.failures == []
    await api.until_idle()
    await until(lambda: stack.backends("active") == 0, "no statement runs")
    assert stack.backends("idle in transaction%") == 0
    clients = [row for row in stack.pgbouncer.console("SHOW CLIENTS") if row["database"] == "catalog"]
    assert len(clients) <= POOL_SIZE


@pytest.mark.long
async def test_clients_that_send_slowly_hold_nobody_up(api: Watched) -> None:
    """More clients than places, each sending its body a byte at a time: others are served meanwhile."""
    dawdlers = [await connect(api) for _ in range(3 * CONCURRENCY)]
    for _, writer in dawdlers:
        writer.write(request(api, "POST /orders", b'{"lines":[{"item_id":1,"quantity":1}]}')[:-30])
    try:
        async with Load(api.url, api.headers, ITEMS) as load:
            await load.well(5)
            for _, writer in dawdlers:
                writer.write(b"1")
            await load.well(5)
        assert load.book.failures == []
        assert load.book.refused == 0
    finally:
        for _, writer in dawdlers:
            writer.transport.abort()
    await api.until_idle()


@pytest.mark.long
async def test_clients_that_do_not_take_their_answers_hold_nobody_up(stack: Stack, api: Watched) -> None:
    """More clients than places, each asking for long answers that no cache has and reading none of them."""
    give_long_answers(stack)
    page = "GET /orders?limit=100"
    async with httpx.AsyncClient(base_url=api.url, headers=api.headers, timeout=30) as http:
        size = len((await http.get("/orders?limit=100")).content)
    answers = 12 * 2**20 // size  # more than the kernel keeps for a client (net.ipv4.tcp_wmem: 4 MB), several times
    deaf = [connect_deaf(api) for _ in range(CONCURRENCY + 2)]
    try:
        await asyncio.gather(*(fill(one, request(api, page) * answers) for one in deaf))
        await until(lambda: is_stuck(api), "the server cannot get rid of another answer")
        assert await api.value(ANSWERED) < answers * len(deaf), "some answers are still to be taken"
        async with Load(api.url, api.headers, ITEMS, readers=4, buyers=1) as load:
            await load.well(5)
            refused = load.book.refused
            await load.more(50)
        assert load.book.failures == []
        assert load.book.refused == refused
    finally:
        for one in deaf:
            one.close()
    await api.until_idle()


@pytest.mark.long
async def test_a_log_that_nobody_reads_any_more(stack: Stack) -> None:
    """stdout and stderr closed at the other end: it goes on serving, through errors that it would log."""
    port, metrics_port = ports.draw(), ports.draw()
    reading, writing = os.pipe()
    environment = {
        **os.environ,
        **environment_of(stack.settings(drain_seconds=0)),
        "API_HOST": "127.0.0.1",
        "API_PORT": str(port),
        "API_METRICS_PORT": str(metrics_port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.api", stdout=writing, stderr=writing, env=environment
    )
    os.close(writing)
    server = ServerProcess(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}")
    try:
        await until(server.ready, "readiness")
        os.close(reading)
        api = await signed_in(server)
        async with Load(api.url, api.headers, ITEMS) as load:
            await load.more(50)
            await asyncio.to_thread(stack.redis.kill)
            await asyncio.to_thread(stack.pgbouncer.kill)
            await load.until_refused(10)
            stack.mend()
            await load.well()
        assert load.book.failures == []
        assert process.returncode is None
        server.terminate()
        assert await server.ended() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def is_stuck(api: Watched) -> bool:
    """Whether orders were answered, and none within a moment."""
    before = await api.value(ANSWERED)
    await asyncio.sleep(2.0)
    return 0 < before == await api.value(ANSWERED)


def give_long_answers(stack: Stack) -> None:
    """A hundred orders of twenty lines for the user of the tests, made without the API."""
    stack.postgres.execute(
        "INSERT INTO orders (user_id, idempotency_key, request_hash, total_cents) "
        "SELECT users.id, 'seed-long-' || n, '', 1 FROM users, generate_series(1, 100) n WHERE email LIKE 'fault@%'",
        "INSERT INTO order_lines (order_id, item_id, quantity, unit_price_cents) "
        "SELECT id, item, 1, 1 FROM orders, generate_series(1, 20) item WHERE idempotency_key LIKE 'seed-long-%'",
        database=stack.database,
    )


def waiting_for_locks(stack: Stack) -> int:
    rows = stack.postgres.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'catalog_app' AND wait_event_type = 'Lock'"
    )
    return int(str(rows[0][0]))
