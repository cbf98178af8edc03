import asyncio
import contextlib
import gc
import os
import socket
import struct
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
from starlette.types import Receive, Scope, Send

from exporter.web.connection import Connection, ConnectionState
from exporter.web.turns import Turns
from tests.waiting import seen
from tests.web.clients import (
    CALM,
    FAST,
    GET,
    SOON,
    Client,
    Keep,
    Slow,
    Start,
    connect,
    happens,
    hello,
    is_served,
    reply,
    scrape,
)


async def test_a_request_is_answered_without_naming_the_server(start: Start) -> None:
    async with connect(await start()) as client:
        client.say(GET)
        answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"/metrics")
    assert "date" in answer.headers
    assert "server" not in answer.headers


async def test_head_has_the_headers_and_no_body(start: Start) -> None:
    async with connect(await start()) as client:
        client.say(GET.replace(b"GET", b"HEAD"))
        head = await client.answer(method="HEAD")
        client.say(GET)
        assert (await client.answer()).body == b"/metrics"
    assert head.headers["content-length"] == "8"


async def test_the_app_learns_who_asks_and_how(start: Start) -> None:
    app = Keep()
    async with connect(server := await start(app)) as client:
        client.say(b"GET /a%20b?x=%20 HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n\r\n")
        await client.answer()
        peer = client.writer.get_extra_info("sockname")
    (scope,) = app.scopes
    assert (scope["path"], scope["query_string"], scope["method"]) == ("/a b", b"x=%20", "GET")
    assert (b"x-one", b"1") in scope["headers"]
    assert (scope["scheme"], scope["client"]) == ("http", peer)
    assert server.addresses == ("http://{}:{}".format(*scope["server"]),)


async def test_a_kept_connection_may_rest_longer_than_a_request_may_take(start: Start) -> None:
    server = await start(limits=FAST)
    async with connect(server) as client:
        for _ in range(2):
            client.say(GET)
            assert (await client.answer()).status == 200
            async with connect(server) as later:  # closed after read_timeout
                assert await later.closed() == b""
        client.say(GET)
        assert (await client.answer()).status == 200


async def test_a_kept_connection_that_rests_too_long_is_closed(start: Start) -> None:
    async with connect(await start(limits=replace(CALM, keep_alive_timeout=0.1))) as client:
        client.say(GET)
        await client.answer()
        assert await client.closed() == b""


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", GET[:-2], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"]
)
async def test_silent_and_half_requests_are_closed_while_others_are_served(start: Start, sent: bytes) -> None:
    server = await start(app := Keep(), FAST)
    async with connect(server) as client:
        client.say(sent)
        assert await scrape(server) == b"ok"
        assert await client.closed() == b""
    assert len(app.scopes) == 1


@pytest.mark.parametrize("together", [True, False])
async def test_half_a_second_request_is_closed_as_soon_as_half_a_first_one(
    start: Start, *, together: bool
) -> None:
    half = GET[:9]
    async with connect(await start(limits=FAST)) as client:
        client.say(GET + half if together else GET)
        await client.answer()
        client.say(b"" if together else half)
        assert await client.closed() == b""


@pytest.mark.parametrize("sent", [GET.replace(b"Host", b"Connection: close\r\nHost"), b"nonsense\r\n\r\n"])
async def test_who_does_not_close_after_the_last_answer_is_cut_off(start: Start, sent: bytes) -> None:
    def is_cut(client: Client) -> bool:
        client.say(b"x")
        return client.writer.transport.is_closing()

    patient = await start(limits=replace(CALM, farewell_timeout=60))
    async with connect(patient) as client:
        client.say(sent)
        await client.answer()
        assert await client.closed() == b""
        for _ in range(3):
            await scrape(patient)
            assert not is_cut(client)
    server = await start(limits=replace(CALM, farewell_timeout=0.1))
    async with connect(server) as client:
        client.say(sent)
        await client.answer()
        assert await client.closed() == b""
        await seen(lambda: is_cut(client), "the end of the connection")


