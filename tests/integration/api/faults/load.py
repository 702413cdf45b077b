"""Clients that read, write and order over keep-alive connections, and a book of what they were told.

What makes a request a failure, whatever the fault: no answer, an answer other than success or a 503 problem, an answer
about another item, and a price older than one whose change had been confirmed before the read began.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx

PAUSE_SECONDS = 0.01
RETRY_SECONDS = 0.2
CLIENT_SECONDS = 40.0
"""A request without an answer after this time hangs."""

WAIT_SECONDS = 60.0
PROBLEM = "application/problem+json"
MAX_FAILURES = 20


Role = Callable[[httpx.AsyncClient, random.Random], Awaitable[bool]]
"""What one client does next; whether it went well."""


@dataclass(frozen=True)
class Answer:
    """One request, told."""

    kind: str
    started: float
    seconds: float
    status: int


@dataclass
class Book:
    """What the clients were told."""

    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    shed: int = 0
    """Refusals that name a time to come back: admission's."""
    prices: dict[int, int] = field(default_factory=dict)
    """The last confirmed price of each item that was changed."""
    doubtful: set[int] = field(default_factory=set)
    """Items with a change of unknown outcome: it may still take effect, later than a newer one."""
    orders: dict[str, int] = field(default_factory=dict)
    """Confirmed orders: id by idempotency key."""

    @property
    def answered(self) -> int:
        """Successes."""
        return sum(answer.status < 300 for answer in self.answers)

    @property
    def refused(self) -> int:
        """503s."""
        return sum(answer.status == 503 for answer in self.answers)

    def slowest(self, since: float = 0.0) -> float:
        """Seconds of the slowest request that began later than `since` (time.monotonic())."""
        return max((answer.seconds for answer in self.answers if answer.started >= since), default=0.0)

    def fail(self, why: str) -> None:
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(why)


class Load:
    """`async with Load(...) as load`: the clients run until the block ends; who orders finishes the order in hand."""

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        items: Sequence[int],
        *,
        readers: int = 5,
        writers: int = 1,
        buyers: int = 2,
    ) -> None:
        self.book = Book()
        self._url = url
        self._headers = headers
        self._items = list(items)
        self._stopping = False
        self._streaks: list[int] = []
        self._prices = itertools.count(int(time.monotonic() * 10) % 1_000_000 + 1_000_000)
        # Each writer has items of its own: of two changes at the same time nobody could say which is the newer.
        writes = [partial(self._write, self._items[number::writers]) for number in range(writers)]
        self._roles: list[Role] = [*[self._read] * readers, *writes, *[self._order] * buyers]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._streaks = [0] * len(self._roles)
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(len(self._roles))]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        if error is not None:
            for task in self._tasks:
                task.cancel()
        async with asyncio.timeout(WAIT_SECONDS):
            results = await asyncio.gather(*self._tasks, return_exceptions=error is not None)
        del results

    async def more(self, answers: int) -> None:
        """Until so many more requests succeeded."""
        goal = self.book.answered + answers
        await until(lambda: self.book.answered >= goal, f"{answers} more answers", self._state)

    async def until_refused(self, times: int = 1) -> None:
        """Until so many more requests were refused."""
        goal = self.book.refused + times
        await until(lambda: self.book.refused >= goal, f"{times} more refusals", self._state)

    async def well(self, streak: int = 8) -> None:
        """Until every client got so many successes in a row, counted from now."""
        self._streaks = [0] * len(self._streaks)
        await until(lambda: min(self._streaks) >= streak, f"{streak} successes in a row for each client", self._state)

    def _state(self) -> str:
        book = self.book
        return f"{book.answered} answered, {book.refused} refused, {self._streaks} in a row, failures {book.failures}"

    async def _run(self, number: int) -> None:
        draw = random.Random(number)
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=CLIENT_SECONDS) as http:
            while not self._stopping:
                is_well = await self._roles[number](http, draw)
                self._streaks[number] = self._streaks[number] + 1 if is_well else 0
                await asyncio.sleep(PAUSE_SECONDS if is_well else RETRY_SECONDS)

    async def _read(self, http: httpx.AsyncClient, draw: random.Random) -> bool:
        item = draw.choice(self._items)
        kind = draw.choice(("item",) * 6 + ("list", "search"))
        path = {"item": f"/items/{item}", "list": f"/items?after={item}&limit=5", "search": "/items/search?q=lamp"}[
            kind
        ]
        floor = self.book.prices.get(item, 0)
        answer = await self._ask(http, kind, "GET", path)
        if answer is None:
            return False
        if kind == "item":
            content = answer.json()
            if content["id"] != item:
                self.book.fail(f"asked for item {item}, got {content}")
            if item not in self.book.doubtful and content["price_cents"] < floor:
                self.book.fail(f"item {item} costs {content['price_cents']} after {floor} was confirmed")
        return True

    async def _write(self, items: Sequence[int], http: httpx.AsyncClient, draw: random.Random) -> bool:
        item, price = draw.choice(items), next(self._prices)
        answer = await self._ask(http, "write", "PATCH", f"/items/{item}", json={"price_cents": price})
        if answer is None:
            self.book.doubtful.add(item)
            return False
        self.book.prices[item] = price
        return True

    async def _order(self, http: httpx.AsyncClient, draw: random.Random) -> bool:
        """One order, sent again under its key until it is confirmed."""
        key = f"fault-{uuid.uuid4()}"
        lines = [{"item_id": item, "quantity": 1} for item in draw.sample(self._items, 2)]
        is_well = True
        while True:
            answer = await self._ask(
                http, "order", "POST", "/orders", json={"lines": lines}, headers={"Idempotency-Key": key}
            )
            if answer is not None:
                self.book.orders[key] = answer.json()["id"]
                return is_well
            is_well = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask(
        self, http: httpx.AsyncClient, kind: str, method: str, path: str, **arguments: Any
    ) -> httpx.Response | None:
        """The answer if it is a success."""
        started = time.monotonic()
        try:
            answer = await http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            self.book.fail(f"{method} {path} after {time.monotonic() - started:.1f} s: {error!r}")
            return None
        self.book.answers.append(Answer(kind, started, time.monotonic() - started, answer.status_code))
        if answer.is_success:
            return answer
        if answer.status_code != 503 or answer.headers["content-type"] != PROBLEM or answer.json()["status"] != 503:
            self.book.fail(f"{method} {path}: {answer.status_code} {answer.text}")
        self.book.shed += "retry-after" in answer.headers
        return None


async def until(condition: Any, what: str, state: Any = lambda: "") -> None:
    """Wait for a condition (a function, or one that gives an awaitable), with a generous deadline."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        holds = condition()
        if asyncio.iscoroutine(holds):
            holds = await holds
        if holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {WAIT_SECONDS:.0f} s: {what}; {state()}")
        await asyncio.sleep(0.02)
