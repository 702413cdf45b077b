"""Reads that are asked for in one turn of the event loop go to Redis in one command.

A command costs the client some 200 us of CPU time whatever it asks for, a key within one some 5. A read waits for no
other: what comes while a command is on its way goes with the next one at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from itertools import chain
from typing import Generic, TypeVar

MAX_READS = 64
"""Reads in one command: it should take Redis well below the time that a caller waits."""

Failure = TypeVar("Failure")
Values = list[bytes | None]


class BatchedReads(Generic[Failure]):
    """`await reads.get(names)` gives their values in order. `mget` is one command; it may give a failure instead."""

    def __init__(self, mget: Callable[[list[str]], Awaitable[Values | Failure]]) -> None:
        self._mget = mget
        self._waiting: list[tuple[list[str], asyncio.Future[Values | Failure]]] = []
        self._commands: set[asyncio.Task[None]] = set()

    async def get(self, names: list[str]) -> Values | Failure:
        """The values, None for what does not exist, or the failure of the command."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send, context=Context())
        values: asyncio.Future[Values | Failure] = loop.create_future()
        self._waiting.append((names, values))
        return await values

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MAX_READS):
            command = asyncio.get_running_loop().create_task(self._ask(waiting[first : first + MAX_READS]))
            self._commands.add(command)
            command.add_done_callback(self._commands.discard)

    async def _ask(self, reads: list[tuple[list[str], asyncio.Future[Values | Failure]]]) -> None:
        try:
            answer = await self._mget(list(chain.from_iterable(names for names, _ in reads)))
        except Exception as error:
            for _, values in reads:
                if not values.done():
                    values.set_exception(error)
            return
        except asyncio.CancelledError:
            for _, values in reads:
                values.cancel()
            raise
        begin = 0
        for names, values in reads:
            end = begin + len(names)
            if not values.done():  # else its caller has gone
                values.set_result(answer[begin:end] if isinstance(answer, list) else answer)
            begin = end
