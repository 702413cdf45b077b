"""Read-through: ask the memory of this process, then Redis, then make the answer and store it in both.

    answer = await cache.get("item", str(item_id), load)      # bytes, or None: there is no such item
    await cache.invalidate("item", str(item_id))              # after the commit

Answers are serialised bytes, so that a hit is sent as it is. What is wrong with Redis is never wrong with a request:
then answers are made directly, once at a time a key in this process.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from trimtab.cache.entry import NO_VERSION, Entry
from trimtab.cache.flights import SingleFlight
from trimtab.cache.groups import CacheGroup, Invalidation
from trimtab.cache.memory import MemoryTier
from trimtab.cache.owed import OwedInvalidations
from trimtab.cache.redis_tier import DEFAULT_WAIT_SECONDS, MAX_FILL_SECONDS, RedisTier, Unavailable
from trimtab.cache.stats import CacheStats
from trimtab.knobs.document import MAX_TTL_SECONDS

Load = Callable[[], Awaitable[bytes | None]]

TTL_JITTER = 0.1
"""An entry lives between (1 - jitter) and 1 times the TTL: entries of one moment do not expire in one moment."""

DEFAULT_MEMORY_ENTRIES = 20_000
DEFAULT_MEMORY_BYTES = 32 * 1024 * 1024
DEFAULT_DIRECT_READS = 64


@dataclass(slots=True)
class _GroupState:
    group: CacheGroup
    ttl_seconds: int
    writes: int = 0
    """Invalidations in this process: what was being made before one of them is not kept."""

    @property
    def is_versioned(self) -> bool:
        return self.group.invalidation is Invalidation.ON_WRITE


class Cache:
    """The cache of one process. `redis` None: the in-process tier alone. One event loop.

    `direct_reads` bounds the answers made at a time while Redis is not available. `clock` gives seconds since the
    epoch: pods compare each other's times of writing, so their clocks should agree to well below the shortest TTL.
    """

    def __init__(
        self,
        groups: Sequence[CacheGroup],
        redis: Redis | None = None,
        *,
        prefix: str = "trimtab",
        memory_entries: int = DEFAULT_MEMORY_ENTRIES,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        redis_wait_seconds: float = DEFAULT_WAIT_SECONDS,
        direct_reads: int = DEFAULT_DIRECT_READS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._states = {group.name: _GroupState(group, group.ttl_seconds) for group in groups}
        self._memory = MemoryTier(max_entries=memory_entries, max_bytes=memory_bytes)
        self._redis = RedisTier(redis, prefix=prefix, wait_seconds=redis_wait_seconds) if redis is not None else None
        self._owed = OwedInvalidations(self._redis) if self._redis is not None else None
        self._flights: SingleFlight[tuple[str, str], bytes | None] = SingleFlight()
        self._direct = asyncio.Semaphore(direct_reads)
        self._clock = clock
        self.stats = CacheStats(list(self._states))

    @property
    def groups(self) -> list[CacheGroup]:
        """The groups, as declared."""
        return [state.group for state in self._states.values()]

    @property
    def owed_invalidations(self) -> int:
        """Invalidations that Redis has yet to take."""
        return len(self._owed) if self._owed is not None else 0

    def ttl_seconds(self, group: str) -> int:
        """The TTL in force."""
        return self._state(group).ttl_seconds

    def set_ttl(self, group: str, seconds: int) -> None:
        """Change a TTL at once. A lower one binds what is stored already, a higher one what is stored from now on."""
        if not 1 <= seconds <= MAX_TTL_SECONDS:
            raise ValueError(f"the TTL of the cache group {group} is {seconds} s, must be 1 to {MAX_TTL_SECONDS}")
        self._state(group).ttl_seconds = seconds

    def memory_bytes(self, group: str) -> int:
        """Bytes that the in-process tier holds of a group."""
        return self._memory.bytes_of(group)

    async def get(self, group: str, key: str, load: Load) -> bytes | None:
        """The answer for a key; `load` makes it where no tier has it. None: there is no such thing.

        Raises what `load` raises.
        """
        state = self._state(group)
        held = self._memory.get((group, key))
        if held is not None and self._is_fresh_in_memory(state, *held):
            self.stats.count(group, "memory", "hit" if held[0].payload is not None else "negative")
            return held[0].payload
        self.stats.count(group, "memory", "miss")
        return await self._flights.run((group, key), lambda: self._find(state, key, load))

    async def invalidate(self, group: str, key: str) -> None:
        """Forget the answer for a key: call it after the commit that changed it. Never fails.

        If Redis does not take it now it is delivered later; until then this process passes Redis by for the key.
        """
        state = self._state(group)
        self.stats.writes[group] += 1
        self._forget(state, key)
        if self._redis is None:
            return
        delivered = False
        try:
            delivered = await self._redis.invalidate(group, key)
        finally:  # also when the request is cancelled
            if not delivered and self._owed is not None:
                self._owed.owe(group, key)
            self._forget(state, key)  # what was found in Redis before it knew

    async def invalidate_group(self, group: str) -> None:
        """Forget every answer of a group ON_WRITE; of another group only this process's."""
        state = self._state(group)
        self.stats.writes[group] += 1
        self._forget_group(state)
        if self._redis is None or not state.is_versioned:
            return
        delivered = False
        try:
            delivered = await self._redis.invalidate_group(group)
        finally:
            if not delivered and self._owed is not None:
                self._owed.owe(group, None)
            self._forget_group(state)

    def clear_memory(self) -> None:
        """Forget the in-process tier."""
        self._memory.clear()

    async def close(self) -> None:
        """Stop what is in progress. The client of Redis belongs to whoever made it."""
        await self._flights.close()
        if self._owed is not None:
            await self._owed.close()

    async def _find(self, state: _GroupState, key: str, load: Load) -> bytes | None:
        name, writes, asked = state.group.name, state.writes, self._now()
        if self._redis is None:
            return await self._make(state, key, load, writes)
        if self._owed is not None and self._owed.covers(name, key):
            return await self._make_directly(state, key, load, writes)
        found = await (self._redis.read_versioned if state.is_versioned else self._redis.read)(name, key)
        if isinstance(found, Unavailable):
            return await self._make_directly(state, key, load, writes)
        entry = found.entry
        if entry is not None and entry.is_fresh(self._now(), 1000 * state.ttl_seconds):
            self.stats.count(name, "redis", "hit" if entry.payload is not None else "negative")
            self._remember(state, key, entry, asked, writes)
            return entry.payload
        self.stats.count(name, "redis", "miss")
        return await self._make(state, key, load, writes, version=found.version)

    async def _make_directly(self, state: _GroupState, key: str, load: Load, writes: int) -> bytes | None:
        """Without Redis, and not too many at a time: the database is not sized for what Redis kept away from it."""
        self.stats.count(state.group.name, "redis", "error")
        async with self._direct:
            return await self._make(state, key, load, writes)

    async def _make(
        self, state: _GroupState, key: str, load: Load, writes: int, *, version: bytes | None = None
    ) -> bytes | None:
        """Make the answer, keep it here, and store it in Redis under `version` (None: do not).

        Its age counts from before the making, when its data was read at the earliest.
        """
        group = state.group
        started, clock = self._now(), time.monotonic()
        payload = await load()
        seconds = time.monotonic() - clock
        self.stats.fills[group.name].add(seconds)
        ttl = state.ttl_seconds if payload is not None else min(state.ttl_seconds, group.negative_seconds)
        life = int(1000 * ttl * random.uniform(1 - TTL_JITTER, 1))  # noqa: S311
        if life > 0 and seconds < MAX_FILL_SECONDS:
            entry = Entry(payload, started, life, version or NO_VERSION)
            self._remember(state, key, entry, started, writes)
            if version is not None and self._redis is not None:
                store = self._redis.store_versioned if state.is_versioned else self._redis.store
                await store(group.name, key, entry)
        return payload

    def _remember(self, state: _GroupState, key: str, entry: Entry, fetched: int, writes: int) -> None:
        """Keep an entry in memory, unless this process has invalidated something of the group since."""
        if state.writes == writes:
            self._memory.put((state.group.name, key), entry, fetched)

    def _is_fresh_in_memory(self, state: _GroupState, entry: Entry, fetched: int) -> bool:
        now = self._now()
        if state.is_versioned and now - fetched >= 1000 * state.group.l1_seconds:
            return False
        return entry.is_fresh(now, 1000 * state.ttl_seconds)

    def _forget(self, state: _GroupState, key: str) -> None:
        """Also what is just being made: who asks from now on must not get it."""
        state.writes += 1
        self._memory.drop((state.group.name, key))
        self._flights.leave((state.group.name, key))

    def _forget_group(self, state: _GroupState) -> None:
        state.writes += 1
        self._memory.drop_group(state.group.name)
        self._flights.leave_all(lambda flying: flying[0] == state.group.name)

    def _state(self, group: str) -> _GroupState:
        try:
            return self._states[group]
        except KeyError:
            raise KeyError(f"there is no cache group {group!r}; declared are {', '.join(self._states)}") from None

    def _now(self) -> int:
        return int(1000 * self._clock())
