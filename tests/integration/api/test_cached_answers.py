"""Answers from memory are the handlers' answers; what statements took is in the header and, when slow, in the log."""

from __future__ import annotations

import asyncio
import logging
import re

import httpx
import pytest

from services.api.settings import Settings
from tests.integration.api.conftest import CatalogClient, running


async def from_handler_and_memory(catalog: CatalogClient, url: str) -> tuple[httpx.Response, httpx.Response]:
    """Twice what is in the cache: of the handler, and while no handler can be asked."""
    async with asyncio.timeout(60):
        while True:
            by_handler = await catalog.http.get(url, headers={"Range": "bytes=0-"})
            async with catalog.app.state.tunable.limiter:
                from_memory = await catalog.http.get(url)
            if from_memory.status_code != 503:  # else the second came so late that Redis had to be asked
                return by_handler, from_memory


async def test_answers_from_memory_are_those_of_the_handlers(settings: Settings) -> None:
    async with running(settings.model_copy(update={"concurrency": 1})) as catalog:
        number = (await catalog.item(await catalog.sign_in(), name="Größe brass lamp"))["id"]
        lists = ["/items", "/items?limit=5&category=lighting", "/items/search?q=brass+lamp"]
        for url in [f"/items/{number}", f"/items/{number + 1}", *lists]:
            made = await catalog.http.get(url)
            assert made.status_code == (404 if url == f"/items/{number + 1}" else 200)
            assert re.fullmatch(r'db;dur=\d+\.\d;desc="1 statement"', made.headers.pop("server-timing")), url
            for answer in await from_handler_and_memory(catalog, url):
                if "server-timing" not in answer.headers:
                    assert answer.headers == made.headers, url
                assert (answer.status_code, answer.content) == (made.status_code, made.content), url
        assert made.json()["items"][0]["id"] == number


async def test_a_write_is_seen_at_once(catalog: CatalogClient) -> None:
    headers = await catalog.sign_in()
    url = f"/items/{(await catalog.item(headers, stock=5))['id']}"
    for stock in (4, 3):
        for _ in range(3):
            assert (await catalog.http.get(url)).json()["stock"] == stock + 1
        await catalog.http.patch(url, json={"stock": stock}, headers=headers)
        assert (await catalog.http.get(url)).json()["stock"] == stock


async def test_slow_statements_are_logged_without_values(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    slow = settings.model_copy(update={"slow_statement_seconds": 1e-9})
    with caplog.at_level(logging.WARNING, "trimtab.slow_statements"):
        async with running(slow) as catalog:
            await catalog.http.get("/items/search?q=hunter2")
    lines = [vars(record) for record in caplog.records if record.name == "trimtab.slow_statements"]
    assert [(line["statement"], line["route"]) for line in lines] == [("items.search", "/items/search")]
    assert lines[0]["duration_seconds"] > 0
    assert "hunter2" not in str(lines)
