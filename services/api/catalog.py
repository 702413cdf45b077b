"""What the endpoints work with: one object a process, made from the settings and held by the application."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis
from starlette.requests import Request

from services.api.database import Database
from services.api.rate_limits import RateLimits
from services.api.settings import Settings
from services.api.users.passwords import Passwords
from services.api.users.throttle import Throttle
from services.api.users.tokens import Tokens
from trimtab.cache import Cache, CacheGroup, Invalidation

# What an answer of each group is made of, and who tells of a write. Nobody can tell a list, a search or a report which
# of the many writes concern it: there the TTL decides staleness.
GROUPS = (
    ("item", Invalidation.ON_WRITE, ("items", "stock")),
    ("list", Invalidation.NONE, ("items",)),
    ("search", Invalidation.NONE, ("items",)),
    ("report", Invalidation.NONE, ("orders", "order_lines", "items")),
)

STALE_SECONDS = 2.0
"""Where the TTL decides staleness an answer is served so much longer while one caller makes it anew: nobody waits for a
search or a report only because it expired."""


@dataclass(frozen=True)
class Catalog:
    """The parts of the running service."""

    settings: Settings
    database: Database
    redis: Redis
    cache: Cache
    passwords: Passwords
    tokens: Tokens
    throttle: Throttle

    @classmethod
    def open(cls, settings: Settings) -> Catalog:
        """Made at once; what it talks to is connected when it is needed."""
        redis = Redis(
            host=settings.redis_host,
            port=settings.redis_port,
            password=settings.redis_password.get_secret_value() or None,
        )
        groups = [
            CacheGroup(
                name,
                ttl_seconds=settings.cache_ttl_seconds[name],
                invalidation=how,
                tables=tables,
                stale_seconds=STALE_SECONDS if how is Invalidation.NONE else 0,
            )
            for name, how, tables in GROUPS
        ]
        return cls(
            settings=settings,
            database=Database.open(settings),
            redis=redis,
            cache=Cache(groups, redis, prefix="catalog", redis_wait_seconds=settings.redis_wait_seconds),
            passwords=Passwords(settings.password_hash_threads, settings.password_hash_queue),
            tokens=Tokens(settings.token_secret.get_secret_value(), settings.token_seconds),
            throttle=Throttle(
                RateLimits(redis, secret=settings.token_secret.get_secret_value()),
                register_per_minute=settings.register_per_minute,
                token_per_minute=settings.token_per_minute,
                tries_per_minute=settings.password_tries_per_minute,
            ),
        )

    async def close(self) -> None:
        """Close connections and threads."""
        self.passwords.close()
        await self.redis.aclose()
        await self.database.close()


def catalog_of(request: Request) -> Catalog:
    """The catalog of the application that got the request."""
    catalog: Catalog = request.app.state.catalog
    return catalog
