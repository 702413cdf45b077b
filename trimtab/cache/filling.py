"""Behind the memory: an answer from Redis, or made by one caller in all pods.

Who needs an answer that Redis has not asks for the key's lease. The one who gets it makes the answer, stores it and
gives the lease back in the same step; the others look again with growing pauses, for as long as a lease lives, and then
make it themselves. Without Redis there are no leases: answers are made directly, not too many at a time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

from trimtab.cache.audit import Auditor
from trimtab.cache.entry import NO_VERSION, Entry
from trimtab.cache.held import Held
from trimtab.cache.memory import MemoryTier
from trimtab.cache.owed import OwedInvalidations
from trimtab.cache.redis_tier import MAX_FILL_SECONDS, NO_TOKEN, TOKEN_BYTES, Found, RedisTier, Unavailable
from trimtab.cache.state import GroupState

Load = Callable[[], Awaitable[bytes | None]]

RETRY_AFTER_OTHERS_SECONDS = 0.05
"""Who leaves a refresh to another pod looks again for its result after so long."""


class Filler:
    """Finds or makes what the memory lacks, and puts it there. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        memory: MemoryTier,
        redis: RedisTier | None,
        owed: OwedInvalidations | None,
        auditor: Auditor,
        *,
        direct_reads: int,
        clock: Callable[[], float],
    ) -> None:
        self._memory = memory
        self._redis = redis
        self._owed = owed
        self._auditor = auditor
        self._direct = asyncio.Semaphore(direct_reads)
        self._clock = clock

    async def find(self, state: GroupState, key: str, load: Load) -> Held:
        """What Redis has, fresh or within the window, or a new answer. Raises what `load` raises."""
        writes, asked = state.writes, self._clock()
        if self._redis is None:
            return await self._make(state, key, load, writes)
        if self._is_owed(state, key):
            return await self._make_directly(state, key, load, writes)
        found = await self._redis.read(state.name, key, versioned=state.is_versioned)
        if isinstance(found, Unavailable):
            return await self._make_directly(state, key, load, writes)
        held = self._usable(state, found, asked)
        if held is None:
            state.stats.count("redis", "miss")
            return await self._make_once(self._redis, state, key, load, writes)
        if held.payload is None:
            state.stats.count("redis", "negative")
        else:
            state.stats.count("redis", "hit" if self._clock() < held.fresh_until else "stale")
        self._remember(state, key, held, writes)
        return held

    async def refresh(self, state: GroupState, key: str, load: Load, than: Held) -> Held | None:
        """An answer newer than the given one: another pod's if there is one, or made. None: another pod is at it."""
        writes, asked = state.writes, self._clock()
        if self._redis is None or self._is_owed(state, key):
            return await self._make(state, key, load, writes, direct=True)
        token = secrets.token_bytes(TOKEN_BYTES)
        found = await self._ask(self._redis, state, key, token)
        if isinstance(found, Unavailable):
            return await self._make(state, key, load, writes, direct=True)
        held = self._usable(state, found, asked)
        if held is not None and held.written > than.written and self._clock() < held.fresh_until:
            if found.is_leased:
                await self._redis.release(state.name, key, token)
            self._remember(state, key, held, writes)
            return held
        if found.is_leased:
            return await self._make(state, key, load, writes, version=found.version, token=token)
        than.retry_at = self._clock() + RETRY_AFTER_OTHERS_SECONDS
        return None

    async def _make_once(self, redis: RedisTier, state: GroupState, key: str, load: Load, writes: int) -> Held:
        """Make the answer, or wait for the pod that does."""
        token = secrets.token_bytes(TOKEN_BYTES)
        patience = time.monotonic() + state.making.lease_seconds
        for pause in state.making.pauses():
            asked = self._clock()
            found = await self._ask(redis, state, key, token)
            if isinstance(found, Unavailable):
                return await self._make_directly(state, key, load, writes)
            held = self._usable(state, found, asked)
            if held is not None:
                if found.is_leased:
                    await redis.release(state.name, key, token)
                self._remember(state, key, held, writes)
                return held
            if found.is_leased:
                return await self._make(state, key, load, writes, version=found.version, token=token)
            if time.monotonic() >= patience:
                return await self._make(state, key, load, writes, version=found.version)
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _make_directly(self, state: GroupState, key: str, load: Load, writes: int) -> Held:
        """Without Redis: the database is not sized for what Redis kept away from it."""
        state.stats.count("redis", "error")
        return await self._make(state, key, load, writes, direct=True)

    async def _make(
        self,
        state: GroupState,
        key: str,
        load: Load,
        writes: int,
        *,
        version: bytes | None = None,
        token: bytes = NO_TOKEN,
        direct: bool = False,
    ) -> Held:
        """Make the answer, keep it here, and store it in Redis under `version` (None: do not).

        Its age counts from before the making, when its data was read at the earliest. `direct`: not too many at a time.
        """
        if direct:
            async with self._direct:
                return await self._make(state, key, load, writes)
        started, clock = self._clock(), time.monotonic()
        try:
            payload = await load()
        except BaseException as error:
            if isinstance(error, Exception):
                self._auditor.database_failed()
            if token and self._redis is not None:
                await self._redis.release(state.name, key, token)
            raise
        seconds = time.monotonic() - clock
        self._auditor.database_answered()
        state.stats.fills.add(seconds)
        state.making.add(seconds)
        life = state.new_life_milliseconds(negative=payload is None)
        entry = Entry(payload, int(1000 * started), life, version or NO_VERSION, int(1000 * seconds))
        held = state.hold(entry, started)
        held.is_made = True
        if life > 0 and seconds < MAX_FILL_SECONDS:
            self._remember(state, key, held, writes)
            if version is not None and self._redis is not None:
                window = 0 if payload is None else int(1000 * state.window_seconds)
                await self._redis.store(
                    state.name, key, entry, versioned=state.is_versioned, keep_milliseconds=life + window, token=token
                )
        elif token and self._redis is not None:
            await self._redis.release(state.name, key, token)
        return held

    async def _ask(self, redis: RedisTier, state: GroupState, key: str, token: bytes) -> Found | Unavailable:
        return await redis.acquire(
            state.name, key, versioned=state.is_versioned, token=token, lease_seconds=state.making.lease_seconds
        )

    def _usable(self, state: GroupState, found: Found, asked: float) -> Held | None:
        """What was found, if it may be served now. `asked` is when Redis was asked, not when it answered."""
        if found.entry is None:
            return None
        held = state.hold(found.entry, asked)
        return held if self._clock() < held.stale_until else None

    def _remember(self, state: GroupState, key: str, held: Held, writes: int) -> None:
        """Keep an answer in memory, unless this process has invalidated something of the group since."""
        if state.writes == writes:
            self._memory.put(state.name, key, held)

    def _is_owed(self, state: GroupState, key: str) -> bool:
        return self._owed is not None and self._owed.covers(state.name, key)
