import asyncio
import contextlib
import ssl
import tracemalloc
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from exporter.web.server import Server
from exporter.web.turns import Turns
from tests.waiting import seen
from tests.web.clients import (
    CALM,
    FAST,
    GET,
    SOON,
    Keep,
    Slow,
    Start,
    connect,
    happens,
    hello,
    reply,
    scrape,
)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 17_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(3_000)) + b"\r\n",
        b"GET /" + b"y" * 100_000,
    ],
)
async def test_too_large_a_head_is_answered_431(start: Start, request_: bytes) -> None:
    async with connect(await start(app := Keep())) as client:
        client.say(request_)
        assert (await client.answer()).status == 431
        assert await client.closed() == b""
    assert app.scopes == []


@pytest.mark.parametrize(
    "request_",
    [
        b"Content-Length: 70000\r\n\r\n" + b"y" * 70_000,
        b"Content-Length: 99999999999\r\n\r\n",
        b"Content-Length: 70000\r\nExpect: 100-continue\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"2000\r\n%b\r\n" % (b"y" * 8192) * 20,
    ],
)
async def test_too_large_a_body_is_answered_413_before_the_app_sees_it(start: Start, request_: bytes) -> None:
    async with connect(await start(app := Keep())) as client:
        client.say(b"POST / HTTP/1.1\r\nHost: x\r\n" + request_)
        assert (await client.answer()).status == 413
        assert await client.closed() == b""
    assert app.scopes == []


async def test_what_a_refused_client_still_sends_is_not_kept(start: Start) -> None:
    async with connect(await start()) as client:
        client.say(b"nonsense\r\n\r\n")
        assert (await client.answer()).status == 400
        tracemalloc.start()
        try:
            for _ in range(256):
                client.say(bytes(32 * 1024))
                await client.writer.drain()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 2 * 2**20


async def test_a_body_in_a_thousand_pieces_reaches_the_app_whole(start: Start) -> None:
    async with connect(await start(app := Keep())) as client:
        client.say(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\ny\r\n" * 1000)
        client.say(b"0\r\n\r\n")
        assert (await client.answer()).status == 200
    assert app.body == b"y" * 1000
    assert len(app.messages) == 2


async def test_a_body_that_waits_to_be_asked_for_is_asked_for(start: Start) -> None:
    async with connect(await start(app := Keep())) as client:
        client.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.answer()).status == 100
        client.say(b"abc")
        assert (await client.answer()).status == 200
    assert app.body == b"abc"


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    async with connect(await start()) as client:
        client.say(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(50)))
        bodies = [(await client.answer()).body for _ in range(50)]
    assert bodies == [b"/%d" % i for i in range(50)]


async def test_a_body_in_very_many_pieces_lets_others_work_in_between(start: Start) -> None:
    app, turns = Keep(), 0
    chunks = b"1\r\ny\r\n" * 30_000
    async with connect(await start(app)) as client:
        client.say(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        )
        async with asyncio.timeout(SOON):
            while not app.scopes:
                await asyncio.sleep(0)
                turns += 1
    assert turns > len(chunks) / 4096


async def test_pipelined_requests_let_others_work_in_between(start: Start) -> None:
    answered = 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal answered
        answered += 1
        await reply(send)

    async with connect(await start(app)) as client:
        client.say(GET * 200)
        most, before = 0, 0
        async with asyncio.timeout(SOON):
            while answered < 200:
                await asyncio.sleep(0)
                most, before = max(most, answered - before), answered
    assert most == 1


async def test_requests_of_many_clients_at_the_same_time_begin_in_turns_of_their_own(start: Start) -> None:
    app = Keep()
    server = await start(app, replace(CALM, connections=50))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(server)) for _ in range(50)]
        for client in clients:
            client.say(GET)
            await client.answer()
            client.say(GET[:9])
        app.scopes.clear()
        for client in clients:
            client.say(GET[9:])
        most, before = 0, 0
        async with asyncio.timeout(SOON):
            while len(app.scopes) < 50:
                await asyncio.sleep(0)
                most, before = max(most, len(app.scopes) - before), len(app.scopes)
    assert most == 1


