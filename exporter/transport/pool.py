"""Many transfers at a time on the event loop: libcurl's multi interface, driven by ``socket_action``.

libcurl's callbacks report the sockets and the time that it waits for. libcurl must not be called from a
callback, so handles are added and removed after it has returned.
"""

import asyncio
import math
import threading

import pycurl

from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.runtime.compute import Turns
from exporter.transport.handle import Handle
from exporter.transport.pem import Pem
from exporter.transport.prepared import Outgoing
from exporter.transport.settings import DEFAULTS, ConnectionSettings
from exporter.transport.slots import Slots
from exporter.transport.sockets import Sockets

TOGETHER = 8
"""Responses that are received before they are read and the next requests are sent: a vendor can answer these
while more are received. One at a time needs a quarter more CPU, since code and data leave the caches."""


class ConnectionPool:
    """The connections to one system. Must be created on the event loop that uses it.

    Each pool has its own multi handle, so slow name lookups or a full pool of one system delay no other.

    Args:
        settings: how to connect. Changed TLS files need a new pool, see `ReloadingPool`.
        pem: the content of the TLS files; read now by default, which blocks.
        max_connections: limit of transfers at a time and of connections kept. More transfers wait in order
            of arrival; waiting counts against their timeout.
        turns: of the event loop, shared with all other work on it.

    Attributes:
        pem: the content of the TLS files.
        stalled: a response did not come in time on a connection that libcurl keeps nevertheless. Such a
            connection may be dead, which makes every further request on it fail in the same way.
    """

    def __init__(
        self,
        settings: ConnectionSettings = DEFAULTS,
        pem: Pem | None = None,
        *,
        max_connections: int = 16,
        turns: Turns | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._turns = turns or Turns()
        self._settings = settings
        self.pem = pem or settings.tls.read()
        self._slots = Slots(max_connections)
        self._handles: list[Handle] = []
        self._waiting: dict[pycurl.Curl, asyncio.Future[int]] = {}
        self._running = 0
        self._closed = self._ended = False
        self.stalled = False
        self._idle: asyncio.Future[None] | None = None
        self._sockets = Sockets(self._on_events)
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._timeout_scheduled = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._sockets.watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timeout)

    async def send(
        self,
        request: Outgoing,
        *,
        timeout: float,  # noqa: ASYNC109  # libcurl keeps the time
        max_bytes: int,
        fresh: bool = False,
        phases: bool = False,
    ) -> Response:
        """Sends a request, see `Handle.load`, and waits for the complete response, of any status.

        Args:
            timeout: seconds for everything, including name lookup and waiting for a connection.
            max_bytes: limit of the decoded body.
            fresh: send it on a new connection.
            phases: measure each phase.

        Raises:
            Failure: there is no complete response; a `Dropped` if the request can be sent again.
        """
        seconds = timeout if self._slots.take() else await self._wait_for_slot(timeout)
        try:
            return await self._transfer(request, seconds, max_bytes, fresh=fresh, phases=phases)
        finally:
            self._slots.give_back()

    async def _wait_for_slot(self, seconds: float) -> float:
        """Waits for a slot and returns the remaining seconds."""
        end = self._loop.time() + seconds
        try:
            await self._slots.wait(end)
        except TimeoutError:
            raise Failure(Reason.TIMEOUT, f"no connection was free within {seconds:.1f} s") from None
        return end - self._loop.time()

    async def close(self, grace: float = 1.0) -> None:
        """Rejects new requests and waits for running ones, ``grace`` seconds at most; the rest fail.

        A thread closes the connections. It is not waited for: a running name lookup may block it for seconds.
        """
        if self._closed:
            return
        self._closed = True
        await self._all_ended(grace)
        self._end_all(Failure(Reason.INTERNAL, "the connection pool was closed"))
        await self._all_ended(1.0)
        self._sockets.close()
        if self._timer is not None:
            self._timer.cancel()
        self._ended = True
        # Not while a transfer runs whose task was never resumed: it still uses the multi handle.
        if not self._running:
            threading.Thread(target=_close, args=(self._multi, self._handles), daemon=True).start()

    async def _all_ended(self, seconds: float) -> None:
        self._idle = self._loop.create_future()
        if self._running:
            await asyncio.wait([self._idle], timeout=seconds)

    async def _transfer(
        self, request: Outgoing, seconds: float, max_bytes: int, *, fresh: bool, phases: bool
    ) -> Response:
        if self._closed:
            raise Failure(Reason.INTERNAL, "the connection pool is closed")
        # If it cannot be loaded, the handle is not used again.
        handle = self._handles.pop() if self._handles else Handle(self._settings, self.pem)
        curl = handle.curl
        try:
            handle.load(request, seconds, max_bytes, fresh=fresh)
            self._multi.add_handle(curl)
        except pycurl.error as error:
            raise _libcurl_failure(error) from None
        self._running += 1
        self._waiting[curl] = ended = self._loop.create_future()
        try:
            code = await ended
            # A timeout closes a connection of HTTP/1.1, but not one of HTTP/2, which may have other streams.
            if code == pycurl.E_OPERATION_TIMEDOUT and curl.getinfo(pycurl.ACTIVESOCKET) != pycurl.SOCKET_BAD:
                self.stalled = True
            return handle.response(code, phases=phases)
        finally:
            self._waiting.pop(curl, None)
            self._multi.remove_handle(curl)
            handle.clear()
            self._handles.append(handle)
            self._running -= 1
            if self._idle is not None and not self._running and not self._idle.done():
                self._idle.set_result(None)

    def _set_timeout(self, milliseconds: int) -> None:
        """A callback of libcurl: when it has to be called, instead of the time before; never if it is -1."""
        if milliseconds < 0:
            self._due = math.inf
        elif milliseconds:
            self._due = self._loop.time() + milliseconds / 1000
            # The timer of an earlier time stays; when it fires, it is set again.
            if self._due < self._timer_at and not self._ended:
                self._set_timer()
        elif not self._timeout_scheduled and not self._ended:
            self._timeout_scheduled = True
            self._loop.call_soon(self._fire_timeout)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._due
        self._timer = self._loop.call_at(self._due, self._timer_fired)

    def _on_events(self) -> None:
        waiting = len(self._waiting)
        for fd, events in self._sockets.events():
            # An event that is not handled is reported in the next turn again.
            if self._turns.is_over or waiting - len(self._waiting) >= TOGETHER:
                break
            self._socket_action(fd, events)

    def _socket_action(self, fd: int, events: int) -> None:
        """Lets libcurl handle events of a socket, or its timeout."""
        if self._ended:
            return
        try:
            alive = self._multi.socket_action(fd, events)[1]
        except pycurl.error as error:
            # The multi handle is broken and would never end the transfers.
            self._end_all(_libcurl_failure(error))
            return
        if alive < len(self._waiting):
            self._collect_ended()

    def _end_all(self, failure: Failure) -> None:
        for ended in self._waiting.values():
            if not ended.done():
                ended.set_exception(failure)

    def _collect_ended(self) -> None:
        _, succeeded, failed = self._multi.info_read()
        for curl in succeeded:
            self._has_ended(curl, 0)
        for curl, code, _ in failed:
            self._has_ended(curl, code)

    def _has_ended(self, curl: pycurl.Curl, code: int) -> None:
        ended = self._waiting.pop(curl, None)
        if ended is not None and not ended.done():
            ended.set_result(code)

    def _fire_timeout(self) -> None:
        self._timeout_scheduled = False
        self._due = math.inf
        self._socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _timer_fired(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._due <= self._loop.time():
            self._fire_timeout()
        elif self._due < math.inf:
            self._set_timer()


def _libcurl_failure(error: pycurl.error) -> Failure:
    return Failure(Reason.INTERNAL, f"libcurl rejected the request (libcurl error {error.args[0]})")


def _close(multi: pycurl.CurlMulti, handles: list[Handle]) -> None:
    multi.close()
    for handle in handles:
        handle.curl.close()
