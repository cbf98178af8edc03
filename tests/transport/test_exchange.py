"""One exchange: what goes out and what comes back, byte for byte."""

import random
import zlib
from pathlib import Path

import pytest
import requests

from exporter.model.failure import Failure, Reason
from exporter.model.http import CONNECTION_HEADERS, Response
from exporter.transport import ConnectionPool
from tests.transport.conftest import Send, prepared
from tests.transport.servers import answer, answering, listening, saying

LIMIT = 1 << 20


async def get(pool: ConnectionPool, url: str, seconds: float = 5) -> Response:
    return await pool.send(prepared("GET", url), timeout=seconds, max_bytes=LIMIT)


async def test_an_answer_has_status_headers_and_body(send: Send) -> None:
    response = answer(b'{"a": 1}', "404 Not Found", Content_Type="application/json", X_A="1", x_a="2")
    async with listening(answering(response)) as server:
        seen = await send(server.url())
    assert (seen.status, seen.body) == (404, b'{"a": 1}')
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-a"] == "1, 2"


@pytest.mark.parametrize("status", ["204 No Content", "299 Odd", "304 Not Modified", "401 No", "503 Busy"])
async def test_no_status_is_a_fault(status: str, send: Send) -> None:
    async with listening(saying(f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n".encode())) as server:
        assert (await send(server.url())).status == int(status[:3])


async def test_interim_answers_and_trailers_are_no_headers(send: Send) -> None:
    response = (
        b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        b"X-Head: 2\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: 3\r\n\r\n"
    )
    async with listening(saying(response)) as server:
        seen = await send(server.url())
    assert seen.body == b"{}"
    assert {name for name in seen.headers if name.startswith("x-")} == {"x-head"}


@pytest.mark.parametrize(("coding", "wbits"), [("gzip", 31), ("deflate", 15)])
async def test_packed_bodies_are_unpacked(coding: str, wbits: int, send: Send) -> None:
    pack = zlib.compressobj(wbits=wbits)
    body = answer(pack.compress(b"text" * 999) + pack.flush(), Content_Encoding=coding)
    async with listening(answering(body)) as server:
        assert (await send(server.url())).body == b"text" * 999
    assert b"accept-encoding: deflate, gzip" in server.requests[0].lower()


PATHS = [
    "/a/../b/./c",
    "/a%2Fb/%2E%2E/%2F",
    "//double//slash/",
    "/?",
    "/p?a=b+c&d=%3D%26|'\"&e",
    "/{braces}/[brackets]/~tilde;x=1,2:3@4!$()*",
    "/%C3%A9/%00/%FF",
]


@pytest.mark.parametrize("path", PATHS)
async def test_the_pool_carries_exactly_the_path_of_the_url(path: str) -> None:
    async with listening(answering(answer())) as server:
        request = prepared("GET", server.url())
        request.url = server.url(path)
        pool = ConnectionPool()
        await pool.send(request, timeout=30, max_bytes=LIMIT)
        await get(pool, server.url("/next"))
        await pool.close()
    assert [each.split(b" ")[1] for each in server.requests] == [path.encode(), b"/next"]


async def test_any_prepared_url_arrives_as_it_was_signed() -> None:
    chosen = random.Random(7)
    signs = [chr(code) for code in range(33, 127)] + ["é", "€", " ", "%2F", "%2f", "%e2", "%25"]
    pool = ConnectionPool(max_connections=1)
    async with listening(answering(answer())) as server:
        for _ in range(300):
            path = "/x" + "".join(chosen.choices(signs, k=12))
            request = prepared("GET", server.url(path), params={"k": chosen.choice(signs)})
            await pool.send(request, timeout=30, max_bytes=LIMIT)
            assert server.requests[-1].split(b" ")[1].decode() == request.path_url
        await pool.close()
    assert server.accepts == 1


async def test_headers_go_out_as_given_and_nothing_is_made_up(send: Send) -> None:
    headers = {
        "Authorization": "Bearer s3cret",
        "X-Empty": "",
        "X-Latin": "caf\xe9",
        "User-Agent": "exporter/1",
        "Accept": "application/json",
    }
    async with listening(answering(answer())) as server:
        await send(server.url("/x"), headers=headers)
    head = server.requests[0].decode("latin-1").split("\r\n")
    assert head[0] == "GET /x HTTP/1.1"
    assert head[1] == f"Host: 127.0.0.1:{server.port}"
    assert sorted(head[2:-2]) == sorted(
        [f"{name}: {value}".rstrip() for name, value in headers.items()]
        + [line for line in head if line.startswith("Accept-Encoding: ")]
    )


async def test_headers_of_the_connection_are_not_taken_from_a_request_but_the_host_is(send: Send) -> None:
    headers = {**dict.fromkeys(CONNECTION_HEADERS, "odd"), "Host": "inner.example"}
    async with listening(answering(answer())) as server:
        await send(server.url(), headers=headers)
    assert b"odd" not in server.requests[0]
    assert b"\r\nHost: inner.example\r\n" in server.requests[0]


@pytest.mark.parametrize("value", ["a\nX-Evil: 1", "a\r\nX-Evil: 1", "a\0b", "\u20ac"])
async def test_a_header_value_that_cannot_be_one_is_not_sent(value: str) -> None:
    pool = ConnectionPool()
    async with listening(answering(answer())) as server:
        request = prepared("GET", server.url())
        request.headers["X-Token"] = value
        with pytest.raises(Failure) as caught:
            await pool.send(request, timeout=30, max_bytes=LIMIT)
        await pool.close()
    assert caught.value.reason is Reason.INTERNAL
    assert "Evil" not in str(caught.value)
    assert server.accepts == 0


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/", "gopher://127.0.0.1/", ""])
async def test_only_http_and_https_are_spoken(url: str) -> None:
    pool, request = ConnectionPool(), requests.PreparedRequest()
    request.method, request.url = "GET", url
    request.headers = requests.structures.CaseInsensitiveDict()
    with pytest.raises(Failure) as caught:
        await pool.send(request, timeout=30, max_bytes=LIMIT)
    await pool.close()
    assert caught.value.reason is Reason.INTERNAL


async def test_methods_and_bodies_go_out_and_leave_no_trace() -> None:
    pool = ConnectionPool(max_connections=1)
    async with listening(answering(answer())) as server:
        big = "x" * (2 << 20)
        for request in (
            prepared("POST", server.url("/form"), data={"grant_type": "client credentials", "a": "é"}),
            prepared("GET", server.url("/plain")),
            prepared("POST", server.url("/json"), json={"a": [1]}),
            prepared("POST", server.url("/empty")),
            prepared("PUT", server.url("/bytes"), data=b"\0\1"),
            prepared("DELETE", server.url("/gone")),
            prepared("POST", server.url("/big"), data=big, headers={"Content-Type": "text/plain"}),
            prepared("GET", server.url("/plain")),
        ):
            assert (await pool.send(request, timeout=30, max_bytes=LIMIT)).body == b"{}"
        await pool.close()
    seen = [(each.split(b"\r\n")[0][:-9], each.partition(b"\r\n\r\n")[2]) for each in server.requests]
    assert seen == [
        (b"POST /form", b"grant_type=client+credentials&a=%C3%A9"),
        (b"GET /plain", b""),
        (b"POST /json", b'{"a": [1]}'),
        (b"POST /empty", b""),
        (b"PUT /bytes", b"\0\1"),
        (b"DELETE /gone", b""),
        (b"POST /big", big.encode()),
        (b"GET /plain", b""),
    ]
    assert b"Content-Length: 0" in server.requests[3]
    assert b"application/x-www-form-urlencoded" in server.requests[0]
    assert b"application/x-www-form-urlencoded" not in server.requests[3] + server.requests[4]
    assert all(b"expect:" not in each[:400].lower() for each in server.requests)


async def test_a_head_request_has_headers_and_no_body(send: Send) -> None:
    async with listening(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nX-A: b\r\n\r\n")) as server:
        seen = await send(server.url(), method="HEAD")
    assert (seen.status, seen.body, seen.headers["x-a"]) == (200, b"", "b")


async def test_a_body_that_is_a_stream_is_refused(send: Send) -> None:
    with pytest.raises(Failure, match="text or bytes"):
        await send("http://127.0.0.1:1/", method="POST", data=iter([b"a"]))


async def test_cookies_are_not_kept() -> None:
    pool = ConnectionPool(max_connections=1)
    async with listening(answering(answer(Set_Cookie="a=1; Path=/"))) as server:
        response = await get(pool, server.url())
        await get(pool, server.url())
        await pool.close()
    assert response.headers.every("set-cookie") == ["a=1; Path=/"]
    assert b"cookie" not in server.requests[1].lower()


async def test_credentials_of_one_request_are_not_in_the_next() -> None:
    pool = ConnectionPool(max_connections=1)
    async with listening(answering(answer())) as server:
        secret = prepared("GET", server.url(), headers={"Authorization": "Bearer s3cret"})
        await pool.send(secret, timeout=30, max_bytes=LIMIT)
        await get(pool, server.url())
        await pool.close()
    assert b"s3cret" in server.requests[0]
    assert b"s3cret" not in server.requests[1]


async def test_a_netrc_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with listening(answering(answer())) as server:
        await send(server.url())
    assert b"authorization" not in server.requests[0].lower()
