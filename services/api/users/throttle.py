"""Limits on registering and signing in: per client address, and per account.

An account's limit counts each try before the password is looked at, whether the account exists or not, and starts anew
with the right password. From one address it is strict; from all addresses together it is wider, so that a guesser
cannot lock the owner out from somewhere else, while many guessers at once are still stopped.
"""

from __future__ import annotations

from services.api.problems import ProblemError
from services.api.rate_limits import Limit, RateLimits, Standing

EVERYWHERE = 5
"""Tries of one account from all addresses together, in tries from one."""


class Throttle:
    """Admits or refuses; refusing is a ProblemError with status 429."""

    def __init__(
        self, limits: RateLimits, *, register_per_minute: int, token_per_minute: int, tries_per_minute: int
    ) -> None:
        self._limits = limits
        self._register = Limit("register", register_per_minute)
        self._token = Limit("token", token_per_minute)
        self._account_here = Limit("account", tries_per_minute)
        self._account = Limit("account-everywhere", tries_per_minute * EVERYWHERE)

    async def registration(self, address: str, email: str) -> dict[str, str]:
        """Before a registration. The headers for its answer."""
        return await self._admit(self._register, address, email)

    async def sign_in(self, address: str, email: str) -> dict[str, str]:
        """Before a password is checked. The headers for the answer."""
        return await self._admit(self._token, address, email)

    async def signed_in(self, address: str, email: str) -> None:
        """The password was right: earlier tries count no more."""
        await self._limits.forget(self._account_here, address, email)
        await self._limits.forget(self._account, email)

    async def _admit(self, by_address: Limit, address: str, email: str) -> dict[str, str]:
        standing = _allowed(await self._limits.hit(by_address, address), "from your address")
        # In turn: a try that is refused here does not count against the account everywhere.
        _allowed(await self._limits.hit(self._account_here, address, email), "for this account")
        _allowed(await self._limits.hit(self._account, email), "for this account")
        return standing.headers()


def _allowed(standing: Standing, whose: str) -> Standing:
    if standing.allowed:
        return standing
    raise ProblemError(
        429,
        f"Too many requests {whose}: {standing.limit.per_minute} a minute are allowed; "
        f"retry after {standing.reset_seconds} s",
        headers=standing.headers(),
    )
