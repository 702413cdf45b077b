"""The shared tier: entries in Redis, versions that make a slow reader harmless, leases, and patience with a bound.

Every call waits at most `wait_seconds`; failures in a row open a circuit breaker. A failed call is an answer
(`Unavailable`), never an exception: a cache that is down costs time, not requests.

Versions (groups ON_WRITE): a write deletes the entry and puts a new random mark on its key. A reader notes the mark
before it asks the database and stores what it read only if the mark is still the same, compared and stored in one
script. So whoever read before the commit cannot store after it. Marks are random rather than counted: one that expired
or was evicted and came anew never equals an older one. The mark of the group is made by the first who asks for a lease:
a key that was never written has none of its own, and after a flush or a restart of Redis it must not look unwritten to
a reader who began before.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from trimtab.cache import scripts
from trimtab.cache.batch import Batch
from trimtab.cache.breaker import CircuitBreaker
from trimtab.cache.entry import Entry, decode

logger = logging.getLogger(__name__)

DEFAULT_WAIT_SECONDS = 0.05
PROBE_SECONDS = 2.0
PROBES = 5
"""To see whether Redis is well again, it is asked so often at most, over a connection that may take a while."""

MARK_BYTES = 8
TOKEN_BYTES = 8
NO_TOKEN = b""
UNVERSIONED = b""
"""The version of every key of a group that nobody invalidates."""

_NO_MARK = bytes(MARK_BYTES)

MARK_LIFE_SECONDS = 3600
"""How long a mark stays after the write: longer than any read of the database may take (see MAX_FILL_SECONDS)."""

MAX_FILL_SECONDS = 60.0
"""An answer that took longer to make is not stored: its mark may have expired meanwhile."""

Answer = TypeVar("Answer")


class Unavailable:
    """Redis did not answer in time, refused, or was not asked because the breaker is open."""


UNAVAILABLE = Unavailable()


@dataclass(frozen=True, slots=True)
class Found:
    """What Redis knows of a key: its entry if it has one of the present version, and that version."""

    entry: Entry | None
    version: bytes
    is_leased: bool = False
    """Whether the caller holds the lease now."""


class RedisTier:
    """Entries in Redis under `prefix`. `client` must return bytes (decode_responses=False).

    `versioned` says whether the key belongs to a group ON_WRITE.
    """

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "trimtab",
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._wait_seconds = wait_seconds
        self._breaker = breaker or CircuitBreaker()
        self._reads: Batch[list[str], list[bytes | None], Unavailable] = Batch(self._read)
        self._calls: Batch[scripts.Call, Any, Unavailable] = Batch(self._call)
        self._probe: asyncio.Task[None] | None = None

    @property
    def is_down(self) -> bool:
        """Whether the breaker is open."""
        return self._breaker.is_open

    async def read(self, group: str, key: str, *, versioned: bool) -> Found | Unavailable:
        """The entry of a key, of the present version."""
        names = [self._entry_name(group, key)]
        if versioned:
            names += [self._group_mark_name(group), self._mark_name(group, key)]
        values = await self._reads.ask(names)
        if isinstance(values, Unavailable):
            return values
        return _found((values[1] or _NO_MARK) + (values[2] or _NO_MARK) if versioned else UNVERSIONED, values[0])

    async def acquire(
        self, group: str, key: str, *, versioned: bool, token: bytes, lease_seconds: float
    ) -> Found | Unavailable:
        """As `read`, and ask for the lease. Store what is made under the version that this gives, with the token."""
        arguments: list[bytes | int] = [token, max(1, int(1000 * lease_seconds)), secrets.token_bytes(MARK_BYTES)]
        call = scripts.Call(scripts.ACQUIRE, self._names(group, key, versioned), arguments)
        answer = await self._calls.ask(call)
        if isinstance(answer, Unavailable | RedisError):
            return UNAVAILABLE
        return _found(answer[1], answer[2] if len(answer) > 2 else None, bool(answer[0]))

    async def store(
        self, group: str, key: str, entry: Entry, *, versioned: bool, keep_milliseconds: int, token: bytes
    ) -> bool:
        """Store an entry if its version is still the present one, and release the lease of the token.

        False: it is not the present one, or Redis is unavailable.
        """
        version = entry.version if versioned else UNVERSIONED
        arguments: list[bytes | int] = [token, version, entry.encode(), keep_milliseconds]
        answer = await self._calls.ask(scripts.Call(scripts.STORE, self._names(group, key, versioned), arguments))
        return not isinstance(answer, Unavailable | RedisError) and bool(answer)

    async def release(self, group: str, key: str, token: bytes) -> None:
        """Release the lease of the token, if it is still there."""
        await self._calls.ask(scripts.Call(scripts.RELEASE, self._names(group, key, False), [token]))

    async def invalidate(self, group: str, key: str, *, patiently: bool = False) -> bool:
        """Put a new mark on a key and drop its entry. False: Redis is unavailable, try again later."""
        names = [*self._names(group, key, False), self._mark_name(group, key)]
        call = scripts.Call(scripts.INVALIDATE, names, [secrets.token_bytes(MARK_BYTES), MARK_LIFE_SECONDS])
        if patiently:
            return not isinstance(await self._bounded(scripts.run(self._client, [call]), patiently=True), Unavailable)
        return not isinstance(await self._calls.ask(call), Unavailable | RedisError)

    async def invalidate_group(self, group: str, *, patiently: bool = False) -> bool:
        """Put a new mark on a whole group; its entries are no longer found and expire by themselves."""
        # No expiry: it must outlive every entry of the group, and there is one a group.
        call = self._client.set(self._group_mark_name(group), secrets.token_bytes(MARK_BYTES))
        return not isinstance(await self._bounded(call, patiently=patiently), Unavailable)

    async def close(self) -> None:
        """Stop trying. The client belongs to whoever made it."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)

    async def _read(self, reads: list[list[str]]) -> list[list[bytes | None]] | Unavailable:
        values = await self._bounded(self._client.mget([name for names in reads for name in names]))
        if isinstance(values, Unavailable):
            return values
        following = iter(values)
        return [[next(following) for _ in names] for names in reads]

    async def _call(self, calls: list[scripts.Call]) -> list[Any] | Unavailable:
        answers: list[Any] | Unavailable = await self._bounded(scripts.run(self._client, calls))
        return answers

    async def _bounded(self, call: Awaitable[Any], *, patiently: bool = False) -> Any | Unavailable:
        """The answer of a call within the wait (patiently: 20 times it), or UNAVAILABLE."""
        if self._breaker.is_open:
            if asyncio.iscoroutine(call):
                call.close()
            if self._breaker.allows(time.monotonic()) and (self._probe is None or self._probe.done()):
                self._probe = asyncio.get_running_loop().create_task(self._try_again(), name="trimtab-cache-probe")
            return UNAVAILABLE
        try:
            async with asyncio.timeout(self._wait_seconds * (20 if patiently else 1)):
                answer = await call
        except (RedisError, OSError, TimeoutError) as error:
            was_open = self._breaker.is_open
            self._breaker.failed(time.monotonic())
            if self._breaker.is_open and not was_open:
                logger.warning("the cache goes on without Redis for now: %s", repr(error))
            return UNAVAILABLE
        self._breaker.succeeded()
        return answer

    async def _try_again(self) -> None:
        """See whether Redis answers again. Not a request's business: to connect takes several round trips.

        It must answer as fast as requests need it, once out of a few times: this process may be what is slow.
        """
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                for _ in range(PROBES):
                    asked = time.monotonic()
                    await self._client.ping()
                    if time.monotonic() - asked <= self._wait_seconds:
                        self._breaker.succeeded()
                        logger.warning("Redis answers again")
                        return
        except (RedisError, OSError, TimeoutError) as error:
            logger.debug("Redis is still not available: %r", error)
        self._breaker.failed(time.monotonic())

    def _names(self, group: str, key: str, versioned: bool) -> list[str]:
        names = [self._entry_name(group, key), self._lease_name(group, key)]
        return [*names, self._group_mark_name(group), self._mark_name(group, key)] if versioned else names

    def _entry_name(self, group: str, key: str) -> str:
        return f"{self._prefix}:entry:{group}:{key}"

    def _lease_name(self, group: str, key: str) -> str:
        return f"{self._prefix}:lease:{group}:{key}"

    def _mark_name(self, group: str, key: str) -> str:
        return f"{self._prefix}:mark:{group}:{key}"

    def _group_mark_name(self, group: str) -> str:
        return f"{self._prefix}:mark:{group}"


def _found(version: bytes, data: bytes | None, is_leased: bool = False) -> Found:
    """An entry of another version is none: somebody wrote since."""
    entry = decode(data) if data else None
    if entry is not None and version != UNVERSIONED and entry.version != version:
        entry = None
    return Found(entry, version, is_leased)
