"""What can be done about users."""

from __future__ import annotations

from services.api.catalog import Catalog
from services.api.problems import ProblemError
from services.api.users import repository
from services.api.users.passwords import PasswordsBusyError
from services.api.users.rows import UserRow
from services.api.users.schemas import Credentials, Token
from services.api.users.tokens import InvalidTokenError

TAKEN = "This address is registered already; ask for a token at POST /auth/token"
WRONG = "Address or password is wrong"
NOBODY = "The user of this token does not exist any more"
CHALLENGE = {"WWW-Authenticate": "Bearer"}


async def register(catalog: Catalog, credentials: Credentials) -> UserRow:
    """The new user. No connection is held while the password is hashed."""
    try:
        password_hash = await catalog.passwords.hash(credentials.password.get_secret_value())
    except PasswordsBusyError as error:
        raise _busy(error) from None
    user = await repository.add(catalog.database, credentials.email, password_hash)
    if user is None:
        raise ProblemError(409, TAKEN)
    return user


async def token(catalog: Catalog, credentials: Credentials) -> Token:
    """A token for the right password. The answer does not tell whether the address or the password was wrong."""
    user = await repository.by_email(catalog.database, credentials.email)
    password_hash = user.password_hash if user else None
    try:
        is_right = await catalog.passwords.matches(password_hash, credentials.password.get_secret_value())
    except PasswordsBusyError as error:
        raise _busy(error) from None
    if user is None or not is_right:
        raise ProblemError(401, WRONG, headers=CHALLENGE)
    return Token(access_token=catalog.tokens.issue(user.id), expires_in=catalog.tokens.seconds)


def user_of(catalog: Catalog, authorization: str | None) -> int:
    """The id of the bearer in an Authorization header."""
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not credentials:
        raise ProblemError(401, "This needs a token: Authorization: Bearer TOKEN (POST /auth/token)", headers=CHALLENGE)
    try:
        return catalog.tokens.user_id(credentials.strip())
    except InvalidTokenError as error:
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise ProblemError(401, f"{error}", headers=headers) from None


async def me(catalog: Catalog, user_id: int) -> UserRow:
    """The user of a token."""
    user = await repository.by_id(catalog.database, user_id)
    if user is None:
        raise ProblemError(401, NOBODY, headers=CHALLENGE)
    return user


def _busy(error: PasswordsBusyError) -> ProblemError:
    # With Retry-After, as admission says it: nothing is broken, there is more to do than can be done at once.
    return ProblemError(
        503,
        f"Too many sign-ins at once; retry after {error.retry_after_seconds} s",
        headers={"Retry-After": str(error.retry_after_seconds)},
    )
