"""The open connections of a server, and which of them is closed for a new one at the limit."""

from collections import OrderedDict

from exporter.metrics.instrumentation import Drop
from exporter.web.connection import Connection, ConnectionState

# A client has so long for a handshake and its first request before it makes way for others than its own kind:
# otherwise, among idle connections only, new ones would close each other.
YOUNG_SECONDS = 1.0
# Beyond this share of all, also young connections make way first, so that a flood of silent clients does not
# close the idle connection of a scraper.
YOUNG_SHARE = 0.5


class Places:
    """The connections that count for the limit. Each call takes constant time, however many there are."""

    def __init__(self) -> None:
        self._kinds: dict[Connection, Drop | None] = {}
        # Each from the longest waiting one to the newest; a plain dict finds its first key only by a search.
        self._ending: OrderedDict[Connection, None] = OrderedDict()
        self._without_request: OrderedDict[Connection, None] = OrderedDict()
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._waiting = {
            Drop.ENDING: self._ending,
            Drop.NO_REQUEST: self._without_request,
            Drop.IDLE: self._idle,
        }

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, connection: Connection) -> None:
        """Counts a new connection."""
        self._put(connection)

    def update(self, connection: Connection) -> None:
        """Notes that the state of a connection has changed; one that does not count is ignored."""
        if connection in self._kinds and self._kinds[connection] is not _kind(connection):
            self.remove(connection)
            self._put(connection)

    def remove(self, connection: Connection) -> None:
        """Counts a connection no more, if it still does."""
        kind = self._kinds.pop(connection, None)
        if kind is not None:
            del self._waiting[kind][connection]

    def pop(self, now: float) -> tuple[Connection, Drop] | None:
        """Removes the connection that makes way for a new one: the longest waiting one of the first kind.

        First those that have had their last response, then those that have not sent a whole request, then
        idle ones. A scraper connects again when its idle connection is closed.

        Args:
            now: the time of the event loop.

        Returns:
            The connection and its kind; ``None`` if all serve a request.
        """
        kinds = (Drop.ENDING, Drop.IDLE, Drop.NO_REQUEST) if self._all_young(now) else self._waiting
        for kind in kinds:
            if waiting := self._waiting[kind]:
                connection, _ = waiting.popitem(last=False)
                del self._kinds[connection]
                return connection, kind
        return None

    def _all_young(self, now: float) -> bool:
        """Whether clients without a whole request are few, and the first of them has just connected."""
        oldest = next(iter(self._without_request), None)
        return (
            oldest is not None
            and now - oldest.opened < YOUNG_SECONDS
            and len(self._without_request) < YOUNG_SHARE * len(self)
        )

    def _put(self, connection: Connection) -> None:
        kind = self._kinds[connection] = _kind(connection)
        if kind is not None:
            self._waiting[kind][connection] = None


def _kind(connection: Connection) -> Drop | None:
    """Why the connection can be closed for another; ``None`` while it serves a request."""
    match connection.state:
        case ConnectionState.WORKING:
            return None
        case ConnectionState.ENDING:
            return Drop.ENDING
    # The next request of a kept connection, half sent, does not improve its place.
    return Drop.IDLE if connection.served else Drop.NO_REQUEST
