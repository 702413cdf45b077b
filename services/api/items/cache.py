"""Forgetting items that were written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from trimtab.cache import Cache


async def forget_items(cache: Cache, item_ids: Iterable[int]) -> None:
    """After the commit that changed the items or their stock."""
    await asyncio.gather(*(cache.invalidate("item", str(item_id)) for item_id in item_ids))
