"""Limits on registering and signing in: by address and by account, over all pods, and without Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from deploy.servers.redis import RedisServer
from services.api import rate_limits
from services.api.rate_limits import Limit, RateLimits
from services.api.settings import Settings
from services.api.users.throttle import EVERYWHERE
from tests.integration.api.conftest import PASSWORD, CatalogClient, redis_client, running

WRONG = "wrong horse"
EMAIL = "ada@example.org"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with other tests Redis may take its time, and then each process would count alone."""
    monkeypatch.setattr(rate_limits, "WAIT_SECONDS", 30.0)


def with_limits(settings: Settings, **limits: int) -> Settings:
    return settings.model_copy(update=limits)


def from_address(client: CatalogClient, host: str) -> httpx.AsyncClient:
    """Requests as if from another peer."""
    transport = httpx.ASGITransport(client.app, client=(host, 1234), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://catalog", timeout=30)


async def tries(
    http: httpx.AsyncClient, count: int, *, email: str = EMAIL, password: str = WRONG, what: str = "token"
) -> list[httpx.Response]:
    """One after the other."""
    return [await http.post(f"/auth/{what}", json={"email": email, "password": password}) for _ in range(count)]


def statuses(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


async def test_an_address_registers_so_often_in_all_pods_together(settings: Settings) -> None:
    limited = with_limits(settings, register_per_minute=4)
    async with running(limited) as here, running(limited) as there:
        answers = [
            await client.http.post("/auth/register", json={"email": f"{number}@example.org", "password": PASSWORD})
            for number, client in enumerate((here, there) * 3)
        ]
        assert statuses(answers) == [201, 201, 201, 201, 429, 429]
        assert answers[0].headers["ratelimit-policy"] == '"register";q=4;w=60'
        assert answers[0].headers["ratelimit"].startswith('"register";r=3;t=')
        refused = answers[-1]
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "4 a minute are allowed" in refused.json()["detail"]
        async with from_address(here, "192.0.2.7") as elsewhere:
            assert statuses(await tries(elsewhere, 1, email="x@example.org", what="register")) == [201]


async def test_headers_of_a_proxy_do_not_make_another_address(settings: Settings) -> None:
    async with running(with_limits(settings, token_per_minute=2)) as client:
        answers = [
            await client.http.post(
                "/auth/token",
                json={"email": f"{number}@example.org", "password": PASSWORD},
                headers={"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"},
            )
            for number in range(3)
        ]
        assert statuses(answers) == [401, 401, 429]


@pytest.mark.parametrize("is_registered", [True, False])
async def test_guessing_ends_alike_whether_the_account_exists_or_not(settings: Settings, is_registered: bool) -> None:
    async with running(with_limits(settings, password_tries_per_minute=3)) as client:
        if is_registered:
            await client.sign_in(EMAIL)
        answers = await tries(client.http, 5)
        assert statuses(answers) == [401, 401, 401, 429, 429]
        assert answers[-1].headers["ratelimit-policy"] == '"account";q=3;w=60'
        right = await tries(client.http, 1, password=PASSWORD)
        assert statuses(right) == [429], "not even the right password, or the guesser would know it"
        assert statuses(await tries(client.http, 1, email="bob@example.org")) == [401], "another account"


async def test_the_right_password_starts_the_count_anew(settings: Settings) -> None:
    async with running(with_limits(settings, password_tries_per_minute=3)) as client:
        await client.sign_in(EMAIL)
        for _ in range(3):
            assert statuses(await tries(client.http, 2)) == [401, 401]
            assert statuses(await tries(client.http, 1, password=PASSWORD)) == [200]


async def test_a_guesser_elsewhere_does_not_lock_the_owner_out_but_many_are_stopped(settings: Settings) -> None:
    async with running(with_limits(settings, password_tries_per_minute=2)) as client:
        await client.sign_in(EMAIL)
        async with from_address(client, "192.0.2.1") as guesser:
            assert statuses(await tries(guesser, 2 + EVERYWHERE * 2)) == [401] * 2 + [429] * (EVERYWHERE * 2)
        assert statuses(await tries(client.http, 1, password=PASSWORD)) == [200]
        seen: Counter[int] = Counter()
        for number in range(EVERYWHERE + 2):
            async with from_address(client, f"198.51.100.{number}") as guesser:
                seen.update(statuses(await tries(guesser, 2)))
        assert seen == {401: EVERYWHERE * 2, 429: 4}


async def test_one_customer_of_ipv6_is_one_address(settings: Settings) -> None:
    async with running(with_limits(settings, token_per_minute=1)) as client:
        seen: list[int] = []
        for host in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"):
            async with from_address(client, host) as http:
                seen += statuses(await tries(http, 1, email=f"{len(seen)}@example.org"))
        assert seen == [401, 429, 401]


@pytest.mark.parametrize("how", ["refused", "silent"])
async def test_without_redis_each_process_limits_by_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(rate_limits, "WAIT_SECONDS", 0.1)
    async with silent_port() as silent:
        port = {"refused": 9, "silent": silent}[how]
        async with running(with_limits(settings, redis_port=port, token_per_minute=3)) as client:
            answers = [
                await client.http.post("/auth/token", json={"email": f"{number}@example.org", "password": PASSWORD})
                for number in range(8)
            ]
            seen = Counter(statuses(answers))
            assert seen.keys() == {401, 429}
            assert seen[401] in (3, 4), "a fourth where a minute of the clock begins meanwhile"


async def test_redis_holds_no_address_and_forgets(redis_server: RedisServer, clean_redis: RedisServer) -> None:
    async with redis_client(redis_server) as redis:
        limits = RateLimits(redis, secret="s" * 32)
        await limits.hit(Limit("account", 3), "192.0.2.1", EMAIL)
        keys = await redis.keys("*")
        assert keys
        for key in keys:
            assert b"192.0.2.1" not in key
            assert b"example.org" not in key
            assert 0 < await redis.ttl(key) <= 120
        other = RateLimits(redis, secret="t" * 32)
        assert (await other.hit(Limit("account", 3), "192.0.2.1", EMAIL)).remaining == 2, "another service's"


async def test_many_at_once_get_no_more_than_the_limit(redis_server: RedisServer, clean_redis: RedisServer) -> None:
    async with redis_client(redis_server) as redis:
        limits = RateLimits(redis, secret="s" * 32)
        standings = await asyncio.gather(*(limits.hit(Limit("x", 10), "somebody") for _ in range(30)))
        assert Counter(standing.allowed for standing in standings) == {True: 10, False: 20}
        await limits.forget(Limit("x", 10), "somebody")
        assert (await limits.hit(Limit("x", 10), "somebody")).remaining == 9


class silent_port:  # noqa: N801  # used like a function
    """A port that accepts connections and never says anything."""

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(lambda *_: asyncio.sleep(0), "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: Any) -> None:
        self._server.close()