@pytest.mark.parametrize("head", [b"", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"])
async def test_a_client_that_drips_bytes_gets_no_longer_than_one_that_is_silent(
    start: Start, head: bytes
) -> None:
    server = await start(limits=FAST)
    async with connect(server) as client, connect(server) as silent:
        client.say(head)
        closed, ended = asyncio.create_task(client.closed()), asyncio.create_task(silent.closed())
        while not closed.done() and not ended.done():
            client.say(b"x")
            await scrape(server)
        await scrape(server)
        assert closed.done()
        assert await closed == b""
        assert await ended == b""


async def test_the_app_may_work_longer_than_any_timeout_of_clients(start: Start) -> None:
    app = Slow()
    server = await start(app, replace(FAST, keep_alive_timeout=0.5))
    async with connect(server) as client:
        client.say(GET)
        await happens(app.begun)
        async with connect(server) as later, connect(server) as kept:
            kept.say(GET.replace(b"/metrics", b"/kept"))
            await kept.answer()
            assert await later.closed() == b""
            assert await kept.closed() == b""
        app.go.set()
        assert (await client.answer()).body == b"done"


async def test_a_reader_that_never_reads_is_cut_off_while_others_are_served(start: Start) -> None:
    finished = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/metrics":
            await reply(send)
            return
        await reply(send, bytes(64 * 2**20))
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        finished.set()

    server = await start(endless, FAST)
    async with connect(server) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.say(GET.replace(b"/metrics", b"/endless"))
        assert await scrape(server) == b"ok"
        await happens(finished)


async def test_a_reader_that_is_slow_but_reads_gets_everything(start: Start) -> None:
    size = 8 * 2**20

    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        await reply(send, bytes(size))

    received, began = 0, time.monotonic()
    async with connect(await start(large, FAST)) as client:
        client.say(GET)
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        raw = client.writer.get_extra_info("socket")
        received = len(client.reader._buffer)  # type: ignore[attr-defined]  # noqa: SLF001  # what came with the head
        while received < size:
            with contextlib.suppress(BlockingIOError):
                received += len(os.read(raw.fileno(), 256 * 1024))
            # The subject is a slow client, so it pauses; a longer pause does no harm.
            await asyncio.sleep(0.02)
    assert received == size
    assert time.monotonic() - began > FAST.write_timeout


async def test_a_large_part_of_a_response_is_sent_without_a_copy(start: Start) -> None:
    body = memoryview(bytes(16 * 2**20))

    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    host, _, port = (await start(large)).addresses[0].removeprefix("http://").rpartition(":")
    loop, received, buffer = asyncio.get_running_loop(), 0, bytearray(64 * 1024)
    with socket.socket() as client:
        client.settimeout(0)
        await loop.sock_connect(client, (host, int(port)))
        tracemalloc.start()
        try:
            await loop.sock_sendall(client, GET)
            while received < len(body):
                received += await loop.sock_recv_into(client, buffer)
            assert tracemalloc.get_traced_memory()[1] < len(body) / 4
        finally:
            tracemalloc.stop()


def close(client: Client) -> None:
    client.writer.close()


def half_close(client: Client) -> None:
    client.writer.write_eof()


def reset(client: Client) -> None:
    raw = client.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


@pytest.mark.parametrize("hang_up", [close, half_close, reset])
@pytest.mark.parametrize(
    "request_", [GET, GET + GET, GET.replace(b"Host", b"Connection: upgrade\r\nUpgrade: x\r\nHost")]
)
async def test_the_app_is_told_when_the_scraper_hangs_up(
    start: Start, hang_up: Callable[[Client], None], request_: bytes
) -> None:
    app = Slow()
    server = await start(app)
    async with connect(server) as client:
        client.say(request_)
        await happens(app.begun)
        app.begun.clear()
        hang_up(client)
        await happens(app.gone)
    await server.stop(SOON)  # when nothing is worked on any more
    assert not app.begun.is_set(), "a request of somebody who is gone is not begun"


async def test_a_connection_whose_client_is_gone_counts_no_longer(start: Start) -> None:
    server = await start(limits=replace(CALM, connections=1))
    for _ in range(3):
        await seen(lambda: is_served(server), "a free connection")


def is_open(connection: Connection) -> bool:
    return connection.state is ConnectionState.READING


@pytest.fixture
def without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize("sent", [None, b"", b"nonsense\r\n\r\n", GET])
async def test_a_closed_connection_leaves_nothing_to_the_garbage_collector(sent: bytes | None) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(0)
    with theirs:
        connection = Connection(hello, CALM, ours, None, turns=Turns())
        if sent:
            theirs.send(sent)
            async with asyncio.timeout(SOON):
                assert await asyncio.get_running_loop().sock_recv(theirs, 1000)
        elif sent is None:
            await seen(partial(is_open, connection), "an open connection")
            connection.cut()
    async with asyncio.timeout(SOON):
        await asyncio.wait([connection.task])
    await asyncio.sleep(0)
    gone = weakref.ref(connection)
    del connection
    assert gone() is None


async def test_a_connection_that_is_cut_before_it_has_run_closes_its_socket() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(0)
    with theirs:
        connection = Connection(hello, CALM, ours, None, turns=Turns())
        connection.cut()
        async with asyncio.timeout(SOON):
            assert await asyncio.get_running_loop().sock_recv(theirs, 1) == b""
