"""Servers that mean no good, or do no good: each fault has its reason, in bounded time and space."""

import asyncio
import gzip
import socket
import time
import tracemalloc
from collections import Counter

import pycurl
import pytest

from exporter.model.failure import Failure, Reason
from exporter.transport import ConnectionPool
from exporter.transport.handle import Handle
from tests.transport import servers
from tests.transport.conftest import Send, prepared
from tests.transport.servers import Script, answer, answering, listening, saying, without_end

pytestmark = pytest.mark.slow

OK = b"HTTP/1.1 200 OK\r\n"

SCRIPTS: dict[str, tuple[Script, Reason]] = {
    "silent": (servers.mute, Reason.TIMEOUT),
    "half a header": (saying(OK + b"Content-", close=False), Reason.TIMEOUT),
    "half a body": (saying(OK + b"Content-Length: 9\r\n\r\nabc", close=False), Reason.TIMEOUT),
    "a byte now and then": (saying(*[b"H", b"T", b"T", b"P"] * 9, pause=0.1), Reason.TIMEOUT),
    "a body in bytes": (
        saying(OK + b"Content-Length: 99\r\n\r\n", *[b"a"] * 99, pause=0.1),
        Reason.TIMEOUT,
    ),
    "a gzip bomb": (answering(servers.bomb()), Reason.TOO_LARGE),
    "an endless body": (without_end(OK + b"\r\n", bytes(65536)), Reason.TOO_LARGE),
    "endless chunks": (
        without_end(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"4000\r\n" + bytes(0x4000) + b"\r\n"),
        Reason.TOO_LARGE,
    ),
    "a long body announced": (
        saying(OK + b"Content-Length: 99999999\r\n\r\n", close=False),
        Reason.TOO_LARGE,
    ),
    "endless headers": (without_end(OK, b"X-More: and more\r\n" * 999), Reason.TOO_LARGE),
    "many short headers": (saying(OK + b"a:\r\n" * 1000 + b"\r\n{}"), Reason.TOO_LARGE),
    "one endless header": (without_end(OK + b"X-Long: ", b"a" * 9999), Reason.TOO_LARGE),
    "endless interim answers": (without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999), Reason.TOO_LARGE),
    "no HTTP": (saying(b"220 mail.example.com ESMTP ready\r\n"), Reason.INVALID_RESPONSE),
    "binary": (saying(bytes(range(256)) * 9), Reason.INVALID_RESPONSE),
    "broken gzip": (
        answering(answer(b"no gzip at all", Content_Encoding="gzip")),
        Reason.INVALID_RESPONSE,
    ),
    "something behind the gzip": (
        answering(answer(gzip.compress(b"{}") + b"more", Content_Encoding="gzip")),
        Reason.INVALID_RESPONSE,
    ),
    "a broken length": (saying(OK + b"Content-Length: many\r\n\r\n{}"), Reason.INVALID_RESPONSE),
    "reset in the middle": (servers.resetting, Reason.CONNECT),
    "closed without a word": (servers.closing, Reason.CONNECT),
    "closed in the header": (saying(OK + b"Content-Type: app"), Reason.CONNECT),
    "closed in the body": (saying(OK + b"Content-Length: 99\r\n\r\n{"), Reason.CONNECT),
    "closed in a chunk": (saying(OK + b"Transfer-Encoding: chunked\r\n\r\n99\r\n{"), Reason.CONNECT),
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_each_hostile_server_has_its_reason_in_time(name: str, send: Send) -> None:
    script, reason = SCRIPTS[name]
    # Only those that would not end by themselves need the end of their time.
    seconds = 0.4 if reason is Reason.TIMEOUT else 30
    async with listening(script) as server:
        with pytest.raises(Failure) as caught:
            await send(server.url("/jobs?key=hidden"), seconds=seconds)
    assert caught.value.reason is reason
    assert "hidden" not in str(caught.value)
    assert caught.value.detail


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_pool_works_on_after_a_hostile_answer(name: str) -> None:
    pool = ConnectionPool(max_connections=1)
    async with listening(SCRIPTS[name][0]) as hostile, listening(answering(answer(b"fine"))) as polite:
        with pytest.raises(Failure):
            await pool.send(prepared("GET", hostile.url()), timeout=0.3, max_bytes=1000)
        response = await pool.send(prepared("GET", polite.url()), timeout=30, max_bytes=1000)
        await pool.close()
    assert response.body == b"fine"


