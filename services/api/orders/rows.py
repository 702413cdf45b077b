"""Rows of orders, in the order of the columns."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class StockRow(NamedTuple):
    """What is left of an item, and what it costs."""

    item_id: int
    quantity: int
    price_cents: int


class OrderRow(NamedTuple):
    """An order without its lines."""

    id: int
    created_at: datetime
    total_cents: int


class OrderLineRow(NamedTuple):
    """A line with the order that it belongs to."""

    id: int
    created_at: datetime
    total_cents: int
    item_id: int
    quantity: int
    unit_price_cents: int


class PlacedRow(NamedTuple):
    """What an idempotency key was used for."""

    id: int
    request_hash: bytes
