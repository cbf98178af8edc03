"""The connection pool of one system, replaced when its TLS files change or a connection may be dead."""

import asyncio
import logging

from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.runtime import files, tasks
from exporter.runtime.compute import Turns
from exporter.transport.pem import Pem
from exporter.transport.pool import ConnectionPool
from exporter.transport.prepared import Outgoing
from exporter.transport.settings import ConnectionSettings, Tls

_log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0

WAIT_SECONDS = 0.5
"""How long the request that begins a check of the files waits for it; the later ones do not wait."""


class ReloadingPool:
    """Sends through a `ConnectionPool` that has the TLS files as they are now and no stalled connection.

    The files are read in a thread. While one is missing, cannot be read or does not fit, the last pool stays.

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
        self._stamp: files.Stamp | None = None
        self._check_at = clock.monotonic()
        self._check: asyncio.Task[None] | None = None
        self._error = ""
        self._pool: ConnectionPool | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._users = 0
        self._idle: asyncio.Future[None] | None = None
        self._closed = False

    def __enter__(self) -> None:
        """Makes `close` wait: a read may send more requests after the one under way."""
        self._users += 1

    def __exit__(self, *error: object) -> None:
        self._users -= 1
        if self._idle is not None and not self._users and not self._idle.done():
            self._idle.set_result(None)

    async def send(
        self,
        request: Outgoing,
        *,
        timeout: float,  # noqa: ASYNC109  # libcurl keeps the time
        max_bytes: int,
        fresh: bool = False,
        phases: bool = False,
    ) -> Response:
        """Sends a request, see `ConnectionPool.send`."""
        if self._pool is None or self._clock.monotonic() >= self._check_at:
            begin = self._clock.monotonic()
            await self._wait_for_files(timeout)
            timeout -= self._clock.monotonic() - begin
        if self._closed:
            raise Failure(Reason.INTERNAL, "the connection pool is closed")
        if self._pool is None:
            raise Failure(Reason.TLS, self._error or "the TLS files were not read in time")
        if self._pool.stalled:
            self._pool = self._replaced(self._pool.pem)
        return await self._pool.send(
            request, timeout=timeout, max_bytes=max_bytes, fresh=fresh, phases=phases
        )

    async def _wait_for_files(self, seconds: float) -> None:
        """Begins a check of the files if one is due; waits for it only as long as the request can."""
        due = self._check is None and self._clock.monotonic() >= self._check_at
        if due and not self._closed:
            self._check_at = self._clock.monotonic() + CHECK_SECONDS
            self._check = asyncio.get_running_loop().create_task(self._look())
        if self._check is not None and (due or self._pool is None):
            limit = seconds if self._pool is None else min(seconds, WAIT_SECONDS)
            await asyncio.wait((self._check,), timeout=limit)

    async def _look(self) -> None:
        """Makes a new pool if the files have changed."""
        try:
            found = await tasks.in_thread(lambda: _changed(self._settings.tls, self._stamp))
            if found is not None and not self._closed:
                stamp, pem = found
                self._pool = self._replaced(pem)
                self._stamp = stamp
        except (OSError, ValueError) as error:  # an OSError: no descriptor is free
            self._failed(str(error))
        else:
            self._error = ""
        finally:
            self._check = None

    def _replaced(self, pem: Pem) -> ConnectionPool:
        """A pool with these files instead of the one that there is."""
        self._discard(self._grace)
        return ConnectionPool(self._settings, pem, max_connections=self._max_connections, turns=self._turns)

    def _failed(self, error: str) -> None:
        if self._pool is None:
            self._check_at = 0.0  # the next request tries again
        elif not self._error:
            _log.warning("failed to load TLS files; keeping the previous ones", extra={"error": error})
        self._error = error

    def _discard(self, grace: float) -> None:
        if self._pool is not None:
            tasks.start(self._pool.close(grace), self._closing, "close connections")
        self._pool = None

    async def close(self, grace: float) -> None:
        """Waits for all that use it, ``grace`` seconds at most, and closes all connections."""
        if self._users and grace:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=grace)
        self._closed = True
        if self._check is not None:
            self._check.cancel()
        self._discard(0.0)
        await asyncio.gather(*self._closing, return_exceptions=True)


def _changed(tls: Tls, before: files.Stamp | None) -> tuple[files.Stamp | None, Pem] | None:
    """The new stamp and content of the TLS files; ``None`` if they have not changed.

    Raises:
        ValueError: one is missing, cannot be read or does not fit; the text names it.
    """
    stamp = tls.stamp()
    if stamp is not None and stamp == before:
        return None
    pem = tls.read()
    tls.check(pem)
    return stamp, pem
