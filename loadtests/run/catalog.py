"""What one user of the shop catalog does: browse, search, change, order, look at reports."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

import gevent
from locust import FastHttpUser, task
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment

from loadtests.plan import LoadPlan
from loadtests.popularity import ZipfKeys
from loadtests.recorder import Recorder

ACCOUNTS = 8
"""Accounts that all users share: hashing a password costs the service far more than anything that is measured."""
PAGE_SHARE = 0.2
"""Share of the reads that ask for a page of the list; the others ask for one item."""
REPORT_DAYS = (7, 30, 90)
PASSWORD = "a-load-test-has-no-secrets"  # noqa: S105 - of accounts that hold nothing


@dataclass(frozen=True)
class Account:
    """Someone who has registered."""

    email: str
    token: str


@dataclass(frozen=True)
class Prepared:
    """What the users share: accounts that are signed in, and words that the seeded items' names contain."""

    accounts: Sequence[Account]
    words: Sequence[str]


def sign_in(plan: LoadPlan) -> Prepared:
    """Register the shared accounts and look at some items. Raises ConnectionError when the service does not let it."""
    environment = Environment(host=plan.url)
    session = FastHttpSession(
        plan.url, environment.events.request, None, insecure=True, connection_timeout=5, network_timeout=30
    )
    try:
        accounts = [_register(session, plan.sign_in_seconds) for _ in range(ACCOUNTS)]
        return Prepared(accounts, _words(session, plan))
    finally:
        session.client.close()


def catalog_user(
    plan: LoadPlan, recorder: Recorder, second: Callable[[], int], prepared: Prepared
) -> type[FastHttpUser]:
    """A class of users that follow `plan` and record every answer. Each user draws from a generator of its own."""
    kinds, cumulative = plan.mix.cumulative()
    numbers = iter(range(plan.users * 1000))

    class CatalogUser(FastHttpUser):
        host = plan.url
        connection_timeout = 5.0
        network_timeout = 30.0
        max_retries = 0

        def on_start(self) -> None:
            number = next(numbers)
            self.random = Random(plan.seed * 1_000_003 + number)
            self.keys = ZipfKeys(plan.items, plan.zipf_percent / 100, self.random)
            self.account = prepared.accounts[number % len(prepared.accounts)]
            self.created: list[int] = []
            _try_once(self.client, plan.url)

        def wait_time(self) -> float:
            return plan.think_milliseconds / 1000

        @task
        def act(self) -> None:
            kind = self.random.choices(kinds, cum_weights=cumulative)[0]
            getattr(self, f"do_{kind}")()

        def do_read(self) -> None:
            if self.random.random() < PAGE_SHARE:
                after = self.keys.draw() // 20 * 20
                self.send("list", "GET", f"/items?after={after}&limit=20")
            else:
                self.send("read", "GET", f"/items/{self.keys.draw()}", allowed=(200, 404))

        def do_search(self) -> None:
            word = prepared.words[int(self.random.random() ** 2 * len(prepared.words))]
            self.send("search", "GET", f"/items/search?q={quote(word)}&limit=20")

        def do_create(self) -> None:
            number = self.random.randrange(10**6)
            item = {
                "name": f"{self.random.choice(prepared.words)} {number}",
                "description": "made by a load test",
                "category": "loadtest",
                "price_cents": 100 + number % 10_000,
                "stock": 1_000,
            }
            answer = self.send("create", "POST", "/items", item, allowed=(201,))
            if answer is not None and len(self.created) < 100:
                self.created.append(int(answer["id"]))

        def do_update(self) -> None:
            change = {"price_cents": 100 + self.random.randrange(10_000)}
            self.send("update", "PATCH", f"/items/{self.keys.draw()}", change, allowed=(200, 404))

        def do_delete(self) -> None:
            """Only what this user made: the seeded items stay, so that every run meets the same catalog."""
            if not self.created:
                self.do_create()
                return
            self.send("delete", "DELETE", f"/items/{self.created.pop()}", allowed=(204,))

        def do_order(self) -> None:
            wanted = sorted({self.keys.draw() for _ in range(self.random.randint(1, 3))})
            order = {"lines": [{"item_id": item, "quantity": 1} for item in wanted]}
            # 409: the last piece has gone to someone else; 404: an item that does not exist (any more).
            self.send(
                "order",
                "POST",
                "/orders",
                order,
                allowed=(201, 404, 409),
                headers={"Idempotency-Key": uuid.uuid4().hex},
            )

        def do_report(self) -> None:
            self.send("report", "GET", f"/reports/revenue?days={self.random.choice(REPORT_DAYS)}")

        def do_auth(self) -> None:
            if self.random.random() < 0.2:
                self.send("register", "POST", "/auth/register", _credentials(_address()), allowed=(201,))
            else:
                self.send("token", "POST", "/auth/token", _credentials(self.account.email))

        def send(
            self,
            name: str,
            method: str,
            path: str,
            body: dict[str, Any] | None = None,
            allowed: Sequence[int] = (200,),
            headers: dict[str, str] | None = None,
        ) -> dict[str, Any] | None:
            """Send one request and record it; the answer's JSON when it is a created object."""
            sent = {"Authorization": f"Bearer {self.account.token}", **(headers or {})}
            started = time.perf_counter()
            answer = self.client.request(method, path, name=name, json=body, headers=sent)
            milliseconds = (time.perf_counter() - started) * 1000
            status = answer.status_code or 0
            outcome = _outcome(status, allowed, answer.headers)
            recorder.record(second(), name, milliseconds, outcome, f"{method} answered {status or _trouble(answer)}")
            if outcome != "ok":
                gevent.sleep(0.05)  # a refused connection answers at once: without a pause the user would spin
            if status == 201 and outcome == "ok":
                created: dict[str, Any] = json.loads(answer.text or "")
                return created
            return None

    return CatalogUser


