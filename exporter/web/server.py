"""The HTTP server on the event loop: listeners, and the open connections with their bound.

A connection counts from its accept, so TLS handshakes count too. Each is served by a task of its own.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from starlette.types import ASGIApp

from exporter.web.connection import Connection, Tls
from exporter.web.limits import Limits
from exporter.web.listen import ListenError, listen_on, listeners_of_systemd, reason, shown

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
    ) -> None:
        self.ssl_context = ssl_context
        self.addresses: tuple[str, ...] = ()
        self._app = app
        self._listen = listen
        self._limits = limits
        self._listeners: list[socket.socket] = []
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._complain_from = 0.0

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
            client, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._complain("cannot accept a connection", reason=reason(error))
            loop.remove_reader(listener)
            loop.call_later(ACCEPT_PAUSE_SECONDS, self._watch, listener)
            return
        if len(self._open) >= self._limits.connections:
            client.close()
            self._complain("too many connections, closing new ones", connections=len(self._open))
            return
        connection = Connection(self._app, self._limits, client, self.ssl_context)
        self._open[connection.task] = connection
        connection.task.add_done_callback(self._open.pop)

    def _complain(self, message: str, **fields: object) -> None:
        # A client that opens thousands of connections must not fill the log.
        now = asyncio.get_running_loop().time()
        if now >= self._complain_from:
            self._complain_from = now + COMPLAINT_SECONDS
            _log.warning(message, extra=fields)
