"""How often somebody may do something, counted over all pods in Redis.

A sliding window of one minute (`limits`, two counters an identity whatever the limit is), so that nobody gets twice
the limit around the turn of a minute. While Redis does not answer, each process counts by itself in a bounded memory:
a limit is then per pod, and no request fails. Identities are hashed with the service's secret: Redis holds neither
addresses nor e-mail addresses.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trimtab.cache.breaker import CircuitBreaker

WINDOW_SECONDS = 60
WAIT_SECONDS = 0.25
"""How long a request waits for Redis before this process counts by itself."""
MAX_IDENTITIES = 10_000
"""Counters in the memory of a process; beyond it all of them start anew."""
IPV6_CUSTOMER_BITS = 64
"""What one customer gets of IPv6: whoever has one address of it has them all."""

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Limit:
    """So many times a minute. `name` shows in the headers of the answers."""

    name: str
    per_minute: int

    @property
    def item(self) -> RateLimitItemPerMinute:
        return RateLimitItemPerMinute(self.per_minute, namespace=self.name)


@dataclass(frozen=True)
class Standing:
    """Where somebody stands after a hit. `reset_seconds`: when more becomes free."""

    limit: Limit
    allowed: bool
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """Of draft-ietf-httpapi-ratelimit-headers, and Retry-After for who was refused."""
        shown = {
            "RateLimit-Policy": f'"{self.limit.name}";q={self.limit.per_minute};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.limit.name}";r={self.remaining};t={self.reset_seconds}',
        }
        return shown if self.allowed else {**shown, "Retry-After": str(self.reset_seconds)}


class RateLimits:
    """Counters shared through `redis`; its connections stay the caller's."""

    def __init__(self, redis: Redis, *, secret: str, prefix: str = "catalog:limit") -> None:
        pool = redis.connection_pool
        # The URI is not used: the connections come from the pool.
        storage = RedisStorage("redis://", implementation="redispy", key_prefix=prefix, connection_pool=pool)  # type: ignore[arg-type]  # the pool is documented, its type is not
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._memory = MemoryStorage()
        self._own = SlidingWindowCounterRateLimiter(self._memory)
        self._breaker = CircuitBreaker()
        self._key = secret.encode()[: hashlib.blake2b.MAX_KEY_SIZE]

    @property
    def identities(self) -> int:
        """Counters in the memory of this process."""
        return len(self._memory.storage)

    async def hit(self, limit: Limit, *identity: str) -> Standing:
        """Count once for `identity`. Who is refused is not counted."""
        item, name = limit.item, self._hashed(identity)

        async def count(limiter: SlidingWindowCounterRateLimiter) -> Standing:
            allowed = await limiter.hit(item, name)
            stats = await limiter.get_window_stats(item, name)
            left = math.ceil(stats.reset_time - time.time())
            return Standing(limit, allowed, stats.remaining if allowed else 0, min(WINDOW_SECONDS, max(1, left)))

        return await self._asked(count)

    async def forget(self, limit: Limit, *identity: str) -> None:
        """Start to count anew for `identity`."""
        item, name = limit.item, self._hashed(identity)
        await self._asked(lambda limiter: limiter.clear(item, name))

    async def _asked(self, ask: Callable[[SlidingWindowCounterRateLimiter], Awaitable[T]]) -> T:
        if self._breaker.allows(time.monotonic()):
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    answer = await ask(self._shared)
            except (RedisError, OSError, TimeoutError) as error:
                if not self._breaker.is_open:
                    log.warning("limits are counted in this process for now", error=repr(error))
                self._breaker.failed(time.monotonic())
            else:
                self._breaker.succeeded()
                return answer
        if self.identities >= MAX_IDENTITIES:
            await self._memory.reset()
        return await ask(self._own)

    def _hashed(self, identity: tuple[str, ...]) -> str:
        # JSON-like separation is not needed: no part contains NUL.
        return hashlib.blake2b("\0".join(identity).encode(), key=self._key, digest_size=16).hexdigest()


def customer_of(host: str) -> str:
    """Who is behind a peer's address: the address itself, of IPv6 the network of one customer."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_CUSTOMER_BITS), strict=False))
