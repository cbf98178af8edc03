"""Kept connections that end when a request is sent on them: known as such, and only they."""

import asyncio
import ssl
import struct
from collections.abc import Callable

import pytest

from exporter.model.clock import SYSTEM_CLOCK
from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.transport import ConnectionPool, ConnectionSettings, Dropped, ReloadingPool, Tls
from tests.transport import servers
from tests.transport.conftest import Authority, prepared
from tests.transport.servers import GOAWAY, HEADERS, RST_STREAM, frame, listening

MORE_THAN_LIBCURL_TRIES = 8
INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 2, 7, 8, 11
"""Codes of RFC 9113 section 7."""

ENDS_OF_CONNECTIONS: dict[str, Callable[[int], bytes | None]] = {
    "closed": lambda _: None,
    "stream refused": lambda stream: frame(RST_STREAM, 0, stream, struct.pack(">I", REFUSED_STREAM)),
    "going away": lambda stream: frame(GOAWAY, 0, 0, struct.pack(">II", stream - 2, 0)),
}


async def send(pool: ConnectionPool, url: str, *, fresh: bool = False, method: str = "GET") -> Response:
    request = prepared(method, url, data=b"x" if method == "POST" else None)
    return await pool.send(request, timeout=30, max_bytes=99, fresh=fresh)


async def keep(pool: ConnectionPool, url: str) -> None:
    """Opens connections, all of which are kept."""
    await asyncio.gather(*(send(pool, url) for _ in range(MORE_THAN_LIBCURL_TRIES)))


@pytest.mark.parametrize("end", [servers.closed, servers.reset])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_on_a_dropped_connection_succeeds_on_a_new_one(
    end: Callable[[asyncio.StreamWriter], None], method: str
) -> None:
    pool = ConnectionPool(max_connections=MORE_THAN_LIBCURL_TRIES)
    async with listening(servers.answering_once(end, at_a_time=MORE_THAN_LIBCURL_TRIES)) as server:
        await keep(pool, server.url())
        with pytest.raises(Dropped) as caught:
            await send(pool, server.url(), method=method)
        accepted = server.accepts
        assert (await send(pool, server.url(), fresh=True, method=method)).status == 200
        await pool.close()
    assert caught.value.reason is Reason.CONNECT
    assert (accepted, server.accepts) == (MORE_THAN_LIBCURL_TRIES, MORE_THAN_LIBCURL_TRIES + 1)


def both_ends(authority: Authority) -> tuple[ssl.SSLContext, ConnectionSettings]:
    """What a server and a client of HTTP/2 need."""
    tls = authority.server()
    tls.set_alpn_protocols(["h2"])
    return tls, ConnectionSettings(Tls.model_validate({"ca_file": str(authority.file)}))


@pytest.mark.parametrize("end", ENDS_OF_CONNECTIONS)
async def test_a_request_on_a_dropped_connection_of_http_2_succeeds_on_a_new_one(
    end: str, authority: Authority
) -> None:
    def respond(number: int, stream: int, _: bytes) -> bytes | None:
        return frame(HEADERS, 5, stream, b"\x88") if number == 1 else ENDS_OF_CONNECTIONS[end](stream)

    tls, settings = both_ends(authority)
    pool = ConnectionPool(settings)
    async with listening(servers.http_2(respond), tls) as server:
        url = server.url(scheme="https")
        assert (await send(pool, url)).status == 200
        # Some ends are known to libcurl, which then sends the request again by itself.
        try:
            response = await send(pool, url)
        except Dropped as dropped:
            assert dropped.reason is Reason.CONNECT  # noqa: PT017
            response = await send(pool, url, fresh=True)
        await pool.close()
    assert response.status == 200
    assert server.accepts == 2


@pytest.mark.parametrize("code", [INTERNAL_ERROR, CANCEL, ENHANCE_YOUR_CALM])
async def test_a_stream_that_the_server_ends_was_not_dropped(code: int, authority: Authority) -> None:
    def respond(number: int, stream: int, _: bytes) -> bytes:
        end = frame(RST_STREAM, 0, stream, struct.pack(">I", code))
        return frame(HEADERS, 5, stream, b"\x88") if number == 1 else end

    tls, settings = both_ends(authority)
    pool = ConnectionPool(settings)
    async with listening(servers.http_2(respond), tls) as server:
        url = server.url(scheme="https")
        await send(pool, url)
        with pytest.raises(Failure) as caught:
            await send(pool, url)
        await pool.close()
    assert caught.value.reason is Reason.CONNECT
    assert not isinstance(caught.value, Dropped)
    assert (server.accepts, len(server.requests)) == (1, 2)


async def test_a_new_connection_that_ends_was_not_kept() -> None:
    pool = ConnectionPool()
    async with listening(servers.closing) as server:
        with pytest.raises(Failure) as caught:
            await send(pool, server.url())
        await pool.close()
    assert not isinstance(caught.value, Dropped)
    assert server.accepts == 1


async def test_a_connection_that_ends_after_the_first_byte_of_the_response_was_not_dropped() -> None:
    def begin(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")

    pool = ConnectionPool()
    async with listening(servers.answering_once(begin)) as server:
        await send(pool, server.url())
        with pytest.raises(Failure) as caught:
            await send(pool, server.url())
        await pool.close()
    assert not isinstance(caught.value, Dropped)
    assert (server.accepts, len(server.requests)) == (1, 2)


async def test_a_connection_of_http_2_without_a_response_in_time_is_not_used_again(
    authority: Authority,
) -> None:
    """As behind a firewall that forgets connections: what is sent on one of them never arrives."""

    def respond(_: int, stream: int, __: bytes) -> bytes:
        return b"" if server.accepts == 1 and len(server.requests) > 1 else frame(HEADERS, 5, stream, b"\x88")

    tls, settings = both_ends(authority)
    pool = ReloadingPool(settings, SYSTEM_CLOCK, max_connections=4, grace=1)
    async with listening(servers.http_2(respond), tls) as server:
        request = prepared("GET", server.url(scheme="https"))
        await pool.send(request, timeout=30, max_bytes=1000)
        with pytest.raises(Failure) as caught:
            await pool.send(request, timeout=0.3, max_bytes=1000)
        response = await pool.send(request, timeout=30, max_bytes=1000)
        await pool.close(1)
    assert (caught.value.reason, response.status) == (Reason.TIMEOUT, 200)
    assert server.accepts == 2
