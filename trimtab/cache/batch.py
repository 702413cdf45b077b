"""What is asked of Redis in one turn of the event loop goes to it in one message.

A message costs the client some 100 us of CPU time and a connection of its own, whatever it asks for; a key within one
costs some 2, a script some 20. Without this a burst of cold keys takes more connections than the client may open, and
looks like a Redis that is down. Nobody waits for another: what comes while a message is on its way goes with the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

MAX_ITEMS = 64
"""In one message: it should take Redis well below the time that a caller waits."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Failure = TypeVar("Failure")


class Batch(Generic[Item, Answer, Failure]):
    """`await batch.ask(item)` gives its answer. `send` is one message: the answers in order, or a failure."""

    def __init__(self, send: Callable[[list[Item]], Awaitable[list[Answer] | Failure]]) -> None:
        self._send = send
        self._waiting: list[tuple[Item, asyncio.Future[Answer | Failure]]] = []
        self._messages: set[asyncio.Task[None]] = set()

    async def ask(self, item: Item) -> Answer | Failure:
        """The answer, or the failure of the whole message."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._end_of_turn, context=Context())
        answer: asyncio.Future[Answer | Failure] = loop.create_future()
        self._waiting.append((item, answer))
        return await answer

    def _end_of_turn(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MAX_ITEMS):
            message = asyncio.get_running_loop().create_task(self._exchange(waiting[first : first + MAX_ITEMS]))
            self._messages.add(message)
            message.add_done_callback(self._messages.discard)

    async def _exchange(self, asked: list[tuple[Item, asyncio.Future[Answer | Failure]]]) -> None:
        try:
            answers = await self._send([item for item, _ in asked])
        except Exception as error:
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
            return
        except asyncio.CancelledError:
            for _, answer in asked:
                answer.cancel()
            raise
        for number, (_, answer) in enumerate(asked):
            if not answer.done():  # else its caller has gone
                answer.set_result(answers[number] if isinstance(answers, list) else answers)
