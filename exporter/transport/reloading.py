"""The connection pool of one system, replaced when its TLS files change."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from requests import PreparedRequest

from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.runtime import tasks
from exporter.runtime.compute import Turns
from exporter.transport.pool import ConnectionPool
from exporter.transport.settings import ConnectionSettings

CHECK_SECONDS = 5.0


class ReloadingPool:
    """Sends through a `ConnectionPool` that has the TLS files as they are now.

    Args:
        settings: how to connect; the TLS files are checked every 5 seconds.
        max_connections: of one pool.
        grace: seconds that requests on a replaced pool have to end.
        turns: of the event loop.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        clock: Clock,
        *,
        max_connections: int,
        grace: float,
        turns: Turns | None = None,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._grace = grace
        self._max_connections = max_connections
        self._turns = turns
        self._stamp = settings.tls.stamp()
        self._check_at = clock.monotonic() + CHECK_SECONDS
        self._pool: ConnectionPool | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._users = 0
        self._idle: asyncio.Future[None] | None = None
        self._closed = False

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Makes `close` wait: a read may send more requests after the one under way."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._idle is not None and not self._users and not self._idle.done():
                self._idle.set_result(None)

    def send(
        self, request: PreparedRequest, *, timeout: float, max_bytes: int, fresh: bool = False
    ) -> Awaitable[Response]:
        """Sends a request, see `ConnectionPool.send`."""
        return self._current().send(request, timeout=timeout, max_bytes=max_bytes, fresh=fresh)

    def _current(self) -> ConnectionPool:
        if self._closed:
            raise Failure(Reason.INTERNAL, "the connection pool is closed")
        now = self._clock.monotonic()
        if now >= self._check_at:
            self._check_at = now + CHECK_SECONDS
            stamp = self._settings.tls.stamp()
            # None: a file is missing because it is being replaced. The old pool works meanwhile.
            if stamp not in (None, self._stamp):
                self._stamp = stamp
                self._discard(self._grace)
        if self._pool is None:
            self._pool = ConnectionPool(
                self._settings, max_connections=self._max_connections, turns=self._turns
            )
        return self._pool

    def _discard(self, grace: float) -> None:
        if self._pool is not None:
            tasks.start(self._pool.close(grace), self._closing, "close connections")
        self._pool = None

    async def close(self, grace: float) -> None:
        """Waits for the end of every `in_use`, ``grace`` seconds at most, and closes all connections."""
        if self._users and grace:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=grace)
        self._closed = True
        self._discard(0.0)
        await asyncio.gather(*self._closing, return_exceptions=True)
