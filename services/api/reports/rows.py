"""Rows of the reports, in the order of the columns. As dataclasses they are encoded as they are (orjson)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CategoryRow:
    """What was sold of a category."""

    category: str
    orders: int
    units: int
    revenue_cents: int
