"""Signed tokens that expire (JWT, HS256)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt

from services.api.items.schemas import MAX_ID

ALGORITHM = "HS256"
ISSUER = "catalog"
INVALID = "the token is invalid; ask for one at POST /auth/token"


class InvalidTokenError(Exception):
    """The token was not signed here, was changed, or has expired. The message may go to the client."""


class Tokens:
    """Makes and reads the tokens of one secret. `seconds` is a token's life."""

    def __init__(self, secret: str, seconds: int) -> None:
        self._secret = secret
        self.seconds = seconds

    def issue(self, user_id: int, now: datetime | None = None) -> str:
        """A token that says who its bearer is."""
        now = now or datetime.now(UTC)
        claims = {"iss": ISSUER, "sub": str(user_id), "iat": now, "exp": now + timedelta(seconds=self.seconds)}
        return jwt.encode(claims, self._secret, ALGORITHM)

    def user_id(self, token: str) -> int:
        """Whose token it is. Raises InvalidTokenError."""
        try:
            claims = jwt.decode(
                token, self._secret, [ALGORITHM], issuer=ISSUER, options={"require": ["exp", "sub", "iss"]}
            )
            user_id = int(claims["sub"])
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError("the token has expired; ask for a new one at POST /auth/token") from None
        except (jwt.InvalidTokenError, ValueError):
            raise InvalidTokenError(INVALID) from None
        if not 1 <= user_id <= MAX_ID:
            raise InvalidTokenError(INVALID)
        return user_id
