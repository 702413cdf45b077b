"""What can be done about items. Reads give serialised bytes: a cached answer is sent as it is."""

from __future__ import annotations

from services.api.answers import encode
from services.api.catalog import Catalog
from services.api.items import keys, repository
from services.api.items.cache import forget_items, writing_items
from services.api.items.rows import ItemRow
from services.api.items.schemas import ItemChange, NewItem
from services.api.problems import ProblemError


async def get(catalog: Catalog, item_id: int) -> bytes:
    async def load() -> bytes | None:
        row = await repository.get(catalog.database, item_id)
        return None if row is None else encode(row)

    answer = await catalog.cache.get("item", keys.item(item_id), load)
    if answer is None:
        raise no_item(item_id)
    return answer


async def page(catalog: Catalog, after: int, limit: int, category: str | None) -> bytes:
    async def load() -> bytes:
        rows = await repository.page(catalog.database, after, limit, category)
        following = rows[-1].id if len(rows) == limit else None
        return encode({"items": rows, "next": following})

    answer = await catalog.cache.get("list", keys.page(after, limit, category), load)
    return answer or b""


async def search(catalog: Catalog, text: str, limit: int) -> bytes:
    async def load() -> bytes:
        rows = await repository.search(catalog.database, text, limit)
        return encode({"items": rows})

    return await catalog.cache.get("search", keys.search(text, limit), load) or b""


async def create(catalog: Catalog, item: NewItem) -> ItemRow:
    row = await repository.add(catalog.database, item.model_dump())
    # Somebody may have asked for this id before it existed and been told, and the cache with him, that there is none.
    await forget_items(catalog.cache, [row.id])
    return row


async def change(catalog: Catalog, item_id: int, change: ItemChange) -> ItemRow:
    async with writing_items(catalog.cache, [item_id]):
        row = await repository.change(catalog.database, item_id, change.changes())
        if row is None:
            raise no_item(item_id)
    return row


async def remove(catalog: Catalog, item_id: int) -> None:
    async with writing_items(catalog.cache, [item_id]):
        if not await repository.remove(catalog.database, item_id):
            raise no_item(item_id)


def no_item(item_id: int) -> ProblemError:
    """What is answered about an item that does not exist."""
    return ProblemError(404, f"There is no item {item_id}")