async def test_no_more_is_read_of_a_client_until_it_has_its_turn(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = asyncio.Event()
    monkeypatch.setattr(Turns, "mine", lambda _: turn.wait())
    async with connect(await start()) as client:
        client.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + bytes(32 * 2**20))
        unsent = []
        for _ in range(2000):
            await asyncio.sleep(0)
            unsent.append(client.writer.transport.get_write_buffer_size())
        # The buffers of the kernel have been filled, and are not emptied.
        assert unsent[1000] == unsent[-1] > 0
        turn.set()
        assert (await client.answer()).status == 413


async def test_who_sends_on_and_on_during_an_answer_is_cut_off(start: Start) -> None:
    app = Slow()
    async with connect(await start(app)) as client:
        client.say(GET)
        await happens(app.begun)
        client.say(GET * 10_000)
        await happens(app.gone)
        assert await client.closed() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /metrics%0a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /-%2Fhealthy HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ],
)
async def test_nonsense_is_refused_without_asking_the_app(start: Start, sent: bytes, status: int) -> None:
    async with connect(await start(app := Keep())) as client:
        client.say(sent)
        assert (await client.answer()).status == status
        assert await client.closed() == b""
    assert app.scopes == []


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"transfer-encoding: CHUNKED\r\nX: y\r\ncontent-length: 4",
        b"Content-Length: 4\nTransfer-Encoding: chunked",
        b"Content-Length: 4\r\nContent-Length: 4",
        b"Content-Length: 4, 4",
        b"Content-Length: +4",
        b"Content-Length: 4 4",
        b"Content-Length:",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding:",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"X: y\rTransfer-Encoding: chunked",
    ],
)
async def test_a_body_whose_length_is_not_certain_is_refused_and_closed(start: Start, framing: bytes) -> None:
    async with connect(await start(app := Keep())) as client:
        client.say(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n0\r\n\r\n" + GET)
        assert (await client.answer()).status == 400
        assert await client.closed() == b""
    assert app.scopes == []


async def test_a_chunked_body_of_http_1_0_is_refused_and_closed(start: Start) -> None:
    async with connect(await start(app := Keep())) as client:
        client.say(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert (await client.answer()).status == 400
        assert await client.closed() == b""
    assert app.scopes == []


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [b"GET ", b"/", b" HTTP/1.1", b"\r\n", b"Host: x", b"Content-Length: 3", b"\x00", b"abc"]
        ),
        max_size=20,
    ).map(b"".join)
)
@settings(max_examples=60, deadline=None)
def test_no_bytes_whatever_harm_the_next_scrape(sent: bytes) -> None:
    async def attack() -> None:
        server = Server(hello, ["127.0.0.1:0"], limits=FAST)
        await server.start()
        async with connect(server) as client:
            client.say(sent)
            client.writer.write_eof()
            await client.closed()
        assert await scrape(server) == b"/metrics"
        await server.stop(1)

    asyncio.run(attack())


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==",
    ],
)
async def test_no_upgrade_is_made(start: Start, upgrade: bytes) -> None:
    async with connect(await start()) as client:
        client.say(b"GET / HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n\r\n")
        assert (await client.answer()).status == 200
        client.say(GET)
        assert (await client.answer()).status == 200


async def test_handshakes_of_many_clients_at_the_same_time_are_in_turns_of_their_own(
    start: Start, secure: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    steps = 0

    class Counted(ssl.SSLObject):
        def do_handshake(self) -> None:
            nonlocal steps
            steps += 1
            super().do_handshake()

    secure.sslobject_class = Counted
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusting.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    server = await start(limits=replace(CALM, connections=50), ssl_context=secure)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(server)) for _ in range(50)]
        # Each begins without data. One byte alone gives no right to be served out of turn later.
        for client in clients:
            client.say(hello[:1])
        await seen(lambda: steps == 100, "all handshakes begun")
        for client in clients:
            client.say(hello[1:])
        most, before = 0, steps
        async with asyncio.timeout(SOON):
            while steps < 150:
                await asyncio.sleep(0)
                most, before = max(most, steps - before), steps
    assert most == 1


async def test_a_request_in_the_last_flight_of_the_handshake_is_answered(
    start: Start, secure: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with connect(await start(ssl_context=secure)) as client, asyncio.timeout(SOON):
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.say(outgoing.read())
                incoming.write(await client.reader.read(2**16))
        tls.write(GET)
        client.say(outgoing.read())
        response = b""
        while not response.endswith(b"/metrics"):
            incoming.write(await client.reader.read(2**16))
            with contextlib.suppress(ssl.SSLWantReadError):
                response += tls.read(2**16)
    assert response.startswith(b"HTTP/1.1 200")
