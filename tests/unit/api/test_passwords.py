"""Hashing does not hold the event loop up, and a wave of log-ins finds a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from services.api.users.passwords import Passwords, PasswordsBusyError


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(threads=1, queue=2)
    yield made
    made.close()


async def test_the_right_password_alone_matches(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.matches(stored, "correct horse")
    assert not await passwords.matches(stored, "wrong horse")
    assert not await passwords.matches(None, "the password of nobody")
    assert not await passwords.matches("!", "!"), "no hash at all, as the seed writes it"


async def test_the_queue_is_bounded_and_frees_its_places(passwords: Passwords) -> None:
    for _ in range(2):
        results = await asyncio.gather(*(passwords.hash("x" * 8) for _ in range(10)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, PasswordsBusyError)]
        assert len(refused) == 7, "one is hashed, two wait"
        assert len(set(results) - set(refused)) == 3


async def test_a_client_that_left_takes_no_place_for_ever(passwords: Passwords) -> None:
    started, goes_on = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        goes_on.wait(60)

    running = asyncio.ensure_future(passwords._run(slow))
    await asyncio.to_thread(started.wait, 60)
    waiting = [asyncio.ensure_future(passwords.hash("x" * 8)) for _ in range(2)]
    await asyncio.sleep(0)
    for task in (running, *waiting):
        task.cancel()
    await asyncio.gather(running, *waiting, return_exceptions=True)
    # The queue is free at once, the thread when it is done.
    again = [asyncio.ensure_future(passwords.hash("x" * 8)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(PasswordsBusyError):
        await passwords.hash("x" * 8)
    goes_on.set()
    await asyncio.gather(*again)
    await passwords.hash("x" * 8)


async def test_the_loop_goes_on_meanwhile(passwords: Passwords) -> None:
    task = asyncio.ensure_future(passwords.hash("x" * 8))
    await asyncio.sleep(0)
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0.0005)
    assert turns
