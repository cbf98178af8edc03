"""One client of the HTTP server. h11 parses and frames HTTP/1.1; reading, writing and deadlines are here.

Every wait for a client has an end, a request reaches the application when it is whole, and a client
that disconnects is noticed at any time.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import Any, cast

import h11
from starlette.types import ASGIApp

from exporter.web.asgi import RequestCycle, ResponseEvent, completed
from exporter.web.encrypted import READ_BYTES, Encrypted
from exporter.web.limits import Limits
from exporter.web.parser import Parser
from exporter.web.turns import Turns

WRITE_BYTES = 64 * 1024
SEND_BUFFER_BYTES = 256 * 1024
"""Enough for 5 MB/s over a network with a round trip of 50 ms, and 64 MiB for 256 clients."""
# The context of new connections, or what returns it for each of them.
Tls = ssl.SSLContext | Callable[[], ssl.SSLContext] | None

_log = logging.getLogger(__name__)


class ConnectionState(Enum):
    """What a connection waits for."""

    OPENING = auto()  # the TLS handshake
    READING = auto()  # the rest of a request; after the handshake also its first byte
    IDLE = auto()  # the first byte of the next request
    WORKING = auto()  # the application's response to a whole request
    ENDING = auto()  # the end: what the client still sends is dropped


class Connection(asyncio.BufferedProtocol):
    """One client from its accept to its end.

    Each state has one deadline, at which the connection is cut; in ``WORKING`` only writing has one.

    Args:
        client: an accepted socket; the connection closes it.
        turns: shared by all connections of the server.
        changed: called after each change of the state.

    Attributes:
        opened: the time of the event loop at which it was accepted.
        state: what it waits for.
        served: whether it has sent a whole request.
        task: what serves it; done when it is closed.
    """

    _transport: asyncio.Transport
    _origin: dict[str, Any]

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        client: socket.socket,
        tls: Tls,
        *,
        turns: Turns,
        changed: Callable[["Connection"], None] = lambda _: None,
    ) -> None:
        self._app = app
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._http = h11.Connection(h11.SERVER, limits.header_bytes)
        self._parser = Parser(self._http, limits)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self._exchange: RequestCycle | None = None
        self._last = False
        self._deadline: asyncio.TimerHandle | None = None
        self._turns = turns
        self._changed = changed
        self.opened = self._loop.time()
        self.state = ConnectionState.OPENING
        self.served = False
        self.task = self._loop.create_task(self._run(client, tls))
        # A task that is cancelled before it has run does not close the socket it was made for.
        self.task.add_done_callback(lambda _: client.close())

    def finish(self) -> None:
        """Closes: now when no whole request is being worked on, otherwise after its response."""
        self._last = True
        if self.state is ConnectionState.OPENING:
            self.task.cancel()
        elif self.state is not ConnectionState.WORKING:
            self._enter(ConnectionState.ENDING)
            self._close()

    def cut(self) -> None:
        """Closes now, whatever is being done."""
        self._abort()
        self.task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done."""
        self._transport = cast("asyncio.Transport", transport)
        # Nothing waits in our memory for a slow client: `_write` waits until the kernel has it all.
        # Not high=0: asyncio's TLS would treat an empty buffer as a full one.
        self._transport.set_write_buffer_limits(high=1, low=0)
        # Nor much in the memory of the kernel, which would grow to megabytes for each client.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._origin = {
            "scheme": "https" if transport.get_extra_info("ssl_object") else "http",
            "client": _address(transport.get_extra_info("peername")),
            "server": _address(transport.get_extra_info("sockname")),
        }
        self._enter(ConnectionState.READING)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next data go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Keeps what the client has sent until it can be parsed."""
        if self.state is ConnectionState.ENDING:
            # Read and dropped: unread data in the kernel would reset the connection under our response.
            return
        if self.state is ConnectionState.IDLE:
            self._enter(ConnectionState.READING)
        self._parser.receive(self._buffer[:nbytes])
        self._arrived.set()
        if self.state is ConnectionState.READING:
            # Until it is parsed, see `_request`.
            self._transport.pause_reading()
        elif self._parser.ahead > 2 * self._limits.header_bytes:
            # Reading continues during a response to detect a disconnect, but what it may store is limited.
            self._abort()

    def eof_received(self) -> None:
        """The client sends no more: asyncio closes, since scrapers never half-close."""
        self._disconnected()

    def connection_lost(self, exc: Exception | None) -> None:
        """Either side has closed."""
        self._closed.set()
        self._writable.set()
        self._disconnected()

    def pause_writing(self) -> None:
        """The kernel does not have everything yet."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The kernel has everything."""
        self._writable.set()

    async def _run(self, client: socket.socket, tls: Tls) -> None:
        try:
            if tls is None:
                await self._loop.connect_accepted_socket(lambda: self, client)
            else:
                await self._encrypt(client, tls() if callable(tls) else tls)
            await self._serve()
        except asyncio.CancelledError:
            # Ends here: the task would keep the frames, and they the task. Thousands of connections that were
            # cut would make a garbage collection on the loop long.
            _log.debug("a connection was cut")
        except OSError as error:
            _log.debug("a connection broke off", extra={"reason": type(error).__name__})
        except Exception:  # noqa: BLE001  # an error of one connection does not end the server
            _log.exception("a connection failed")
        finally:
            self._abort()

    async def _encrypt(self, client: socket.socket, context: ssl.SSLContext) -> None:
        transport, _ = await self._loop.connect_accepted_socket(lambda: Encrypted(self._turns), client)
        secured = await self._loop.start_tls(
            cast("asyncio.Transport", transport.get_protocol()),
            self,
            context,
            server_side=True,
            ssl_handshake_timeout=self._limits.handshake_timeout,
            ssl_shutdown_timeout=self._limits.farewell_timeout,
        )
        if secured is None:
            raise ConnectionResetError
        self.connection_made(secured)

    async def _serve(self) -> None:
        try:
            while (request := await self._request()) and await self._respond(*request):
                self._http.start_next_cycle()
                self._enter(ConnectionState.READING if self._parser.ahead else ConnectionState.IDLE)
        except h11.RemoteProtocolError as error:
            # The frames refer to the error: the same.
            await self._refuse(error.with_traceback(None).error_status_hint)
        self._enter(ConnectionState.ENDING)
        with contextlib.suppress(OSError):
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._close()
        await self._closed.wait()

    async def _request(self) -> tuple[h11.Request, bytes] | None:
        """The next whole request and its body; ``None`` when the connection closes before.

        Raises:
            RemoteProtocolError: the request is refused.
        """
        while True:
            await self._turns.mine()
            if self._transport.is_closing():
                return None
            try:
                request = self._parser.next()
            finally:
                self._transport.resume_reading()
            if request is not None:
                return request
            if self._parser.unparsed:
                continue
            if self._http.they_are_waiting_for_100_continue:
                # Without waiting until it is sent, since there is no bound on what arrives meanwhile.
                self._transport.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
            self._arrived.clear()
            await self._arrived.wait()

    async def _respond(self, request: h11.Request, body: bytes) -> bool:
        """Calls the application; returns whether the connection can be kept."""
        self.served = True
        self._enter(ConnectionState.WORKING)
        self._exchange = RequestCycle(request, body, self._origin, self._write)
        await self._exchange.run(self._app)
        self._exchange = None
        if self._http.our_state is h11.SEND_RESPONSE:
            await self._refuse(500)
        elif self._http.our_state in (h11.SEND_BODY, h11.ERROR):
            # So that half a response does not look like a whole one.
            self._abort()
        return not self._last and self._http.our_state is self._http.their_state is h11.DONE

    async def _refuse(self, status: int) -> None:
        self._enter(ConnectionState.ENDING)
        headers = completed([(b"content-length", b"0"), (b"connection", b"close")])
        await self._write([h11.Response(status_code=status, headers=headers), h11.EndOfMessage()])

    async def _write(self, events: Sequence[ResponseEvent]) -> None:
        # Passed through: to join the parts of an event would copy whole pages.
        parts = [self._http.send_with_data_passthrough(event) or () for event in events]
        for part in _slices([*itertools.chain(*parts)]):
            if self._transport.is_closing():
                return
            self._transport.write(part)
            if self._writable.is_set():
                continue
            try:
                async with asyncio.timeout(self._limits.write_timeout):
                    await self._writable.wait()
            except TimeoutError:
                self._abort()

    def _enter(self, state: ConnectionState) -> None:
        self.state = state
        self._changed(self)
        if self._deadline is not None:
            self._deadline.cancel()
        seconds = {
            ConnectionState.READING: self._limits.read_timeout,
            ConnectionState.IDLE: self._limits.keep_alive_timeout,
            ConnectionState.ENDING: self._limits.farewell_timeout,
        }.get(state)
        self._deadline = None
        if seconds is not None and not self._closed.is_set():
            self._deadline = self._loop.call_later(seconds, self._abort)

    def _disconnected(self) -> None:
        # TLS can report data and their end before it reports the end of its handshake.
        if self.state is not ConnectionState.OPENING:
            self._enter(ConnectionState.ENDING)
        self._arrived.set()
        if self._exchange is not None:
            self._exchange.disconnect()

    def _close(self) -> None:
        # Closed twice, asyncio's TLS loses the connection and cannot abort it.
        if not self._transport.is_closing():
            self._transport.close()

    def _abort(self) -> None:
        if self.state is not ConnectionState.OPENING:
            self._transport.abort()


def _slices(parts: Sequence[bytes]) -> Iterator[memoryview]:
    """What is written in one go: small parts together, large ones without a copy."""
    if sum(map(len, parts)) <= WRITE_BYTES:
        parts = [b"".join(parts)]
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), WRITE_BYTES):
            yield view[start : start + WRITE_BYTES]


def _address(name: Any) -> tuple[str, int] | None:
    """Host and port of a socket's name; a Unix socket and a client that is gone have none."""
    return name[:2] if isinstance(name, tuple) else None
