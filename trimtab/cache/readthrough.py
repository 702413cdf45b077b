"""Read-through: ask the memory of this process, then Redis, then make the answer and store it in both.

    answer = await cache.get("item", str(item_id), load)      # bytes, or None: there is no such item
    await cache.invalidate("item", str(item_id))              # after the commit

Answers are serialised bytes, so that a hit is sent as it is. What is wrong with Redis is never wrong with a request:
then answers are made directly, once at a time a key in this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from redis.asyncio import Redis

from trimtab.cache.audit import AUDIT_SHARE, Auditor
from trimtab.cache.background import Refresher
from trimtab.cache.filling import Filler, Load
from trimtab.cache.flights import SingleFlight
from trimtab.cache.groups import CacheGroup
from trimtab.cache.held import Held
from trimtab.cache.keys import KeyHistogram
from trimtab.cache.memory import MemoryTier
from trimtab.cache.owed import OwedInvalidations
from trimtab.cache.redis_tier import DEFAULT_WAIT_SECONDS, RedisTier
from trimtab.cache.state import GroupState
from trimtab.cache.stats import CacheStats
from trimtab.knobs.document import MAX_TTL_SECONDS

DEFAULT_MEMORY_ENTRIES = 20_000
DEFAULT_MEMORY_BYTES = 32 * 1024 * 1024
DEFAULT_DIRECT_READS = 64


class Cache:
    """The cache of one process. `redis` None: the in-process tier alone. One event loop.

    `load` makes an answer; it may also be called in the background, after the request that brought it, so it must hold
    nothing that ends with the request. `direct_reads` bounds the answers made at a time while Redis is not available;
    `audit_share` is the share of the hits that are audited. `clock` gives seconds since the epoch: pods compare each
    other's times of writing, so their clocks should agree to well below the shortest TTL.
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
        audit_share: float = AUDIT_SHARE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.stats = CacheStats([group.name for group in groups])
        self._clock = clock
        self._memory = MemoryTier(max_entries=memory_entries, max_bytes=memory_bytes)
        self._redis = RedisTier(redis, prefix=prefix, wait_seconds=redis_wait_seconds) if redis is not None else None
        self._owed = OwedInvalidations(self._redis) if self._redis is not None else None
        self._flights: SingleFlight[tuple[str, str], Held | None] = SingleFlight()
        self._auditor = Auditor(share=audit_share, healthy=self._redis_is_in_order)
        self._filler = Filler(
            self._memory, self._redis, self._owed, self._auditor, direct_reads=direct_reads, clock=clock
        )
        self._refresher = Refresher(self._filler, self._flights, clock)
        self._states = {
            group.name: GroupState(group, self._memory.of(group.name), self.stats.of[group.name]) for group in groups
        }
        for state in self._states.values():
            state.audit_at = self._auditor.gap() - 1

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

    def stale_window_seconds(self, group: str) -> float:
        """The window in force: how long beyond its life an answer is served while it is made anew."""
        return self._state(group).window_seconds

    def set_ttl(self, group: str, seconds: int) -> None:
        """Change a TTL at once. A lower one binds what is stored already, a higher one what is stored from now on."""
        if not 1 <= seconds <= MAX_TTL_SECONDS:
            raise ValueError(f"the TTL of the cache group {group} is {seconds} s, must be 1 to {MAX_TTL_SECONDS}")
        self._state(group).set_ttl(seconds)

    def memory_bytes(self, group: str) -> int:
        """Bytes that the in-process tier holds of a group."""
        return self._memory.bytes_of(group)

    def key_histogram(self, group: str) -> KeyHistogram | None:
        """Keys by how often they were read and written in the last complete window. None: none was completed yet."""
        return self._state(group).keys.histogram(self._clock())

    def peek(self, group: str, key: str) -> Held | None:
        """What the memory of this process may answer now, counted as a hit. None: ask `get`.

        `get` also audits: a share of the hits is left to it, and those that may have to be made anew. What is in its
        stale window is given only while it is being made anew.
        """
        state = self._states.get(group) or self._state(group)
        held = state.held.get(key)
        if held is None:
            return None
        now = self._clock()
        stats = state.stats
        if now < held.due:
            if stats.hits >= state.audit_at and self._leaves_to_audit(state):
                return None
            if held.payload is None:
                stats.count("memory", "negative")
            else:
                stats.hits += 1
        elif not self._refresher.lets_pass(held, now):
            return None
        elif now < held.fresh_until:
            stats.hits += 1
        else:
            stats.count("memory", "stale")
        held.used = True
        hashed = hash(key)
        if not hashed & state.keys.mask:
            state.keys.read(hashed, now)
        return held

    async def get(self, group: str, key: str, load: Load) -> bytes | None:
        """The answer for a key; `load` makes it where no tier has it. None: there is no such thing.

        Raises what `load` raises.
        """
        state = self._state(group)
        now = self._clock()
        state.count_key(key, now)
        held = state.held.get(key)
        if held is None or now >= held.here_until or now >= held.stale_until:
            state.stats.count("memory", "miss")
            return await self._find(state, key, load, now)
        held.used = True
        if state.audit_due or state.stats.hits >= state.audit_at:
            self._draw_next_audit(state)
            self._auditor.begin(state, key, held.payload, load)
        if held.payload is None:
            state.stats.count("memory", "negative")
        elif now < held.fresh_until:
            state.stats.hits += 1
        else:
            state.stats.count("memory", "stale")
        if now >= held.due:
            self._refresher.consider(state, key, load, held, now)
        return held.payload

    async def invalidate(self, group: str, key: str) -> None:
        """Forget the answer for a key: call it after the commit that changed it. Never fails.

        If Redis does not take it now it is delivered later; until then this process passes Redis by for the key.
        """
        state = self._state(group)
        state.stats.writes += 1
        state.count_key(key, self._clock(), written=True)
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
        state.stats.writes += 1
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
        await self._auditor.close()
        if self._owed is not None:
            await self._owed.close()
        if self._redis is not None:
            await self._redis.close()

    async def _find(self, state: GroupState, key: str, load: Load, now: float) -> bytes | None:
        held = None
        while held is None:  # None: a refresh was joined that another pod is at
            held = await self._flights.run((state.name, key), lambda: self._filler.find(state, key, load))
        if not held.is_made:
            if now >= held.due:
                self._refresher.consider(state, key, load, held, now)
            if self._auditor.draws():
                self._auditor.begin(state, key, held.payload, load)
        return held.payload

    def _leaves_to_audit(self, state: GroupState) -> bool:
        """Whether there is room to audit this hit."""
        self._draw_next_audit(state)
        state.audit_due = self._auditor.has_room()
        return state.audit_due

    def _draw_next_audit(self, state: GroupState) -> None:
        """Counted from the hit that is being served, which is not in `hits` yet."""
        state.audit_due = False
        state.audit_at = state.stats.hits + self._auditor.gap()

    def _forget(self, state: GroupState, key: str) -> None:
        """Also what is just being made: who asks from now on must not get it."""
        state.writes += 1
        self._memory.drop(state.name, key)
        self._flights.leave((state.name, key))
        self._auditor.forget(state.name, key)

    def _forget_group(self, state: GroupState) -> None:
        state.writes += 1
        self._memory.drop_group(state.name)
        self._flights.leave_all(lambda flying: flying[0] == state.name)
        self._auditor.forget_group(state.name)

    def _redis_is_in_order(self) -> bool:
        return self._redis is None or not (self._redis.is_down or self.owed_invalidations)

    def _state(self, group: str) -> GroupState:
        try:
            return self._states[group]
        except KeyError:
            raise KeyError(f"there is no cache group {group!r}; declared are {', '.join(self._states)}") from None