async def test_nobody_listens(send: Send) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(Failure, match="refused") as caught:
            await send(f"http://127.0.0.1:{port}/")
    assert caught.value.reason is Reason.CONNECT
    assert f"(127.0.0.1:{port}, " in caught.value.detail


async def test_a_name_that_cannot_be(send: Send) -> None:
    # A label over 63 characters is refused before anybody is asked.
    with pytest.raises(Failure) as caught:
        await send(f"http://{'a' * 64}.example.com/")
    assert caught.value.reason is Reason.DNS
    assert f"({'a' * 64}.example.com:80, " in caught.value.detail


async def test_a_gzip_bomb_costs_little_memory() -> None:
    bomb = servers.bomb()
    pool = ConnectionPool()
    async with listening(answering(bomb)) as server:
        tracemalloc.start()
        with pytest.raises(Failure, match="too_large"):
            await pool.send(prepared("GET", server.url()), timeout=30, max_bytes=1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        await pool.close()
    assert peak < 4 << 20


async def test_a_gzip_bomb_is_refused_where_libcurl_counts_packed_bytes_only(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Older versions do; so the limit of libcurl is switched off, and ours has to hold alone.
    monkeypatch.setattr(pycurl, "MAXFILESIZE_LARGE", pycurl.INFILESIZE_LARGE)
    async with listening(answering(servers.bomb())) as server:
        with pytest.raises(Failure, match="the decoded response body is over 1000000 bytes") as caught:
            await send(server.url(), max_bytes=1000000)
    assert caught.value.reason is Reason.TOO_LARGE


async def test_a_body_in_pieces_of_a_byte_needs_little_memory_and_many_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces, turns = Counter[int](), 0
    on_body = Handle._on_body  # noqa: SLF001  what libcurl calls for each piece

    def counted(handle: Handle, data: bytes) -> int | None:
        pieces[turns] += 1
        return on_body(handle, data)

    monkeypatch.setattr(Handle, "_on_body", counted)
    pool = ConnectionPool()
    chunked = saying(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nab\r\n" * 50_000 + b"0\r\n\r\n")
    async with listening(chunked) as server:
        tracemalloc.start()
        sending = asyncio.create_task(pool.send(prepared("GET", server.url()), timeout=30, max_bytes=1 << 20))
        while not sending.done():
            turns += 1
            await asyncio.sleep(0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        await pool.close()
    assert sending.result().body == b"ab" * 50_000
    # As objects of their own, the pieces alone would be 2 MB.
    assert peak < 1_500_000
    assert max(pieces.values()) < 10_000


async def test_a_body_of_exactly_the_limit_is_taken(send: Send) -> None:
    async with listening(answering(answer(bytes(5000)))) as server:
        assert len((await send(server.url(), max_bytes=5000)).body) == 5000
        with pytest.raises(Failure) as caught:
            await send(server.url(), max_bytes=4999)
    assert caught.value.reason is Reason.TOO_LARGE


async def test_plain_http_on_a_tls_port(send: Send) -> None:
    async with listening(servers.greeting) as server:
        with pytest.raises(Failure) as caught:
            await send(server.url(scheme="https"))
    assert caught.value.reason is Reason.TLS


async def test_a_stalled_tls_handshake_ends_in_time(send: Send) -> None:
    async with listening(servers.mute) as server:
        with pytest.raises(Failure, match="TLS handshake") as caught:
            await send(server.url(scheme="https"), seconds=0.5)
    assert caught.value.reason is Reason.TIMEOUT


async def test_a_redirect_is_an_answer_and_carries_no_secret_elsewhere(send: Send) -> None:
    async with listening(answering(answer())) as stranger:
        moved = answer(status="302 Found", Location=stranger.url("/catch"))
        async with listening(answering(moved)) as server:
            seen = await send(server.url(), headers={"Authorization": "Bearer s3cret"})
        assert (seen.status, seen.headers["location"]) == (302, stranger.url("/catch"))
        assert stranger.accepts == 0


async def test_waiting_for_silent_servers_costs_no_time_of_the_processor() -> None:
    pool = ConnectionPool()
    async with listening(servers.mute) as server:
        sends = [pool.send(prepared("GET", server.url()), timeout=0.5, max_bytes=1000) for _ in range(8)]
        spent = time.process_time()
        results = await asyncio.gather(*sends, return_exceptions=True)
        spent = time.process_time() - spent
        await pool.close()
    assert all(isinstance(result, Failure) for result in results)
    assert spent < 0.15
