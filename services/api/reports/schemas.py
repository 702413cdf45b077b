"""What the report says."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

_CATEGORY: dict[str, JsonValue] = {"category": "lighting", "orders": 12, "units": 31, "revenue_cents": 151900}


class CategoryRevenue(BaseModel):
    """What was sold of a category."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CATEGORY]})

    category: str
    orders: int
    units: int
    revenue_cents: int


class RevenueReport(BaseModel):
    """Revenue by category over the last `days`, the largest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"days": 30, "categories": [_CATEGORY]}]})

    days: int
    categories: list[CategoryRevenue]
