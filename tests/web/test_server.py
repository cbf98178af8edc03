import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
import time
from dataclasses import replace

import pytest
import trustme
from starlette.types import Receive, Scope, Send

from tests.web.clients import (
    CALM,
    FAST,
    GET,
    SOON,
    Client,
    Slow,
    Start,
    connect,
    happens,
    is_served,
    reply,
    scrape,
)


async def test_the_limit_is_over_all_listeners(start: Start) -> None:
    app = Slow()
    server = await start(app, replace(CALM, connections=1), listen=("127.0.0.1:0", "127.0.0.1:0"))
    async with connect(server) as first:
        first.say(GET)
        await happens(app.begun)
        host, _, port = server.addresses[1].removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await Client(reader, writer).closed() == b""
        writer.close()


async def test_without_free_descriptors_it_waits_and_goes_on(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start()
    port = int(server.addresses[0].rpartition(":")[2])
    raw = socket.socket()
    raw.settimeout(0)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(raw.fileno())
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        busy = time.process_time()
        # The subject is the CPU time used while it waits.
        await asyncio.sleep(0.2)
        busy = time.process_time() - busy
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    reader, writer = await asyncio.open_connection(sock=raw)
    writer.write(GET)
    assert (await Client(reader, writer).answer()).status == 200
    writer.close()
    assert [record.__dict__["reason"] for record in caplog.records] == [os.strerror(errno.EMFILE)]
    assert busy < 0.1


@pytest.mark.parametrize("header", [None, (b"bad name", b"x")])
async def test_an_app_that_fails_is_answered_500_and_told_through_our_logger_alone(
    start: Start,
    header: tuple[bytes, bytes] | None,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def failing(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/ok":
            await reply(send)
            return
        if header:
            await send({"type": "http.response.start", "status": 200, "headers": [header]})
        raise ValueError("hunter2")

    async with connect(server := await start(failing)) as client:
        client.say(GET)
        if header is None:
            assert (await client.answer()).status == 500
        assert b"200" not in await client.closed()
    async with connect(server) as client:
        client.say(GET.replace(b"/metrics", b"/ok"))
        assert (await client.answer()).status == 200
    assert {record.name for record in caplog.records} == {"exporter.web.asgi"}
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert capfd.readouterr() == ("", "")


async def test_an_error_of_the_server_ends_one_connection_and_is_logged(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start()
    async with connect(server) as client:
        with monkeypatch.context() as patch:
            patch.setattr("exporter.web.parser.Parser.next", lambda _: 1 // 0)
            client.say(GET)
            assert await client.closed() == b""
    assert await is_served(server)
    assert [record.getMessage() for record in caplog.records] == ["a connection failed"]


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(start: Start) -> None:
    async def broken(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError

    async with connect(await start(broken)) as client:
        client.say(GET)
        with pytest.raises((asyncio.IncompleteReadError, ValueError)):
            await client.answer()


async def test_tls_is_spoken(start: Start, secure: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    server = await start(limits=replace(FAST, handshake_timeout=60), ssl_context=secure)
    assert server.addresses[0].startswith("https://")
    async with connect(server, trusting) as client:
        client.say(GET)
        assert (await client.answer()).body == b"/metrics"
        async with connect(server, trusting) as later:  # closed after read_timeout
            assert await later.closed() == b""
        client.say(GET)
        assert (await client.answer()).body == b"/metrics"


async def test_the_last_response_over_tls_ends_with_a_close_of_tls(
    start: Start, secure: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with connect(await start(ssl_context=secure), trusting) as client:
        client.say(GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert (await client.answer()).body == b"/metrics"
        assert await client.reader.read() == b""


async def test_silent_tls_clients_are_closed(start: Start, secure: ssl.SSLContext) -> None:
    server = await start(limits=FAST, ssl_context=secure)
    async with connect(server) as silent, connect(server) as half:
        half.say(b"\x16\x03\x01")
        assert await silent.closed() == b""
        assert await half.closed() == b""


async def test_plain_http_to_a_tls_port_is_closed_without_noise(
    start: Start, secure: ssl.SSLContext, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async with connect(await start(ssl_context=secure)) as client:
        client.say(GET)
        await client.closed()
    assert caplog.records == []
    assert capfd.readouterr().err == ""


async def test_a_tls_scraper_that_hangs_up_is_noticed(
    start: Start, secure: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    app = Slow()
    async with connect(await start(app, ssl_context=secure), trusting) as client:
        client.say(GET)
        await happens(app.begun)
        client.writer.close()
        await happens(app.gone)


async def test_a_tls_reader_that_never_reads_is_cut_off(
    start: Start, secure: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    finished = asyncio.Event()

    async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
        await reply(send, bytes(32 * 2**20))
        finished.set()

    limits = replace(CALM, write_timeout=0.5)
    async with connect(await start(endless, limits, ssl_context=secure), trusting) as client:
        client.say(GET)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await happens(finished)


async def test_new_connections_take_a_replaced_certificate(start: Start, secure: ssl.SSLContext) -> None:
    server = await start(ssl_context=secure)
    other = trustme.CA()
    server.ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.issue_cert("localhost").configure_cert(server.ssl_context)
    trusting = ssl.create_default_context()
    other.configure_trust(trusting)
    async with connect(server, trusting) as client:
        client.say(GET)
        assert (await client.answer()).status == 200


async def test_stop_closes_idle_connections_at_once_and_lets_begun_requests_finish(start: Start) -> None:
    app = Slow()
    server = await start(app)
    async with connect(server) as kept, connect(server) as half, connect(server) as working:
        kept.say(GET.replace(b"/metrics", b"/kept"))
        await kept.answer()
        half.say(b"GET / HT")
        working.say(GET)
        await happens(app.begun)
        stopping = asyncio.create_task(server.stop(10 * SOON))
        assert await kept.closed() == b""
        assert await half.closed() == b""
        with pytest.raises(ConnectionRefusedError):
            await scrape(server)
        assert not stopping.done()
        app.go.set()
        assert (await working.answer()).body == b"done"
        assert await working.closed() == b""
        working.writer.close()
        await asyncio.wait_for(stopping, SOON)


async def test_stop_cuts_what_takes_longer_than_the_grace(start: Start) -> None:
    app = Slow()
    server = await start(app)
    async with connect(server) as working:
        working.say(GET)
        await happens(app.begun)
        await asyncio.wait_for(server.stop(0.1), SOON)
        assert await working.closed() == b""


async def test_stop_does_not_wait_for_silent_tls_clients(
    start: Start, secure: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = await start(ssl_context=secure)
    async with connect(server) as client:
        async with connect(server, trusting) as later:  # accepted after the silent one
            later.say(GET)
            await later.answer()
        await asyncio.wait_for(server.stop(10 * SOON), SOON)
        assert await client.closed() == b""