def _try_once(session: FastHttpSession, url: str) -> None:
    """Let a connection that ends without an answer be a failure, as it is to whoever waits for that answer.

    geventhttpclient sends a GET or DELETE anew in that case, as many times as its pool has places and once more
    (11 here), and has no setting for it; locust's `max_retries` is another thing. So a pod that dies would not show.
    """
    session.client.clientpool.get_client(url)._connection_pool.size = -1


def _outcome(status: int, allowed: Sequence[int], headers: Any) -> str:
    if status in allowed:
        return "ok"
    if status == 0:
        return "connection"
    if status == 503 and headers is not None and headers.get("Retry-After"):
        return "rejected"
    return "server" if status >= 500 else "client"


def _trouble(answer: Any) -> str:
    """Why there was no answer: locust keeps the exception on a response without a status."""
    return str(getattr(answer, "error", "nothing"))


def _register(session: FastHttpSession, seconds: int) -> Account:
    deadline = time.monotonic() + seconds
    while True:
        email = _address()
        registered = session.request("POST", "/auth/register", json=_credentials(email))
        if registered.status_code == 201:
            issued = session.request("POST", "/auth/token", json=_credentials(email))
            if issued.status_code == 200:
                return Account(email, json.loads(issued.text or "")["access_token"])
            registered = issued
        if time.monotonic() > deadline:
            raise ConnectionError(
                f"no account could be made within {seconds} s: the service answers "
                f"{registered.status_code or _trouble(registered)} to POST /auth/register or /auth/token"
            )
        gevent.sleep(1)


def _words(session: FastHttpSession, plan: LoadPlan) -> list[str]:
    """Words of item names, from pages spread over the catalog. Sorted, so that a seed draws the same each time."""
    found: set[str] = set()
    for page in range(5):
        answer = session.request("GET", f"/items?after={plan.items * page // 5}&limit=100")
        if answer.status_code == 200:
            for item in json.loads(answer.text or "")["items"]:
                found.update(word for word in item["name"].lower().split() if len(word) >= 3 and word.isalpha())
    return sorted(found) or ["lamp", "chair", "table"]


def _address() -> str:
    return f"{uuid.uuid4().hex}@loadtest.example"


def _credentials(email: str) -> dict[str, str]:
    return {"email": email, "password": PASSWORD}
