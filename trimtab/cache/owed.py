"""Invalidations that Redis did not take: kept, and delivered as soon as it answers again."""

from __future__ import annotations

import asyncio
import contextlib

from trimtab.cache.redis_tier import RedisTier

MAX_OWED_KEYS = 10_000
"""Beyond this many keys of a group the whole group is invalidated instead."""

RETRY_SECONDS = 0.25


class OwedInvalidations:
    """Keys and groups whose invalidation is still to be delivered. Reads of them must pass Redis by."""

    def __init__(self, tier: RedisTier) -> None:
        self._tier = tier
        self._keys: dict[tuple[str, str], int] = {}
        self._groups: dict[str, int] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    def covers(self, group: str, key: str) -> bool:
        """Whether Redis may still hold an answer for the key that is known to be old."""
        return bool(self._keys or self._groups) and ((group, key) in self._keys or group in self._groups)

    def __len__(self) -> int:
        return len(self._keys) + len(self._groups)

    def owe(self, group: str, key: str | None) -> None:
        """Deliver later; `key` None: the whole group."""
        self._count += 1
        if key is None or len(self._keys) >= MAX_OWED_KEYS:
            self._groups[group] = self._count
        else:
            self._keys[group, key] = self._count
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._deliver(), name="trimtab-cache-owed")

    async def _deliver(self) -> None:
        """An invalidation that is owed anew while it is being delivered is delivered again."""
        while self._keys or self._groups:
            for group, count in list(self._groups.items()):
                if not await self._tier.invalidate_group(group, patiently=True):
                    break
                if self._groups.get(group) == count:
                    del self._groups[group]
            for (group, key), count in list(self._keys.items()):
                if not await self._tier.invalidate(group, key, patiently=True):
                    break
                if self._keys.get((group, key)) == count:
                    del self._keys[group, key]
            if self._keys or self._groups:
                await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Stop trying."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
