"""What the report says."""

from __future__ import annotations

from pydantic import BaseModel


class CategoryRevenue(BaseModel):
    """What was sold of a category."""

    category: str
    orders: int
    units: int
    revenue_cents: int


class RevenueReport(BaseModel):
    """Revenue by category over the last `days`, the largest first."""

    days: int
    categories: list[CategoryRevenue]
