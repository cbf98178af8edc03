"""Which connection makes way for a new one at the limit, and what is counted."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from exporter.metrics.instrumentation import Drop, Instrumentation
from exporter.web.connection import Connection, ConnectionState
from exporter.web.limits import FEWEST_CONNECTIONS, OTHER_DESCRIPTORS
from exporter.web.places import YOUNG_SECONDS, Places
from exporter.web.server import Server
from tests.web.clients import CALM, GET, Client, Slow, Start, connect, happens, hello, is_served, scrape

HALF = b"GET / HTTP/1.1\r\nX: "


class Crowd:
    """A server with few places, and its clients."""

    def __init__(self, server: Server, dropped: Counter[Drop], stack: AsyncExitStack) -> None:
        self.server = server
        self.dropped = dropped
        self._stack = stack

    async def client(self, sent: bytes = b"") -> Client:
        client = await self._stack.enter_async_context(connect(self.server))
        client.say(sent)
        if sent.endswith(b"\r\n\r\n"):
            await client.answer()
        return client


@pytest.fixture
async def crowd(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    """Three places; no client is young."""
    monkeypatch.setattr("exporter.web.places.YOUNG_SECONDS", 0.0)
    dropped: Counter[Drop] = Counter()
    server = Server(
        hello,
        ["127.0.0.1:0"],
        limits=replace(CALM, connections=3),
        count=lambda drop: dropped.update([drop]),
    )
    await server.start()
    async with AsyncExitStack() as stack:
        yield Crowd(server, dropped, stack)
    await server.stop(0)


@pytest.mark.parametrize("sent", [b"", HALF])
async def test_a_client_without_a_whole_request_makes_way_before_an_idle_one(
    crowd: Crowd, sent: bytes
) -> None:
    idle = await crowd.client(GET)
    first = await crowd.client(sent)
    second = await crowd.client(sent)
    assert await scrape(crowd.server) == b"/metrics"
    assert await first.closed() == b""
    second.say(b"y\r\nHost: x\r\n\r\n" if sent else GET)
    idle.say(GET)
    assert [(await client.answer()).status for client in (idle, second)] == [200, 200]
    assert crowd.dropped == {Drop.NO_REQUEST: 1}


async def test_of_idle_clients_the_longest_idle_makes_way(crowd: Crowd) -> None:
    first, second, third = [await crowd.client(GET) for _ in range(3)]
    first.say(GET)
    await first.answer()
    # Half of its next request is no reason to stay.
    second.say(HALF)
    assert await scrape(crowd.server) == b"/metrics"
    assert await second.closed() == b""
    for client in (first, third):
        client.say(GET)
        assert (await client.answer()).status == 200
    assert crowd.dropped == {Drop.IDLE: 1}


async def test_a_client_that_does_not_close_after_its_last_response_makes_way_first(crowd: Crowd) -> None:
    silent, idle = await crowd.client(), await crowd.client(GET)
    await crowd.client(GET.replace(b"Host", b"Connection: close\r\nHost"))
    assert await scrape(crowd.server) == b"/metrics"
    for client in (silent, idle):
        client.say(GET)
        assert (await client.answer()).status == 200
    assert crowd.dropped == {Drop.ENDING: 1}


async def test_more_silent_clients_than_places_keep_no_scrape_out(crowd: Crowd) -> None:
    for _ in range(10):
        await crowd.client()
        await crowd.client(HALF)
        assert await is_served(crowd.server)
    assert crowd.dropped[Drop.REFUSED] == 0


async def test_tls_handshakes_that_make_no_progress_make_way(
    start: Start, secure: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = await start(limits=replace(CALM, connections=2), ssl_context=secure)
    async with connect(server) as silent, connect(server) as half:
        half.say(b"\x16\x03\x01")
        for _ in range(2):
            async with connect(server, trusting) as client:
                client.say(GET)
                assert (await client.answer()).status == 200
        assert await silent.closed() == b""


async def test_new_clients_do_not_close_each_other_among_idle_ones(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.places.YOUNG_SECONDS", 60.0)
    idle = [await crowd.client(GET) for _ in range(3)]
    first = await crowd.client()
    second = await crowd.client()
    for client in (first, second):
        client.say(GET)
        assert (await client.answer()).status == 200
    assert [await client.closed() for client in idle[:2]] == [b"", b""]


async def test_a_flood_of_new_clients_leaves_an_idle_scraper_its_connection(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.places.YOUNG_SECONDS", 60.0)
    scraper = await crowd.client(GET)
    for _ in range(10):
        await crowd.client()
    scraper.say(GET)
    assert (await scraper.answer()).status == 200


async def test_a_flood_from_one_address_closes_only_its_own_connections(crowd: Crowd) -> None:
    port = int(crowd.server.addresses[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    try:
        await crowd.client(GET)
        for _ in range(10):
            await crowd.client()
        writer.write(GET)
        assert (await Client(reader, writer).answer()).status == 200
    finally:
        writer.close()


async def test_while_all_serve_requests_a_new_client_is_refused(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    app = Slow()
    server = await start(app, replace(CALM, connections=1))
    async with connect(server) as working:
        working.say(GET)
        await happens(app.begun)
        for _ in range(3):
            async with connect(server) as refused:
                assert await refused.closed() == b""
        app.go.set()
        assert (await working.answer()).body == b"done"
    assert [record.getMessage() for record in caplog.records] == ["too many connections, closing new ones"]


async def test_an_address_whose_requests_use_all_connections_makes_way_for_others(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    app = Slow()
    server = await start(app, replace(CALM, connections=3))
    async with AsyncExitStack() as stack:
        working = []
        for _ in range(3):
            client = await stack.enter_async_context(connect(server))
            app.begun.clear()
            client.say(GET)
            await happens(app.begun)
            working.append(client)
        same = await stack.enter_async_context(connect(server))
        assert await same.closed() == b""
        port = int(server.addresses[0].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        stack.callback(writer.close)
        writer.write(GET.replace(b"/metrics", b"/-/healthy"))
        assert (await Client(reader, writer).answer()).status == 200
        assert await working[0].closed() == b""
        app.go.set()
        assert [(await client.answer()).body for client in working[1:]] == [b"done"] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "too many connections, closing new ones",
        "too many connections, closing those of the address that has most",
    ]


async def test_the_connections_that_make_way_are_logged_once(
    crowd: Crowd, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(9):
        await crowd.client()
    assert [record.getMessage() for record in caplog.records] == [
        "too many connections, closing those without a request"
    ]


async def test_where_files_are_few_fewer_clients_are_allowed_and_that_is_logged_once(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limit = OTHER_DESCRIPTORS + 100
    monkeypatch.setattr("exporter.runtime.descriptors.resource.getrlimit", lambda _: (limit, limit))
    server = await start(limits=replace(CALM, connections=10))
    server.reserve(90)
    assert caplog.records == []  # the limit is enough
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connect(server)) for _ in range(10)]
        for client in idle:
            client.say(GET)
            await client.answer()
        for needed in (91, 91, 10_000, 10_000):
            server.reserve(needed)
        assert await is_served(server)
        assert [await client.closed() for client in idle[: 11 - FEWEST_CONNECTIONS]] == [b""] * 3
        idle[3].say(GET)
        assert (await idle[3].answer()).status == 200
        server.reserve(0)
        for _ in range(3):
            client = await stack.enter_async_context(connect(server))
            client.say(GET)
            await client.answer()
        idle[3].say(GET)
        assert (await idle[3].answer()).status == 200
    assert [(r.__dict__["connections"], r.__dict__["limit"]) for r in caplog.records[:2]] == [
        (9, limit),
        (FEWEST_CONNECTIONS, limit),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        *["few file descriptors; fewer clients can connect"] * 2,
        "too many connections, closing those without a request",
    ]


def test_each_reason_is_a_series_that_starts_at_0() -> None:
    instrumentation = Instrumentation("1")
    instrumentation.connection_dropped(Drop.IDLE)
    lines = instrumentation.render(openmetrics=False).decode().splitlines()
    name = "remote_job_exporter_connections_dropped_total"
    assert {line for line in lines if line.startswith(name)} == {
        f'{name}{{reason="ending"}} 0.0',
        f'{name}{{reason="no_request"}} 0.0',
        f'{name}{{reason="idle"}} 1.0',
        f'{name}{{reason="refused"}} 0.0',
        f'{name}{{reason="working"}} 0.0',
    }


NETWORK_NAMES = (b"one", b"other")
NETWORKS = st.sampled_from(NETWORK_NAMES)


class Waiting(Connection):
    """The part of a connection that decides; `rank` is computed as a reader of the rule would."""

    def __init__(self, opened: float, network: bytes) -> None:
        self.network = network
        self.opened = self.since = opened
        self.state = ConnectionState.OPENING
        self.served = False

    def rank(self) -> tuple[int, float]:
        if self.state is ConnectionState.ENDING:
            return 0, self.since
        return (2, self.since) if self.served else (1, self.opened)


def placed(places: Places, network: bytes, state: ConnectionState) -> Waiting:
    connection = Waiting(0.0, network)
    connection.state = state
    places.add(connection, network)
    return connection


def test_a_network_that_uses_most_connections_closes_no_new_client_of_another() -> None:
    places = Places()
    for _ in range(3):
        placed(places, b"one", ConnectionState.WORKING)
    new = placed(places, b"other", ConnectionState.OPENING)
    assert places.pop(YOUNG_SECONDS / 2, b"one") is None
    assert places.pop(YOUNG_SECONDS, b"one") == (new, Drop.NO_REQUEST)


def test_the_network_that_uses_most_connections_is_found_again_when_another_has_left() -> None:
    places = Places()
    left = [placed(places, b"other", ConnectionState.WORKING) for _ in range(2)]
    one = placed(places, b"one", ConnectionState.WORKING)
    assert places.pop(0.0, b"one") == (left[0], Drop.WORKING)
    places.remove(left[1])
    assert places.pop(0.0, b"one") is None
    assert places.pop(0.0, b"other") == (one, Drop.WORKING)


class Life(RuleBasedStateMachine):
    """Connections in any order of events: the one that makes way is always the one that the rule names."""

    def __init__(self) -> None:
        super().__init__()
        self.places = Places()
        self.open: list[Waiting] = []
        self.now = 0.0

    @rule(seconds=st.sampled_from([0.1, YOUNG_SECONDS]), network=NETWORKS)
    def open_one(self, seconds: float, network: bytes) -> None:
        self.now += seconds
        self.open.append(Waiting(self.now, network))
        self.places.add(self.open[-1], network)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 9), state=st.sampled_from(list(ConnectionState)[1:]))
    def change_one(self, which: int, state: ConnectionState) -> None:
        self.now += 0.1
        connection = self.open[which % len(self.open)]
        if connection.state is ConnectionState.ENDING:
            return
        if {state, connection.state} & {ConnectionState.WORKING, ConnectionState.ENDING}:
            connection.since = self.now
        connection.state = state
        connection.served |= state is ConnectionState.WORKING
        self.places.update(connection)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 9))
    def close_one(self, which: int) -> None:
        self.places.remove(connection := self.open.pop(which % len(self.open)))
        self.places.update(connection)  # a late event of a closed one changes nothing

    @rule(network=NETWORKS | st.none())
    def make_way(self, network: bytes | None) -> None:
        waiting = [each for each in self.open if each.state is not ConnectionState.WORKING]
        silent = [each for each in waiting if each.rank()[0] == 1]
        if silent and len(silent) < len(self.open) / 2 and self.now - silent[0].opened < YOUNG_SECONDS:
            waiting = [each for each in waiting if each not in silent] or silent
        right = min(waiting, key=Waiting.rank) if waiting else self.longest_working(network)
        own = [each for each in silent if each.network == network]
        if right in silent and own and len(own) >= len(silent) / 2:
            right = own[0]
        elif right in silent and right.opened > self.now - YOUNG_SECONDS and self.is_busy(network):
            right = None
        made = self.places.pop(self.now, network)
        assert (made and made[0]) is right
        if right is not None:
            self.open.remove(right)

    def longest_working(self, network: bytes | None) -> Waiting | None:
        """Of the network with over half of all, if all work, for another network."""
        for busiest in NETWORK_NAMES:
            if self.is_busy(busiest) and network not in (None, busiest):
                return min(self.working(busiest), key=lambda each: each.since)
        return None

    def is_busy(self, network: bytes | None) -> bool:
        return 2 * len(self.working(network)) > len(self.open)

    def working(self, network: bytes | None) -> list[Waiting]:
        serving = [each for each in self.open if each.state is ConnectionState.WORKING]
        return [each for each in serving if each.network == network]

    @invariant()
    def each_counts(self) -> None:
        assert len(self.places) == len(self.open)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
