"""Password hashes: argon2id in threads of their own, so that the event loop goes on meanwhile (argon2 frees the GIL).

Parameters: m = 19 MiB, t = 2, p = 1 (OWASP's password storage cheat sheet). The number of threads bounds the memory and
the cores that a wave of log-ins may take.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1


class Passwords:
    """Hashes and checks passwords off the event loop."""

    def __init__(self, threads: int) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._nobody = self._hasher.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """The hash to store."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one of the hash.

        None (there is no such user) takes as long as a wrong password, so that time tells nobody who is registered.
        """
        loop = asyncio.get_running_loop()
        matched = await loop.run_in_executor(self._threads, self._verify, password_hash or self._nobody, password)
        return matched and password_hash is not None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
