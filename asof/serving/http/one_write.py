"""A response's head leaves with the first part of its body, in one write: each write is a system call and a packet."""

from typing import Any

import uvicorn.protocols.http.httptools_impl as uvicorn_http


class _Held:
    """A transport whose data waits for `release`; what uvicorn's cycle uses of one while it sends."""

    def __init__(self, transport: Any) -> None:
        self._transport, self._data = transport, list[bytes]()
        self.write = self._data.append

    def is_closing(self) -> bool:
        closing: bool = self._transport.is_closing()
        return closing

    def close(self) -> None:
        self.release().close()

    def release(self) -> Any:
        """Writes the data, and returns the transport."""
        if self._data:
            self._transport.write(b"".join(self._data))
            self._data.clear()
        return self._transport


class OneWriteCycle(uvicorn_http.RequestResponseCycle):
    """One request and its response."""

    transport: Any

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.transport = _Held(self.transport)
        await super().send(message)
        if isinstance(self.transport, _Held) and message["type"] == "http.response.body":
            self.transport = self.transport.release()


def join_writes() -> None:
    """Applies this to all of uvicorn's servers in this process, which use the cycle of this name."""
    uvicorn_http.RequestResponseCycle = OneWriteCycle  # type: ignore[misc]
