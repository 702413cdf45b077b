"""What clients send and get about items. The patterns of the document say in JSON Schema what the validators hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

MAX_ID = 2**63 - 1
MAX_PRICE_CENTS = 10_000_000
MAX_STOCK = 1_000_000
DEFAULT_PAGE = 20
MAX_PAGE = 100
MIN_QUERY_LENGTH = 3
"""A shorter text has no trigram, so no index could help to find it."""
MAX_QUERY_LENGTH = 100

NO_NUL = r"^[^\x00]*$"
NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"
THREE_NOT_BLANK = r"^\s*[^\s\x00][^\x00]+[^\s\x00]\s*$"


def storable(text: str) -> str:
    """PostgreSQL's text holds neither NUL nor halves of surrogate pairs."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain NUL or unpaired surrogates")
    return text


def trimmed(text: str) -> str:
    """Without the blanks around it. The longest length is of what was sent, the shortest of what is left."""
    text = text.strip()
    if not text:
        raise ValueError("must not be blank")
    return text


def searchable(text: str) -> str:
    if len(text) < MIN_QUERY_LENGTH:
        raise ValueError(f"must have at least {MIN_QUERY_LENGTH} characters beside the blanks around it")
    return text


def _shown(pattern: str) -> Any:
    return Field(json_schema_extra={"pattern": pattern})


_NEW: dict[str, JsonValue] = {
    "name": "Brass lamp", "description": "Lights a desk", "category": "lighting", "price_cents": 4900, "stock": 12,
}  # fmt: skip
_MADE = "2026-01-31T12:00:00Z"
_ITEM: dict[str, JsonValue] = {"id": 17, **_NEW, "created_at": _MADE, "updated_at": _MADE}
_SUMMARY: dict[str, JsonValue] = {"id": 17, "name": "Brass lamp", "category": "lighting", "price_cents": 4900}


def number(value: object) -> object:
    """Of JSON: 5 and 5.0 are integers, "5" and true are none."""
    if isinstance(value, str | bool):
        raise ValueError("must be a number")
    return value


ItemId = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(number)]
Name = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(storable), AfterValidator(trimmed), _shown(NOT_BLANK)
]
Description = Annotated[str, Field(max_length=4000), AfterValidator(storable), _shown(NO_NUL)]
Category = Annotated[
    str, Field(min_length=1, max_length=64), AfterValidator(storable), AfterValidator(trimmed), _shown(NOT_BLANK)
]
PriceCents = Annotated[int, Field(ge=0, le=MAX_PRICE_CENTS), BeforeValidator(number)]
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK), BeforeValidator(number)]
SearchText = Annotated[
    str,
    Field(min_length=MIN_QUERY_LENGTH, max_length=MAX_QUERY_LENGTH),
    AfterValidator(storable),
    AfterValidator(trimmed),
    AfterValidator(searchable),
    _shown(THREE_NOT_BLANK),
]


class NewItem(BaseModel):
    """An item to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_NEW]})

    name: Name
    description: Description = ""
    category: Category
    price_cents: PriceCents
    stock: Stock = 0


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


_LEFT_OUT: Any = Field(default=None, json_schema_extra=_without_default)


class ItemChange(BaseModel):
    """The fields to change; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"minProperties": 1, "examples": [{"price_cents": 4500}]}
    )

    name: Name | SkipJsonSchema[None] = _LEFT_OUT
    description: Description | SkipJsonSchema[None] = _LEFT_OUT
    category: Category | SkipJsonSchema[None] = _LEFT_OUT
    price_cents: PriceCents | SkipJsonSchema[None] = _LEFT_OUT
    stock: Stock | SkipJsonSchema[None] = _LEFT_OUT

    @model_validator(mode="after")
    def _something_changes(self) -> ItemChange:
        changes = self.changes()
        if not changes:
            raise ValueError("name at least one field to change")
        empty = sorted(name for name, value in changes.items() if value is None)
        if empty:
            raise ValueError(f"null is no value of {', '.join(empty)}: leave out what shall stay")
        return self

    def changes(self) -> dict[str, Any]:
        """By field, what was sent."""
        return self.model_dump(exclude_unset=True)


class Item(BaseModel):
    """An item as clients see it. `stock` is what was left when the answer was made."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ITEM]})

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

    model_config = ConfigDict(json_schema_extra={"examples": [_SUMMARY]})

    id: int
    name: str
    category: str
    price_cents: int


class Page(BaseModel):
    """A page of a list. `next` is the value of `after` for the following page, null at the end."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_SUMMARY], "next": 17}]})

    items: list[ItemSummary]
    next: int | None


class Found(BaseModel):
    """What a search found, best first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_SUMMARY]}]})

    items: list[ItemSummary]
