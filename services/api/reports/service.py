"""The reports, cached by their parameters."""

from __future__ import annotations

from services.api.answers import encode
from services.api.catalog import Catalog
from services.api.reports import repository


async def revenue(catalog: Catalog, days: int) -> bytes:
    """Revenue by category over the last `days`, serialised."""

    async def load() -> bytes:
        rows = await repository.revenue(catalog.database, days)
        return encode({"days": days, "categories": rows})

    return await catalog.cache.get("report", f"revenue:{days}", load) or b""
