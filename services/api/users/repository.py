"""Statements about users."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from services.api.tables import users
from services.api.users.rows import PasswordRow, UserRow
from trimtab.database import Queries, Statement

_PUBLIC = (users.c.id, users.c.email, users.c.created_at)

INSERT = Statement(
    "users.insert",
    insert(users)
    .values(email=bindparam("email", type_=Text), password_hash=bindparam("password_hash", type_=Text))
    .on_conflict_do_nothing(index_elements=[users.c.email])
    .returning(*_PUBLIC),
    UserRow,
)
BY_EMAIL = Statement(
    "users.by_email",
    select(users.c.id, users.c.password_hash).where(users.c.email == bindparam("email", type_=Text)),
    PasswordRow,
)
BY_ID = Statement("users.by_id", select(*_PUBLIC).where(users.c.id == bindparam("id", type_=BigInteger)), UserRow)


async def add(queries: Queries, email: str, password_hash: str) -> UserRow | None:
    """The new user; None where the address is taken."""
    return await queries.first(INSERT, email=email, password_hash=password_hash)


async def by_email(queries: Queries, email: str) -> PasswordRow | None:
    """Id and password hash."""
    return await queries.first(BY_EMAIL, email=email)


async def by_id(queries: Queries, user_id: int) -> UserRow | None:
    return await queries.first(BY_ID, id=user_id)
