"""Rows of users, in the order of the columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(slots=True)
class UserRow:
    """A user as clients may see one."""

    id: int
    email: str
    created_at: datetime


class PasswordRow(NamedTuple):
    """What a sign-in is checked against."""

    id: int
    password_hash: str
