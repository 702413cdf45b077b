"""A TCP proxy that does to connections what networks and sick servers do: delay, cut, refuse, swallow."""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum
from types import TracebackType
from typing import Self

from deploy.servers import ports

CHUNK_BYTES = 64 * 1024


class Manner(Enum):
    """What happens to the bytes of a connection."""

    PASS = "everything passes"
    SILENT = "connections are accepted, nothing passes in either direction"
    LOSES_ANSWERS = "requests reach the server, no answer comes back"


class Proxy:
    """Listens on a free port of 127.0.0.1 and leads to `target`. Lives in the event loop of the test."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = ports.draw()
        self.manner = Manner.PASS
        self.delay_seconds = 0.0
        """Each piece of an answer arrives so much later."""
        self.trigger: bytes | None = None
        """A request with these bytes reaches the server, and from then on answers are lost."""
        self.accepted = 0
        self.requests = 0
        """Pieces that clients sent: for a protocol of small requests, about their number."""

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    async def listen(self) -> None:
        """Take connections (again)."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, ports.HOST, self.port)

    async def refuse(self) -> None:
        """End every connection and take no new one."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def heal(self) -> None:
        """Be a good network again, for new connections: those that suffered are cut."""
        self.manner, self.delay_seconds, self.trigger = Manner.PASS, 0.0, None
        self.cut()
        await self.listen()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        server: asyncio.StreamWriter | None = None
        try:
            answers, server = await asyncio.open_connection(*self._target)
            self._writers.add(server)
            await asyncio.gather(self._requests(reader, server), self._answers(answers, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one side went away, or the test is over: both sides end
        finally:
            for end in (writer, server):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            self._tasks.discard(task)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            self.requests += 1
            if self.trigger is not None and self.trigger in data:
                self.manner = Manner.LOSES_ANSWERS
            if self.manner is not Manner.SILENT:
                writer.write(data)
                await writer.drain()
        raise ConnectionAbortedError("the client is gone")

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if self.manner is Manner.PASS:
                writer.write(data)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
        raise ConnectionAbortedError("the server is gone")
