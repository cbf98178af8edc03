"""The HTTP server on the event loop: listeners, and the open connections with their bound.

A connection counts from its accept, so TLS handshakes count too. Each is served by a task of its own. At the
limit a connection without a request under way is closed for each new one.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.types import ASGIApp

from exporter.metrics.instrumentation import Drop
from exporter.runtime import descriptors
from exporter.web.address import network_of
from exporter.web.connection import Connection, Tls
from exporter.web.limits import Limits, connections_beside
from exporter.web.listen import ListenError, listen_on, listeners_of_systemd, reason, shown
from exporter.web.places import Places
from exporter.web.turns import Turns

__all__ = ["Limits", "ListenError", "Server"]

_log = logging.getLogger(__name__)

# Without a free descriptor a listener stays readable; looking at it all the time would be a busy loop.
ACCEPT_PAUSE_SECONDS = 0.5
COMPLAINT_SECONDS = 60.0


class Server:
    """One application on any number of addresses, in the running event loop.

    Args:
        app: an ASGI 3 application; the lifespan protocol is not used.
        listen: addresses, see `listen_on`; ``None``: the sockets that systemd passed.
        ssl_context: for new connections, or what returns it for each of them; may be replaced at any time.
        count: called for each connection that is closed at the limit.

    Attributes:
        addresses: where it listens, once started: ``http://127.0.0.1:10072``, ``unix:/path``.
    """

    def __init__(
        self,
        app: ASGIApp,
        listen: Sequence[str] | None,
        *,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        ssl_context: Tls = None,
        count: Callable[[Drop], None] = lambda _: None,
    ) -> None:
        self.ssl_context = ssl_context
        self.addresses: tuple[str, ...] = ()
        self._app = app
        self._listen = listen
        self._limits = limits
        self._listeners: list[socket.socket] = []
        # Also those that do not count any more, until they are closed.
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._places = Places()
        self._turns = Turns()
        self._bound = limits.connections
        self._count = count
        self._complain_from: dict[str, float] = {}

    def reserve(self, for_systems: int) -> None:
        """Allows fewer connections where the limit of open files does not leave enough for all.

        Args:
            for_systems: file descriptors that the requests to all systems need at the same time.
        """
        bound = min(self._limits.connections, connections_beside(for_systems))
        if bound != self._bound and bound < self._limits.connections:
            fields = {"connections": bound, "limit": descriptors.limit(), "for_systems": for_systems}
            _log.warning("few file descriptors; fewer clients can connect", extra=fields)
        self._bound = bound

    async def start(self) -> None:
        """Listens on every address. If one fails, it closes all of them.

        Raises:
            ListenError: an address is malformed, in use or not local, or systemd passed no socket.
        """
        try:
            if self._listen is None:
                self._listeners += listeners_of_systemd()
            for address in self._listen or ():
                self._listeners += await listen_on(address)
        except ListenError:
            self._stop_listening()
            raise
        scheme = "https" if self.ssl_context else "http"
        self.addresses = tuple(shown(listener, scheme) for listener in self._listeners)
        for listener in self._listeners:
            self._watch(listener)

    async def stop(self, grace: float) -> None:
        """Closes the listeners and idle connections; requests in progress get ``grace`` seconds."""
        self._stop_listening()
        # A task that never ran would not close the socket it was made for.
        await asyncio.sleep(0)
        for connection in self._open.values():
            connection.finish()
        await self._wait(grace)
        for connection in self._open.values():
            connection.cut()
        await self._wait(self._limits.farewell_timeout)

    async def _wait(self, seconds: float) -> None:
        if self._open:
            await asyncio.wait(self._open, timeout=seconds)

    def _stop_listening(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            name = listener.getsockname()
            listener.close()
            # systemd keeps listening: clients that connect now are served after the restart.
            if listener.family == socket.AF_UNIX and self._listen is not None:
                try:
                    Path(name).unlink(missing_ok=True)
                except OSError as error:
                    _log.warning("a socket is left behind", extra={"path": name, "reason": error.strerror})
        self._listeners.clear()

    def _watch(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            client, name = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._complain("cannot accept a connection", reason=reason(error))
            # One closed for it frees the descriptor that is missing; the listener stays readable.
            if not self._make_way(None):
                loop.remove_reader(listener)
                loop.call_later(ACCEPT_PAUSE_SECONDS, self._watch, listener)
            return
        network = network_of(name[0] if isinstance(name, tuple) else "")
        while len(self._places) >= self._bound and self._make_way(network):
            pass  # more than one only after the bound was lowered
        if len(self._places) >= self._bound:
            client.close()
            self._count(Drop.REFUSED)
            self._complain("too many connections, closing new ones", connections=len(self._places))
            return
        connection = Connection(
            self._app, self._limits, client, self.ssl_context, turns=self._turns, changed=self._places.update
        )
        self._places.add(connection, network)
        self._open[connection.task] = connection
        connection.task.add_done_callback(self._ended)

    def _make_way(self, network: bytes | None) -> bool:
        """Closes a connection for a new one of this network; returns whether there was one to close."""
        made = self._places.pop(asyncio.get_running_loop().time(), network)
        if made is None:
            return False
        connection, why = made
        connection.cut()
        self._count(why)
        what = "those of the address that has most" if why is Drop.WORKING else "those without a request"
        self._complain(f"too many connections, closing {what}", connections=len(self._places) + 1)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._places.remove(self._open.pop(task))

    def _complain(self, message: str, **fields: object) -> None:
        # A client that opens thousands of connections must not fill the log.
        now = asyncio.get_running_loop().time()
        if now >= self._complain_from.get(message, 0.0):
            self._complain_from[message] = now + COMPLAINT_SECONDS
            _log.warning(message, extra=fields)
