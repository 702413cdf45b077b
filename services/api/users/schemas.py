"""What clients send and get about users."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from services.api.items.schemas import NO_NUL, storable

# One "@" with something on both sides and no blanks: whether the address exists only a mail to it could tell.
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, min_length=3, max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$"
    ),
]


def _encodable(password: SecretStr) -> SecretStr:
    """The hash is of UTF-8; NUL is refused as everywhere, other tools end a password there."""
    storable(password.get_secret_value())
    return password


Password = Annotated[
    SecretStr,
    Field(min_length=8, max_length=128, json_schema_extra={"pattern": NO_NUL}),
    AfterValidator(_encodable),
]


class Credentials(BaseModel):
    """For registering and for asking for a token."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ada@example.org", "password": "correct horse"}]}
    )

    email: Email
    password: Password


class User(BaseModel):
    """A user as clients see one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": 3, "email": "ada@example.org", "created_at": "2026-01-31T12:00:00Z"}]}
    )

    id: int
    email: str
    created_at: datetime


class Token(BaseModel):
    """A bearer token and how long it is good for, in seconds."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"access_token": "eyJhbGciOi...", "token_type": "bearer", "expires_in": 3600}]}
    )

    access_token: str
    token_type: str = "bearer"  # noqa: S105  # RFC 6750's name of the scheme
    expires_in: int
