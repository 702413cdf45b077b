"""Answers from memory: the same bytes as the handler's, and everything that is not plainly so left to it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry

from trimtab.answers import CachedRoute, RouteFinder
from trimtab.cache import Cache, CacheGroup, Invalidation
from trimtab.knobs.watch import KnobsWatcher
from trimtab.service import Trimtab
from trimtab.telemetry import metric_value

Messages = list[dict[str, Any]]


def item_key(path: Mapping[str, str], query: bytes) -> str | None:
    return None if query else str(int(path["item_id"]))


def no_item(path: Mapping[str, str]) -> Response:
    return Response(json.dumps({"missing": int(path["item_id"])}), 404, media_type="application/problem+json")


ROUTES = (
    CachedRoute("/items/{item_id}", "item", item_key, nothing=no_item),
    CachedRoute("/left/{item_id}", "item", lambda path, query: f"left:{path['item_id']}"),
    CachedRoute("/text", "text", lambda path, query: query.decode(), content_type="text/plain; charset=utf-8"),
)


class Service:
    """A small application with everything installed. `handled` counts what its handlers were asked."""

    def __init__(self, *, root_path: str = "", **settings: Any) -> None:
        self.now = 1_000_000.0
        self.handled: Counter[str] = Counter()
        groups = [
            CacheGroup("item", 30, Invalidation.ON_WRITE, l1_seconds=30, negative_seconds=30),
            CacheGroup("text", 9),
        ]
        self.cache = Cache(groups, audit_share=0.0, clock=lambda: self.now)
        self.tunable = Trimtab(
            cache=self.cache,
            metrics_port=None,
            registry=CollectorRegistry(),
            watcher=KnobsWatcher(None),
            **settings,
        )
        self.app = FastAPI(root_path=root_path)
        self._add_handlers()
        self.tunable.install(self.app, answers=ROUTES)

    def _add_handlers(self) -> None:
        @self.app.api_route("/items/{item_id}", methods=["GET", "HEAD", "POST"])
        async def item(item_id: int) -> Response:
            return await answer("item", str(item_id), item_id, no_item)

        @self.app.get("/left/{item_id}")
        async def left(item_id: int) -> Response:
            return await answer("item", f"left:{item_id}", item_id, no_item)

        @self.app.get("/text")
        async def text() -> Response:
            self.handled["text"] += 1
            return Response(await self.cache.get("text", "", text_of), media_type="text/plain")

        async def text_of() -> bytes:
            return "Grüße".encode()

        async def answer(group: str, key: str, item_id: int, nothing: Any) -> Response:
            async def load() -> bytes | None:
                return None if item_id >= 404 else json.dumps({"id": item_id}).encode()

            self.handled[key] += 1
            body = await self.cache.get(group, key, load)
            return nothing({"item_id": item_id}) if body is None else Response(body, media_type="application/json")

    async def ask(
        self, path: str, *headers: tuple[bytes, bytes], method: str = "GET", query: bytes = b"", root_path: str = ""
    ) -> Messages:
        """The messages as the server gets them."""
        messages: Messages = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            messages.append(dict(message))

        scope = {
            "type": "http", "http_version": "1.1", "asgi": {"version": "3.0"}, "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query, "root_path": root_path,
            "headers": [(b"host", b"service"), *headers], "client": ("10.0.0.1", 1), "server": ("10.0.0.2", 80),
        }  # fmt: skip
        await self.app(scope, receive, send)
        return messages

    def counted(self, **labels: str) -> float | None:
        return metric_value(self.tunable.registry, "http_request_duration_seconds_count", labels)


@pytest.mark.parametrize(
    ("path", "key"), [("/items/7", "7"), ("/items/404", "404"), ("/text", "text"), ("/left/7", "left:7")]
)
async def test_the_same_messages_come_from_memory_as_from_the_handler(path: str, key: str) -> None:
    service = Service()
    from_handler = await service.ask(path)
    assert await service.ask(path) == from_handler
    assert service.handled[key] == 1, "the second answer was not from memory"
    status = "404" if path == "/items/404" else "200"
    template = path if path == "/text" else f"/{path.split('/')[1]}/{{item_id}}"
    assert service.counted(method="GET", route=template, status=status) == 2


async def test_nothing_without_an_answer_of_its_own_is_left_to_the_handler() -> None:
    service = Service()
    from_handler = await service.ask("/left/404")
    assert await service.ask("/left/404") == from_handler
    assert service.handled["left:404"] == 2


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("/items/7", {"method": "HEAD"}),
        ("/items/7", {"method": "POST"}),
        ("/items/7", {"query": b"pretty=1"}),
        ("/items/07x", {}),
        ("/items/7/", {}),
        ("/items/7/8", {}),
        ("/items/", {}),
        ("/itemss/7", {}),
    ],
)
async def test_odd_requests_are_the_handlers(path: str, how: dict[str, Any]) -> None:
    bare, service = Service(), Service()
    bare.app = FastAPI(root_path="")
    bare._add_handlers()
    await service.ask("/items/7")
    await bare.cache.get("item", "7", _seven)
    assert await service.ask(path, **how) == await bare.ask(path, **how)
    assert service.handled == bare.handled + Counter({"7": 1})


@pytest.mark.parametrize(
    "header", [b"if-none-match", b"if-modified-since", b"range", b"content-length", b"transfer-encoding", b"origin"]
)
async def test_conditional_and_other_odd_headers_are_the_handlers(header: bytes) -> None:
    service = Service()
    for _ in range(2):
        await service.ask("/items/7", (header, b"1"))
    await service.ask("/items/7", (b"accept", b"*/*"), (b"authorization", b"Bearer x"))
    assert service.handled["7"] == 2


async def test_what_has_expired_or_was_invalidated_is_made_anew() -> None:
    service = Service()
    for _ in range(2):
        await service.ask("/items/7")
    await service.cache.invalidate("item", "7")
    await service.ask("/items/7")
    assert service.handled["7"] == 2
    service.now += 31
    await service.ask("/items/7")
    assert service.handled["7"] == 3


async def test_an_answer_from_memory_takes_no_place_of_admission() -> None:
    service = Service(concurrency=1)
    await service.ask("/items/7")
    async with service.tunable.limiter:
        assert (await service.ask("/items/7"))[0]["status"] == 200
        assert (await service.ask("/items/8"))[0]["status"] == 503
    assert service.handled == {"7": 1}


async def test_a_drain_closes_the_connections_of_answers_from_memory_too() -> None:
    service = Service()
    await service.ask("/items/7")
    service.tunable.drain.begin()
    assert (b"connection", b"close") in (await service.ask("/items/7"))[0]["headers"]
    assert service.handled["7"] == 1


async def test_the_prefix_of_a_proxy_is_no_part_of_the_template() -> None:
    service = Service()
    first = await service.ask("/shop/items/7", root_path="/shop")
    assert first[0]["status"] == 200
    assert await service.ask("/shop/items/7", root_path="/shop") == first
    assert service.handled["7"] == 1


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/items/search", ("/items/search", {})),
        ("/items/7", ("/items/{item_id}", {"item_id": "7"})),
        ("/shops/a b/items/ä", ("/shops/{shop}/items/{item:int}", {"shop": "a b", "item": "ä"})),
        ("/shops//items/1", None),
        ("/shops/1/items/2/3", None),
        ("/v1.0/x", ("/v1.0/{name:str}", {"name": "x"})),
        ("/v1_0/x", None),
        ("", None),
    ],
)
def test_templates_match_whole_segments(path: str, found: tuple[str, dict[str, str]] | None) -> None:
    templates = ["/items/{item_id}", "/items/search", "/shops/{shop}/items/{item:int}", "/v1.0/{name:str}"]
    finder = RouteFinder([CachedRoute(template, "item", item_key) for template in templates])
    match = finder.find(path)
    assert (None if match is None else (match[0].path, match[1])) == found


def test_mistakes_in_routes_are_named() -> None:
    app = FastAPI()
    with pytest.raises(ValueError, match=r"/a/\{b:path\} has the segment '\{b:path\}'; a parameter must be a whole"):
        RouteFinder([CachedRoute("/a/{b:path}", "item", item_key)])
    tunable = Trimtab(metrics_port=None, registry=CollectorRegistry(), watcher=KnobsWatcher(None))
    with pytest.raises(RuntimeError, match="need a cache"):
        tunable.install(app, answers=ROUTES)
    service = Service()
    service.tunable.install(app, answers=[CachedRoute("/a", "itme", item_key)])
    with pytest.raises(ValueError, match=r"/a names the group 'itme'; declared are \['item', 'text'\]"):
        app.build_middleware_stack()


async def _seven() -> bytes:
    return b'{"id": 7}'
