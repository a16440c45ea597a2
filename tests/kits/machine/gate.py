"""A network that hangs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any


class Gate:
    """A proxy to PostgreSQL that can stop forwarding, like a network that hangs."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._passing: set[asyncio.Task[Any]] = set()
        self.open = asyncio.Event()
        self.open.set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Returns the port."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()
        for each in self._passing:
            each.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._server)
        for source, target in ((reader, to_server), (from_server, writer)):
            self._passing.add(asyncio.create_task(self._copy(source, target)))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.open.wait()
                writer.write(data)
