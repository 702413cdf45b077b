"""GETs whose answer is in this process's memory, answered before admission and routing.

An answer that is bytes already needs no route to be found, no parameters to be validated and no place of admission,
because it does no work; what it must be is the same answer. So a route says how its handler's key follows from the
path and the query string, and whatever is not plainly so (an odd number, an unknown parameter, a conditional request)
goes on to the application, which also makes every answer that is not in memory.

    def item_key(path_parameters: Mapping[str, str], query_string: bytes) -> str | None:
        item_id = path_parameters["item_id"]
        return item_id if item_id.isascii() and item_id.isdigit() and item_id[0] != "0" else None

    tunable.install(app, answers=[CachedRoute("/items/{item_id}", "item", item_key)])

Only for answers that everybody may have: the handler's dependencies (a user, a header) are not asked, and middleware
that the application has of its own is not passed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from trimtab.cache import Cache

Key = Callable[[Mapping[str, str], bytes], str | None]
"""key(path_parameters, query_string): the key that the handler uses, None to leave the request to it."""

ODD_HEADERS = frozenset(
    {
        b"content-length", b"transfer-encoding", b"expect",  # a GET with a body
        b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since",
        b"origin",  # an answer to another origin needs headers of its own
    }
)  # fmt: skip
"""Requests with one of these are left to the application."""


@dataclass(frozen=True, slots=True)
class CachedRoute:
    """A GET route whose handler answers 200 with the cache's bytes.

    `path` is the handler's template; each of its parameters is a whole segment. `key` gets the segments percent-decoded
    and the query string as it was sent; a ValueError of it means None. `content_type` is the header as the handler
    sends it. `nothing` makes the handler's answer for what is known not to exist; without it, the handler is asked.
    """

    path: str
    group: str
    key: Key
    content_type: str = "application/json"
    nothing: Callable[[Mapping[str, str]], Response] | None = None


class AnswersMiddleware:
    """Pure ASGI: what `cache` may answer from memory is sent at once, everything else goes on to `app`.

    Put it inside the telemetry, which counts it under the route's template, and outside of the admission.
    """

    def __init__(self, app: ASGIApp, *, cache: Cache, routes: Sequence[CachedRoute]) -> None:
        declared = {group.name for group in cache.groups}
        for route in routes:
            if route.group not in declared:
                raise ValueError(
                    f"the cached route {route.path} names the group {route.group!r}; declared are {sorted(declared)}"
                )
        self._app = app
        self._peek = cache.peek
        self._find = RouteFinder(routes).find

    # Not a coroutine of its own: what is not answered here costs a call and no more.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["method"] == "GET":
            found = self._find(_path(scope))
            if found is not None:
                answer = self._answer(scope, receive, send, *found)
                if answer is not None:
                    return answer
        return self._app(scope, receive, send)

    def _answer(
        self, scope: Scope, receive: Receive, send: Send, route: CachedRoute, parameters: Mapping[str, str]
    ) -> Awaitable[None] | None:
        try:
            key = route.key(parameters, scope["query_string"])
        except ValueError:
            return None
        if key is None:
            return None
        for name, _ in scope["headers"]:
            if name in ODD_HEADERS:
                return None
        held = self._peek(route.group, key)
        if held is None:
            return None
        if held.payload is not None:
            scope["route"] = route  # the telemetry reads its path
            return _send_bytes(send, held.payload, route.content_type)
        if route.nothing is None:
            return None
        scope["route"] = route
        return route.nothing(parameters)(scope, receive, send)


async def _send_bytes(send: Send, payload: bytes, content_type: str) -> None:
    """The messages that Starlette sends for `Response(payload, media_type=content_type)`."""
    headers = [(b"content-length", b"%d" % len(payload)), (b"content-type", content_type.encode("latin-1"))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


def _path(scope: Scope) -> str:
    """The path beneath the prefix that a proxy or a mount has put before it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


class RouteFinder:
    """Finds the route of a path among fixed paths and templates like `/shops/{shop}/items/{item}`."""

    def __init__(self, routes: Sequence[CachedRoute]) -> None:
        self._fixed: dict[str, tuple[CachedRoute, Mapping[str, str]]] = {}
        self._templates: list[_Template] = []
        for route in routes:
            if "{" in route.path:
                self._templates.append(_Template(route))
            else:
                self._fixed[route.path] = (route, {})
        self._heads = tuple({template.head for template in self._templates})

    def find(self, path: str) -> tuple[CachedRoute, Mapping[str, str]] | None:
        """The route and the parameters in the path; a fixed path goes before a template."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        if path.startswith(self._heads):
            for template in self._templates:
                parameters = template.match(path)
                if parameters is not None:
                    return template.route, parameters
        return None


class _Template:
    """A path with parameters."""

    _PARAMETER = re.compile(r"\{([A-Za-z_]\w*)(?::(?:str|int))?\}")

    def __init__(self, route: CachedRoute) -> None:
        self.route = route
        self.head = route.path[: route.path.index("{")]
        pattern = []
        for segment in route.path.split("/"):
            parameter = self._PARAMETER.fullmatch(segment)
            if parameter is not None:
                pattern.append(f"(?P<{parameter[1]}>[^/]+)")
            elif "{" in segment or "}" in segment:
                raise ValueError(
                    f"the cached route {route.path} has the segment {segment!r}; a parameter must be a whole segment, "
                    "{name}, {name:str} or {name:int}"
                )
            else:
                pattern.append(re.escape(segment))
        self._match = re.compile("/".join(pattern)).fullmatch

    def match(self, path: str) -> Mapping[str, str] | None:
        """The parameters, None where the path is another."""
        matched = self._match(path)
        return None if matched is None else matched.groupdict()
