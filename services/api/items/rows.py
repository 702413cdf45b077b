"""Rows of items, in the order of the columns. As dataclasses they are encoded as they are (orjson)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class SummaryRow:
    """An item in a list."""

    id: int
    name: str
    category: str
    price_cents: int


@dataclass(slots=True)
class ItemRow:
    """An item with its stock."""

    id: int
    name: str
    description: str
    category: str
    price_cents: int
    created_at: datetime
    updated_at: datetime
    stock: int
