"""What clients send and get about orders."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, field_validator

from services.api.items.schemas import ItemId, number

MAX_LINES = 20
MAX_QUANTITY = 1000

_LINE: dict[str, JsonValue] = {"item_id": 17, "quantity": 2, "unit_price_cents": 4900}
_ORDER: dict[str, JsonValue] = {
    "id": 5, "created_at": "2026-01-31T12:00:00Z", "total_cents": 9800, "lines": [_LINE],
}  # fmt: skip


class NewLine(BaseModel):
    """So many of an item."""

    model_config = ConfigDict(extra="forbid")

    item_id: ItemId
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY), BeforeValidator(number)]


class NewOrder(BaseModel):
    """An order: each item once."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"lines": [{"item_id": 17, "quantity": 1}, {"item_id": 4, "quantity": 2}]}]},
    )

    lines: Annotated[list[NewLine], Field(min_length=1, max_length=MAX_LINES)]

    @field_validator("lines")
    @classmethod
    def _each_item_once(cls, lines: list[NewLine]) -> list[NewLine]:
        if len({line.item_id for line in lines}) < len(lines):
            raise ValueError("an item stands in two lines: add their quantities")
        return lines


class Line(BaseModel):
    """A line of an order, at the price of that moment."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LINE]})

    item_id: int
    quantity: int
    unit_price_cents: int


class Order(BaseModel):
    """An order as clients see it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ORDER]})

    id: int
    created_at: datetime
    total_cents: int
    lines: list[Line]


class Orders(BaseModel):
    """The latest orders first. `next` is the value of `before` for the following page, null at the end."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"orders": [_ORDER], "next": 5}]})

    orders: list[Order]
    next: int | None
