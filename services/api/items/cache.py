"""Forgetting items that were written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from services.api.problems import ProblemError
from trimtab.cache import Cache


async def forget_items(cache: Cache, item_ids: Collection[int]) -> None:
    """After the commit that changed the items or their stock."""
    await asyncio.gather(*(cache.invalidate("item", str(item_id)) for item_id in item_ids))


@asynccontextmanager
async def writing_items(cache: Cache, item_ids: Collection[int]) -> AsyncIterator[None]:
    """Around a write of items or their stock, its commit included: forgets them afterwards.

    Also where the database failed: the answer to a commit may be what was lost. A write that was refused (ProblemError)
    changed nothing.
    """
    try:
        yield
    except ProblemError:
        raise
    except BaseException:
        await forget_items(cache, item_ids)
        raise
    await forget_items(cache, item_ids)
