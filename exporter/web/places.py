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
_NONE: OrderedDict[Connection, None] = OrderedDict()


class Places:
    """The connections that count for the limit.

    Each call takes constant time, except for a search of the busiest network after that has served a request.
    """

    def __init__(self) -> None:
        self._kinds: dict[Connection, Drop] = {}
        self._networks: dict[Connection, bytes] = {}
        # Each from the longest waiting one to the newest; a plain dict finds its first key only by a search.
        self._of_kind: dict[Drop, OrderedDict[Connection, None]] = {kind: OrderedDict() for kind in Drop}
        # The same by network. Of a network without such connections nothing is kept.
        self._of_network: dict[tuple[Drop, bytes], OrderedDict[Connection, None]] = {}
        # The network with the most connections that serve requests; to be found again when it has fewer.
        self._busiest = b""
        self._has_fewer = False

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, connection: Connection, network: bytes) -> None:
        """Counts a new connection from a network, see `network_of`."""
        self._networks[connection] = network
        self._put(connection)

    def update(self, connection: Connection) -> None:
        """Notes that the state of a connection has changed; one that does not count is ignored."""
        if connection in self._kinds and self._kinds[connection] is not _kind(connection):
            self._take(connection)
            self._put(connection)

    def remove(self, connection: Connection) -> None:
        """Counts a connection no more, if it still does."""
        if connection in self._kinds:
            self._take(connection)
            del self._networks[connection]

    def pop(self, now: float, network: bytes | None) -> tuple[Connection, Drop] | None:
        """Removes the connection that makes way for a new one: the longest waiting one of the first kind.

        First those that have had their last response, then those that have not sent a whole request, then
        idle ones. A scraper connects again when its idle connection is closed. If half of those without a
        request, or more, are of the network of the new one, it is one of these: a flood from one address then
        closes its own connections only.

        A network that uses over half of all connections for requests gets no place of a client of another
        network that has just connected. If all serve requests, it is the longest serving one of this network,
        but only for a client of another one.

        Args:
            now: the time of the event loop.
            network: of the new connection; ``None`` if it is not known.

        Returns:
            The connection and its kind; ``None`` if the new one has to be refused.
        """
        kind = self._first_kind(now)
        candidates = self._of_kind[kind]
        if self._has_fewer:
            self._find_busiest()
        busiest = self._with(Drop.WORKING, self._busiest)
        busy = 2 * len(busiest) > len(self)
        if kind is Drop.NO_REQUEST:
            own = self._with(kind, network)
            if 2 * len(own) >= len(candidates):
                candidates = own
            elif busy and network == self._busiest and _is_young(next(iter(candidates)), now):
                candidates = _NONE
        elif kind is Drop.WORKING:
            candidates = busiest if busy and network not in (None, self._busiest) else _NONE
        if not candidates:
            return None
        connection = next(iter(candidates))
        self.remove(connection)
        return connection, kind

    def _find_busiest(self) -> None:
        counts = {
            network: len(of) for (kind, network), of in self._of_network.items() if kind is Drop.WORKING
        }
        self._busiest = max(counts, key=counts.__getitem__, default=b"")
        self._has_fewer = False

    def _first_kind(self, now: float) -> Drop:
        kinds = [Drop.ENDING, Drop.NO_REQUEST, Drop.IDLE]
        if self._all_young(now):
            kinds.append(kinds.pop(1))
        return next((kind for kind in kinds if self._of_kind[kind]), Drop.WORKING)

    def _all_young(self, now: float) -> bool:
        """Whether clients without a whole request are few, and the first of them has just connected."""
        without_request = self._of_kind[Drop.NO_REQUEST]
        few = 0 < len(without_request) < YOUNG_SHARE * len(self)
        return few and _is_young(next(iter(without_request)), now)

    def _with(self, kind: Drop, network: bytes | None) -> OrderedDict[Connection, None]:
        return _NONE if network is None else self._of_network.get((kind, network), _NONE)

    def _put(self, connection: Connection) -> None:
        kind, network = _kind(connection), self._networks[connection]
        self._kinds[connection] = kind
        self._of_kind[kind][connection] = None
        of_network = self._of_network.setdefault((kind, network), OrderedDict())
        of_network[connection] = None
        if kind is Drop.WORKING and len(of_network) >= len(self._with(kind, self._busiest)):
            self._busiest = network

    def _take(self, connection: Connection) -> None:
        kind, network = self._kinds.pop(connection), self._networks[connection]
        del self._of_kind[kind][connection]
        self._has_fewer |= kind is Drop.WORKING and network == self._busiest
        of_network = self._of_network[kind, network]
        del of_network[connection]
        if not of_network:
            del self._of_network[kind, network]


def _is_young(connection: Connection, now: float) -> bool:
    return now - connection.opened < YOUNG_SECONDS


def _kind(connection: Connection) -> Drop:
    """What the connection counts as when it is closed for another."""
    match connection.state:
        case ConnectionState.WORKING:
            return Drop.WORKING
        case ConnectionState.ENDING:
            return Drop.ENDING
    # The next request of a kept connection, half sent, does not improve its place.
    return Drop.IDLE if connection.served else Drop.NO_REQUEST
