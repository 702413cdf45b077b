"""The database time of a request, and the log of slow statements."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from trimtab.telemetry import SlowStatementLog, TelemetryMiddleware, current, note_statement, watch_engine
from trimtab.telemetry.engine_events import statement_name
from trimtab.telemetry.request import RequestRecord, report_slow_statements

Get = Callable[[str], Awaitable[httpx.Response]]


@pytest.fixture(autouse=True)
def _reports_end() -> Iterator[None]:
    yield
    report_slow_statements(math.inf, None)


@pytest.fixture
def get() -> Get:
    app = FastAPI()
    app.add_middleware(TelemetryMiddleware, registry=CollectorRegistry())

    @app.get("/none")
    async def none() -> None:
        return

    @app.get("/one")
    async def one() -> Response:
        note_statement("items.get", 0.0123)
        return Response(headers={"Server-Timing": "cache;desc=miss"})

    @app.get("/three")
    async def three() -> None:
        await asyncio.gather(*(asyncio.create_task(statement()) for _ in range(3)))

    @app.get("/thread")
    def thread() -> None:
        note_statement("items.get", 0.5)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            await statement()
            yield b"last"

        await statement()
        return StreamingResponse(parts())

    @app.get("/items/{item_id}")
    async def slow(item_id: int) -> None:
        note_statement("items.get", 2.0)

    async def statement() -> None:
        await asyncio.sleep(0)
        note_statement("items.get", 0.002)

    async def call(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.get(path)

    return call


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/none", None),
        ("/missing", None),
        ("/one", 'cache;desc=miss, db;dur=12.3;desc="1 statement"'),
        ("/three", 'db;dur=6.0;desc="3 statements"'),
        ("/thread", 'db;dur=500.0;desc="1 statement"'),
        ("/stream", 'db;dur=2.0;desc="1 statement"'),
    ],
)
async def test_an_answer_tells_its_database_time(get: Get, path: str, value: str | None) -> None:
    assert (await get(path)).headers.get("server-timing") == value
    assert current.get() is None


async def test_a_slow_statement_is_logged_with_its_route(get: Get, caplog: pytest.LogCaptureFixture) -> None:
    SlowStatementLog(0.25).start()
    with caplog.at_level(logging.WARNING):
        await get("/one")
        await get("/items/7")
        note_statement("startup.check", 0.25)
    lines = [record for record in caplog.records if record.name == "trimtab.slow_statements"]
    assert [(line.statement, line.route, line.duration_seconds) for line in lines] == [  # type: ignore[attr-defined]
        ("items.get", "/items/{item_id}", 2.0),
        ("startup.check", None, 0.25),
    ]
    assert "items.get" in lines[0].getMessage()
    assert "/items/{item_id}" in lines[0].getMessage()


def test_a_slow_database_does_not_drown_in_lines(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = SlowStatementLog(0.1, lines=3, window_seconds=10, clock=lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(8):
            log.report("items.get", 1.0, "/items")
        now = 9.9
        log.report("items.get", 1.0, "/items")
        now = 10.0
        log.report("items.get", 1.0, "/items")
        log.report("items.get", 1.0, "/items")
    assert [record.left_out for record in caplog.records] == [0, 0, 0, 6, 0]  # type: ignore[attr-defined]
    assert "6 such lines left out" in caplog.records[3].getMessage()
    assert log.seen == 11


def test_a_threshold_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0, it must be above 0; math\.inf switches"):
        SlowStatementLog(0)


def test_a_record_keeps_its_route_and_not_its_request() -> None:
    scope = {"type": "http", "route": type("Route", (), {"path": "/items/{item_id}"})}
    record = RequestRecord(scope)
    assert record.route == "/items/{item_id}"
    record.where = record.route
    scope.clear()
    assert record.route == "/items/{item_id}"


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("/* items.get */ SELECT id FROM items", "items.get"),
        ("SELECT items.id, items.name FROM items WHERE id = $1", "SELECT items "),
        ('INSERT INTO "order_lines" (id) VALUES ($1)', "INSERT order_lines "),
        ("-- note: hunter2\nUPDATE public.stock SET n = 1", "UPDATE "),
        ("SELECT 'from hunter2' FROM secrets", "SELECT "),
        ("/* ada@example.org */ DELETE FROM users", "DELETE "),
        ("SELECT $$ from hunter2 $$", "SELECT "),
        ("(SELECT 1)", "statement "),
        ("", "statement "),
    ],
)
def test_names_of_statements_hold_no_values(statement: str, name: str) -> None:
    found = statement_name(statement)
    assert found.startswith(name)
    assert "hunter2" not in found
    assert "ada" not in found
    if name.endswith(" "):
        digest = found.removeprefix(name)
        assert len(digest) == 8, found
        int(digest, 16)


def test_the_statements_of_an_engine_are_told() -> None:
    told: list[tuple[str, str | None]] = []
    report_slow_statements(0.0, lambda name, seconds, route: told.append((name, route)))
    engine = create_engine("sqlite://", poolclass=StaticPool)
    watch_engine(engine)
    watch_engine(engine)
    token = current.set(record := RequestRecord({}))
    try:
        with engine.connect() as connection:
            told.clear()
            before = record.statements
            connection.execute(select(1).execution_options(statement_name="one.named"))
            connection.execute(text("/* one.commented */ SELECT 1"))
            with pytest.raises(SQLAlchemyError):
                connection.execute(text("SELECT * FROM nowhere"))
            with pytest.raises(SQLAlchemyError):
                connection.execute(text("SELECT :missing"))
    finally:
        current.reset(token)
        engine.dispose()
    assert [name for name, _ in told[:2]] == ["one.named", "one.commented"]
    assert told[2][0].startswith("SELECT nowhere ")
    assert len(told) == 3
    assert record.statements - before == 3
    assert record.database_seconds > 0
