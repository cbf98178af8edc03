"""TLS of the connections, in turns."""

import asyncio
from typing import Any, cast

from exporter.runtime.tasks import log_failure
from exporter.web.turns import Turns

READ_BYTES = 4096


class Encrypted(asyncio.BufferedProtocol):
    """What is between a socket and asyncio's TLS. It passes on what arrives when the connection has its turn.

    A signature in a handshake takes a millisecond. Without this, the handshakes of all clients that connect
    at the same time would be in one turn of the event loop.

    This is a protocol to the transport of the socket, and that transport to TLS.
    """

    _transport: asyncio.Transport
    _tls: asyncio.BufferedProtocol

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._passing: asyncio.Task[None] | None = None
        self._reads = False

    def __getattr__(self, name: str) -> Any:
        """All else that TLS uses of the transport."""
        return getattr(self._transport, name)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Sets what the data are passed to."""
        self._tls = cast("asyncio.BufferedProtocol", protocol)

    def pause_reading(self) -> None:
        """TLS wants no data now."""
        self._reads = False
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """TLS wants data."""
        self._reads = True
        if self._passing is None:
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reads nothing before there is TLS."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next data go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Reads no more until these data are passed on."""
        self._transport.pause_reading()
        self._passing = asyncio.get_running_loop().create_task(self._pass(nbytes))
        log_failure(self._passing, "pass on encrypted data")

    async def _pass(self, nbytes: int) -> None:
        await self._turns.mine()
        self._passing = None
        if not self._transport.is_closing():
            memoryview(self._tls.get_buffer(nbytes))[:nbytes] = self._buffer[:nbytes]
            self._tls.buffer_updated(nbytes)
        if self._reads:
            self._transport.resume_reading()

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return self._tls.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Either side has closed."""
        self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        """The kernel does not have everything yet."""
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        """The kernel has everything."""
        self._tls.resume_writing()
