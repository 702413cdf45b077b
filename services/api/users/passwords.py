"""Password hashes: argon2id in threads of their own, so that the event loop goes on meanwhile (argon2 frees the GIL).

Parameters: m = 19 MiB, t = 2, p = 1 (OWASP's password storage cheat sheet). The number of threads bounds the memory and
the cores that a wave of log-ins may take, the queue before them bounds how long anybody waits: who finds it full is
told to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
DEFAULT_QUEUE = 32
"""At about 30 ms a hash and two threads: half a second."""

P = ParamSpec("P")
R = TypeVar("R")


class PasswordsBusyError(Exception):
    """As many passwords wait for their hash as may. `retry_after_seconds` is what the client is told."""

    retry_after_seconds = 1


class Passwords:
    """Hashes and checks passwords off the event loop: `threads` at a time, `queue` more may wait."""

    def __init__(self, threads: int, queue: int = DEFAULT_QUEUE) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._places = BoundedSemaphore(threads + queue)
        self._nobody = self._hasher.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """The hash to store. Raises PasswordsBusyError."""
        return await self._run(self._hasher.hash, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one of the hash. Raises PasswordsBusyError.

        None (there is no such user) takes as long as a wrong password, so that time tells nobody who is registered.
        """
        matched = await self._run(self._verify, password_hash or self._nobody, password)
        return matched and password_hash is not None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._places.acquire(blocking=False):
            raise PasswordsBusyError
        future = self._threads.submit(work, *args, **kwargs)
        # Free when the thread is done with it, which may be later than a client that left; or never begun.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
