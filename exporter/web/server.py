"""The HTTP server in the event loop, so built that no client holds up another.

Every connection counts from its accept on, TLS handshakes too, and each is one task.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.typing import ASGIFramework
from starlette.types import ASGIApp

from exporter.web.connection import SLICE_BYTES, Connection, Limits
from exporter.web.listen import ListenError, listen_on, listeners_of_systemd, reason, shown

__all__ = ["Limits", "ListenError", "Server"]

_log = logging.getLogger(__name__)

# Without a free descriptor a listener stays readable; looking at it all the time would be a busy loop.
ACCEPT_PAUSE_SECONDS = 0.5
COMPLAINT_SECONDS = 60.0


class Server:
    """One application on any number of addresses, in the running event loop.

    Args:
        app: an ASGI 3 application; the lifespan protocol is not spoken.
        listen: ``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` for all interfaces, or ``unix:PATH``. Port 0
            is any free one. ``None``: the sockets that systemd passed.
        ssl_context: what new connections speak, or who tells it anew for each of them; may be
            replaced at any time, for rotated certificates.

    Attributes:
        addresses: where it listens, once started: ``http://127.0.0.1:10072``, ``unix:/path``.
    """

    def __init__(
        self,
        app: ASGIApp,
        listen: Sequence[str] | None,
        *,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self.ssl_context = ssl_context
        self.addresses: tuple[str, ...] = ()
        self._app = ASGIWrapper(cast("ASGIFramework", app))
        self._listen = listen
        self._limits = limits
        self._config = _config(limits)
        self._context = WorkerContext(None)
        self._listeners: list[socket.socket] = []
        # A connection that still shakes hands has none yet, but counts.
        self._open: dict[asyncio.Task[None], Connection | None] = {}
        self._complain_from = 0.0

    async def start(self) -> None:
        """Binds every address and accepts; on the first bad one nothing stays bound.

        Raises:
            ListenError: an address is malformed, in use or not ours, or systemd passed no socket.
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
        """Accepts no more and closes what is idle; what has begun gets ``grace`` seconds, then is cut."""
        self._stop_listening()
        await self._context.terminated.set()
        # A task that never ran would not close the socket it was made for.
        await asyncio.sleep(0)
        for task, connection in self._open.items():
            if connection is None:
                task.cancel()
            else:
                connection.close_if_idle()
        await self._wait(grace)
        for task, connection in self._open.items():
            if connection is not None:
                connection.abort()
            task.cancel()
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
            # Systemd goes on listening on its own: whoever comes now is served after the restart.
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
        task = loop.create_task(self._serve(client))
        self._open[task] = None
        task.add_done_callback(self._open.pop)

    def _complain(self, message: str, **fields: object) -> None:
        # Whoever opens connections by the thousand shall not fill the log as well.
        now = asyncio.get_running_loop().time()
        if now >= self._complain_from:
            self._complain_from = now + COMPLAINT_SECONDS
            _log.warning(message, extra=fields)

    async def _serve(self, client: socket.socket) -> None:
        try:
            reader, writer = await self._open_streams(client)
            connection = Connection(self._app, self._config, self._context, self._limits, reader, writer)
            task = asyncio.current_task()
            if task is not None:
                self._open[task] = connection
            await connection.run()
        except OSError as error:
            _log.debug("a connection broke off", extra={"reason": type(error).__name__})
        except Exception:  # noqa: BLE001  # one client's trouble is no other's
            _log.exception("a connection failed")

    async def _open_streams(self, client: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=SLICE_BYTES)
        tls: dict[str, Any] = {}
        if self.ssl_context:
            tls = {
                "ssl": self.ssl_context() if callable(self.ssl_context) else self.ssl_context,
                "ssl_handshake_timeout": self._limits.handshake_timeout,
                "ssl_shutdown_timeout": self._limits.farewell_timeout,
            }
        transport, protocol = await loop.connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(reader), client, **tls
        )
        # Nothing waits in our memory for a slow client: draining means that the kernel has it all.
        # Not high=0: asyncio's TLS would take an empty buffer for a full one.
        transport.set_write_buffer_limits(high=1, low=0)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _Log(Logger):
    """Hypercorn's log, silent but for errors of the application, which go through ours."""

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        _log.exception("a request failed")


def _config(limits: Limits) -> Config:
    config = Config()
    config.accesslog = config.errorlog = None
    config.logger_class = _Log
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.header_bytes
    return config
