"""One client of the HTTP server: hypercorn's protocol over our own deadlines.

Hypercorn parses HTTP/1.1 and drives the ASGI application. What it leaves open is ours: every wait
for a client has an end, a request reaches the application when it is whole, and a client that hangs
up is noticed whatever it sent before.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ConnectionState

SLICE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take of us.

    Args:
        connections: at a time, over all listeners; one more is closed at once.
        handshake_timeout: seconds for TLS to be agreed on.
        read_timeout: seconds for a whole request, from its first byte (the first one of a connection:
            from the connection's start) to the end of its body.
        keep_alive_timeout: seconds between requests; longer than usual scrape intervals, so that
            Prometheus keeps its connection.
        write_timeout: seconds for a client to take 64 KiB, or the rest of an answer.
        farewell_timeout: seconds to read the end of an answer and to close, once we have.
        header_bytes: of a request's line and headers, and of what may be sent ahead of an answer.
        body_bytes: of a request's body; the exporter's own requests have none.
    """

    connections: int = 256
    handshake_timeout: float = 10.0
    read_timeout: float = 10.0
    keep_alive_timeout: float = 150.0
    write_timeout: float = 10.0
    farewell_timeout: float = 2.0
    header_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024


class Connection:
    """One client from its first byte to its last.

    At any time one deadline runs: for a request to become whole, for the next one to begin, or for
    the client to close; none while the application works. Passing it cuts the connection.
    """

    def __init__(
        self,
        app: ASGIWrapper,
        config: Config,
        context: WorkerContext,
        limits: Limits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._limits = limits
        self._reader = reader
        self._writer = writer
        self._sending = asyncio.Lock()
        self._idle = False
        self._ended = False
        self._deadline: asyncio.TimerHandle | None = None
        self._tasks = TaskGroup(asyncio.get_running_loop())
        self._http = _Http(
            limits,
            app,
            config,
            context,
            self._tasks,
            ConnectionState({}),
            writer.get_extra_info("ssl_object") is not None,
            _place(writer.get_extra_info("peername")),
            _place(writer.get_extra_info("sockname")),
            self._handle,
        )

    async def run(self) -> None:
        """Serves until either side closes and the application is done."""
        try:
            async with self._tasks:
                await self._read()
        finally:
            self._expect(None)
            self.abort()

    def close_if_idle(self) -> None:
        """Closes, unless a whole request is being worked on."""
        if self._http.stream is None:
            self._hang_up()

    def abort(self) -> None:
        """Cuts the connection; whoever reads or writes it finds out."""
        self._writer.transport.abort()

    async def _read(self) -> None:
        self._expect(self._limits.read_timeout)
        with contextlib.suppress(OSError):
            while data := await self._reader.read(self._limits.header_bytes):
                # Read and dropped: unread data in the kernel would reset the connection under our answer.
                if self._ended:
                    continue
                if self._idle:
                    self._idle = False
                    self._expect(self._limits.read_timeout)
                await self._http.handle(RawData(data))
        # An end of what the client sends is taken as its end: scrapers never half-close.
        await self._http.handle(Closed())
        await self._close()

    async def _handle(self, event: Event) -> None:
        """What hypercorn wants done with the connection."""
        match event:
            case RawData(data=data):
                await self._write(data)
            case Closed():
                self._end()
            case Updated(idle=False):
                self._expect(None)
            case Updated(idle=True) if not self._writer.is_closing():
                self._idle = not self._http.ahead
                self._expect(self._limits.keep_alive_timeout if self._idle else self._limits.read_timeout)

    async def _write(self, data: bytes) -> None:
        async with self._sending:
            for piece in _slices(data):
                if self._writer.is_closing():
                    return
                self._writer.write(piece)
                try:
                    async with asyncio.timeout(self._limits.write_timeout):
                        await self._writer.drain()
                except OSError:
                    self.abort()

    def _end(self) -> None:
        """Says that there is no more; the client is to close."""
        if self._ended or self._writer.is_closing():
            return
        self._ended = True
        self._expect(self._limits.farewell_timeout)
        with contextlib.suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            else:
                self._hang_up()

    async def _close(self) -> None:
        self._expect(self._limits.farewell_timeout)
        self._hang_up()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _hang_up(self) -> None:
        # Closed twice, asyncio's TLS loses hold of the connection and could not cut it any more.
        if not self._writer.is_closing():
            self._writer.close()

    def _expect(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        loop = asyncio.get_running_loop()
        self._deadline = None if seconds is None else loop.call_later(seconds, self.abort)


class _Http(H11Protocol):
    """Hypercorn's HTTP/1.1, without upgrades, and with requests handed on only when whole.

    So half a request never occupies the application, and its queue holds one message at most.
    """

    connection: h11.Connection
    _request: h11.Request
    _body: bytearray

    def __init__(self, limits: Limits, *rest: Any) -> None:
        super().__init__(*rest)
        self._limits = limits
        self._gone = False

    @property
    def ahead(self) -> int:
        """How many bytes have come that belong to no request yet."""
        return len(self.connection.trailing_data[0])

    async def handle(self, event: Event) -> None:
        if not isinstance(event, RawData):
            self._gone = True
            await super().handle(event)
            return
        self.connection.receive_data(event.data)
        if self.stream is None:
            await self._handle_events()
        elif self.ahead > self._limits.header_bytes:
            # Reading goes on during an answer, else nobody would notice a hang-up; but not for ever.
            raise ConnectionAbortedError

    async def _handle_events(self) -> None:
        while True:
            if self.connection.they_are_waiting_for_100_continue:
                await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))
            try:
                event = self.connection.next_event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return
            match event:
                case h11.Request():
                    self._request, self._body = event, bytearray()
                    status = self._objection(event)
                case h11.Data():
                    self._body += event.data
                    status = 413 if len(self._body) > self._limits.body_bytes else None
                case h11.EndOfMessage():
                    await self._hand_on()
                    return
                case _:
                    return
            if status:
                await self._refuse(status)
                return

    def _objection(self, request: h11.Request) -> int | None:
        if request.http_version not in (b"1.0", b"1.1"):
            return 505
        if sum(len(name) + len(value) for name, value in request.headers) > self._limits.header_bytes:
            return 431
        lengths = [int(value) for name, value in request.headers if name == b"content-length"]
        return 413 if any(length > self._limits.body_bytes for length in lengths) else None

    async def _refuse(self, status: int) -> None:
        await self._send_error_response(status)
        await self.send(Closed())

    async def _hand_on(self) -> None:
        await self.send(Updated(idle=False))
        stream = self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        request = Request(
            stream_id=STREAM_ID,
            headers=list(self._request.headers),
            http_version=self._request.http_version.decode(),
            method=self._request.method.decode(),
            raw_path=self._request.target,
            state=self.connection_state,
        )
        await stream.handle(request)
        if self._body:
            await stream.handle(Body(stream_id=STREAM_ID, data=bytes(self._body)))
        await stream.handle(EndBody(stream_id=STREAM_ID))

    async def _maybe_recycle(self) -> None:
        await super()._maybe_recycle()
        if self.connection.their_state is h11.IDLE and self.ahead and not self._gone:
            await self._handle_events()


def _slices(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    return (view[start : start + SLICE_BYTES] for start in range(0, len(view), SLICE_BYTES))


def _place(name: Any) -> tuple[str, int] | None:
    """Host and port of a socket's name; a unix socket and a client that is gone have none."""
    return name[:2] if isinstance(name, tuple) else None
