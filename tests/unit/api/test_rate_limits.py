"""Who counts as one client, and what the memory of a process may hold."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from services.api import rate_limits
from services.api.rate_limits import Limit, RateLimits, Standing, customer_of

NOWHERE: dict[str, Any] = {"host": "127.0.0.1", "port": 9}


@pytest.mark.parametrize(
    ("host", "customer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_customer_is_an_address_or_a_network_of_ipv6(host: str, customer: str) -> None:
    assert customer_of(host) == customer


def test_the_headers_say_what_is_left_and_only_the_refused_are_told_to_wait() -> None:
    allowed = Standing(Limit("token", 5), allowed=True, remaining=2, reset_seconds=7)
    assert allowed.headers() == {"RateLimit-Policy": '"token";q=5;w=60', "RateLimit": '"token";r=2;t=7'}
    refused = Standing(Limit("token", 5), allowed=False, remaining=0, reset_seconds=7)
    assert refused.headers()["Retry-After"] == "7"


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_IDENTITIES", 50)
    limits = RateLimits(Redis(**NOWHERE), secret="s" * 32)
    for number in range(120):
        await limits.hit(Limit("x", 3), f"somebody-{number}")
        assert limits.identities <= 50


async def test_without_redis_the_limit_holds_in_this_process() -> None:
    limits = RateLimits(Redis(**NOWHERE), secret="s" * 32)
    standings = [await limits.hit(Limit("x", 3), "somebody") for _ in range(8)]
    # The windows of the memory begin with the clock's minutes: where one begins meanwhile, a fourth is free.
    assert sum(standing.allowed for standing in standings) in (3, 4)
    assert standings[0].remaining == 2
    assert not standings[-1].allowed
    assert (await limits.hit(Limit("x", 3), "somebody else")).allowed
    await limits.forget(Limit("x", 3), "somebody")
    assert (await limits.hit(Limit("x", 3), "somebody")).allowed
