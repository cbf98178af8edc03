"""The wire of one system, made anew when its TLS files change."""

import asyncio

from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.runtime import tasks
from exporter.transport.pool import Wire
from exporter.transport.settings import Route

STAMP_SECONDS = 5.0


class Wires:
    """Has the wire to use at the moment; lives until nobody reads any more.

    Args:
        route: how to get there; its files are looked at every few seconds.
        max_connections: of each wire.
        grace: seconds that requests under way have to end on a wire that is given up.
    """

    def __init__(self, route: Route, clock: Clock, *, max_connections: int, grace: float) -> None:
        self._clock = clock
        self._route = route
        self._grace = grace
        self._max_connections = max_connections
        self._stamp = route.tls.stamp()
        self._look_at = self._clock.monotonic() + STAMP_SECONDS
        self._wire: Wire | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._readers = 0
        self._idle: asyncio.Future[None] | None = None
        self._closed = False

    def enter(self) -> None:
        """Somebody begins to read, and may need a wire until leaving, for what is not asked yet too."""
        self._readers += 1

    def leave(self) -> None:
        """A read is over."""
        self._readers -= 1
        if self._idle is not None and not self._readers and not self._idle.done():
            self._idle.set_result(None)

    def current(self) -> Wire:
        """The wire for the next request.

        Raises:
            Failure: reason ``internal``, all is closed.
        """
        if self._closed:
            raise Failure(Reason.INTERNAL, "the system is closed")
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + STAMP_SECONDS
            stamp = self._route.tls.stamp()
            if stamp not in (None, self._stamp):  # None: somebody is replacing a file just now
                self._stamp = stamp
                self._retire(self._grace)
        if self._wire is None:
            self._wire = Wire(self._route, max_connections=self._max_connections)
        return self._wire

    def _retire(self, grace: float) -> None:
        if self._wire is not None:
            tasks.start(self._wire.close(grace), self._closing, "close connections")
        self._wire = None

    async def close(self, grace: float) -> None:
        """Ends all connections once nobody reads any more, after ``grace`` seconds at the latest."""
        if self._readers and grace:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=grace)
        self._closed = True
        self._retire(0.0)
        await asyncio.gather(*self._closing, return_exceptions=True)
