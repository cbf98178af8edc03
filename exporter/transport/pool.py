"""Many transfers at once on the event loop: libcurl's multi interface, driven by ``socket_action``.

libcurl calls back with which sockets and which time it waits for. The callbacks only write that
down; it is acted upon when libcurl has returned, and handles come and go only then.
"""

import asyncio
import threading
from contextlib import suppress

import pycurl
from requests import PreparedRequest

from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.transport.handle import Handle
from exporter.transport.settings import DIRECT, Route


class Wire:
    """The connections to one system, on the event loop that runs when it is made.

    One multi handle each: a slow name look-up or a full pool of one system holds up no other.

    Args:
        route: how to get there. Changed files need a new wire, see `Tls.stamp`.
        max_connections: transfers at a time and connections kept; more transfers wait their turn,
            first come, first served, on their own timeout.
    """

    def __init__(self, route: Route = DIRECT, *, max_connections: int = 16) -> None:
        self._loop = asyncio.get_running_loop()
        self._route = route
        self._slots = asyncio.Semaphore(max_connections)
        self._pool: list[Handle] = []
        self._waiting: dict[pycurl.Curl, asyncio.Future[int]] = {}
        self._under_way = 0
        self._closed = self._ended = False
        self._idle: asyncio.Future[None] | None = None
        self._sockets: dict[int, int] = {}
        self._changes: list[tuple[int, int]] = []
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kicked = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    async def send(
        self,
        request: PreparedRequest,
        *,
        timeout: float,  # noqa: ASYNC109  # libcurl keeps the time
        max_bytes: int,
    ) -> Response:
        """Sends a request and waits for its whole answer, of any status.

        Args:
            request: prepared; its body, if any, is text or bytes.
            timeout: seconds for everything, name look-up and waiting for a slot too.
            max_bytes: limit of the unpacked body.

        Raises:
            Failure: any fault of the wire.
        """
        if self._slots.locked():
            seconds = await self._queue(timeout)
        else:
            seconds = timeout
            await self._slots.acquire()
        try:
            return await self._carry(request, seconds, max_bytes)
        finally:
            self._slots.release()

    async def _queue(self, seconds: float) -> float:
        """Waits for a slot and returns what is left of the time."""
        end = self._loop.time() + seconds
        try:
            async with asyncio.timeout_at(end):
                await self._slots.acquire()
        except TimeoutError:
            raise Failure(Reason.TIMEOUT, f"no connection was free within {seconds:.1f} s") from None
        return end - self._loop.time()

    async def close(self, grace: float = 1.0) -> None:
        """Takes no more requests and lets those under way end, for ``grace`` seconds at most.

        What is still under way then ends as a `Failure`. Connections are closed by a thread that
        nobody waits for: a name look-up under way may hold it up for seconds.
        """
        if self._closed:
            return
        self._closed = True
        await self._all_ended(grace)
        self._end_all(Failure(Reason.INTERNAL, "the wire was closed"))
        await self._all_ended(1.0)
        for fd in list(self._sockets):
            self._watch(fd, 0)
        if self._timer is not None:
            self._timer.cancel()
        self._ended = True
        # Never under a transfer whose task nobody resumes.
        if not self._under_way:
            threading.Thread(target=_close, args=(self._multi, self._pool), daemon=True).start()

    async def _all_ended(self, seconds: float) -> None:
        self._idle = self._loop.create_future()
        if self._under_way:
            await asyncio.wait([self._idle], timeout=seconds)

    async def _carry(self, request: PreparedRequest, seconds: float, max_bytes: int) -> Response:
        if self._closed:
            raise Failure(Reason.INTERNAL, "the wire is closed")
        # A handle that cannot take its request is dropped.
        handle = self._pool.pop() if self._pool else Handle(self._route)
        curl = handle.curl
        try:
            handle.load(request, seconds, max_bytes)
            self._multi.add_handle(curl)
        except pycurl.error as error:
            raise _refused(error) from None
        self._under_way += 1
        self._waiting[curl] = ended = self._loop.create_future()
        try:
            self._settle()
            return handle.reply(await ended)
        finally:
            self._waiting.pop(curl, None)
            self._multi.remove_handle(curl)
            self._settle()
            handle.clear()
            self._pool.append(handle)
            self._under_way -= 1
            if self._idle is not None and not self._under_way and not self._idle.done():
                self._idle.set_result(None)

    def _on_socket(self, what: int, fd: int, multi: pycurl.CurlMulti, data: object) -> None:
        self._changes.append((fd, what))

    def _on_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else self._loop.time() + milliseconds / 1000

    def _drive(self, fd: int, events: int) -> None:
        """Lets libcurl do what there is to do for a socket, or for the time that has come."""
        if self._ended:
            return
        try:
            alive = self._multi.socket_action(fd, events)[1]
        except pycurl.error as error:
            # libcurl has lost its way and would never end them.
            self._end_all(_refused(error))
            return
        if alive < len(self._waiting):
            self._collect()
        self._settle()

    def _end_all(self, failure: Failure) -> None:
        for ended in self._waiting.values():
            if not ended.done():
                ended.set_exception(failure)

    def _collect(self) -> None:
        _, done, failed = self._multi.info_read()
        for curl, code in (*((curl, 0) for curl in done), *((curl, code) for curl, code, _ in failed)):
            ended = self._waiting.pop(curl, None)
            if ended is not None and not ended.done():
                ended.set_result(code)

    def _settle(self) -> None:
        """Acts upon what libcurl's callbacks wrote down."""
        if self._changes:
            changes, self._changes = self._changes, []
            for fd, what in changes:
                self._watch(fd, 0 if what == pycurl.POLL_REMOVE else what)
        due = self._due
        if due is None or self._kicked:
            return
        if due <= self._loop.time():
            self._kicked = True
            self._loop.call_soon(self._kick)
        elif self._timer is None or due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._on_time)

    def _watch(self, fd: int, events: int) -> None:
        changed = self._sockets.pop(fd, 0) ^ events
        if events:
            self._sockets[fd] = events
        # libcurl may have closed it already, and what is to be forgotten is forgotten even so.
        with suppress(OSError):
            if changed & pycurl.POLL_IN:
                if events & pycurl.POLL_IN:
                    self._loop.add_reader(fd, self._drive, fd, pycurl.CSELECT_IN)
                else:
                    self._loop.remove_reader(fd)
            if changed & pycurl.POLL_OUT:
                if events & pycurl.POLL_OUT:
                    self._loop.add_writer(fd, self._drive, fd, pycurl.CSELECT_OUT)
                else:
                    self._loop.remove_writer(fd)

    def _kick(self) -> None:
        self._kicked = False
        self._due = None
        self._drive(pycurl.SOCKET_TIMEOUT, 0)

    def _on_time(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._due > self._loop.time():
            self._settle()
        else:
            self._kick()


def _refused(error: pycurl.error) -> Failure:
    return Failure(Reason.INTERNAL, f"libcurl refused to work (libcurl error {error.args[0]})")


def _close(multi: pycurl.CurlMulti, handles: list[Handle]) -> None:
    multi.close()
    for handle in handles:
        handle.curl.close()
