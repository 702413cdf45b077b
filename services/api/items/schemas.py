"""What clients send and get about items."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

MAX_ID = 2**63 - 1
MAX_PRICE_CENTS = 10_000_000
MAX_STOCK = 1_000_000
MIN_QUERY_LENGTH = 3
"""A shorter text has no trigram, so no index could help to find it."""


def storable(text: str) -> str:
    """PostgreSQL's text holds neither NUL nor halves of surrogate pairs."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain NUL or unpaired surrogates")
    return text


_EXAMPLE: dict[str, JsonValue] = {
    "name": "Brass lamp", "description": "Lights a desk", "category": "lighting", "price_cents": 4900, "stock": 12,
}  # fmt: skip

ItemId = Annotated[int, Field(ge=1, le=MAX_ID)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)]
Description = Annotated[str, Field(max_length=4000), AfterValidator(storable)]
Category = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), AfterValidator(storable)
]
PriceCents = Annotated[int, Field(ge=0, le=MAX_PRICE_CENTS)]
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK)]
SearchText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=MIN_QUERY_LENGTH, max_length=100),
    AfterValidator(storable),
]


class NewItem(BaseModel):
    """An item to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    description: Description = ""
    category: Category
    price_cents: PriceCents
    stock: Stock = 0


class ItemChange(BaseModel):
    """The fields to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"price_cents": 4500}]})

    name: Name | None = None
    description: Description | None = None
    category: Category | None = None
    price_cents: PriceCents | None = None
    stock: Stock | None = None

    @model_validator(mode="after")
    def _something_changes(self) -> ItemChange:
        if not self.changes():
            raise ValueError("name at least one field to change")
        return self

    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class Item(BaseModel):
    """An item as clients see it. `stock` is what was left when the answer was made."""

    id: int
    name: str
    description: str
    category: str
    price_cents: int
    stock: int
    created_at: datetime
    updated_at: datetime


class ItemSummary(BaseModel):
    """An item in a list."""

    id: int
    name: str
    category: str
    price_cents: int


class Page(BaseModel):
    """A page of a list. `next` is the value of `after` for the following page, null at the end."""

    items: list[ItemSummary]
    next: int | None


class Found(BaseModel):
    """What a search found, best first."""

    items: list[ItemSummary]
