"""Proxies: the explicit one, and those that the environment names."""

import socket

import pytest

from exporter.model.failure import Failure, Reason
from exporter.transport import ConnectionSettings, Tls
from tests.transport.conftest import Authority, Send
from tests.transport.servers import answer, answering, listening, proxy


async def test_plain_requests_are_passed_on_by_the_proxy(send: Send) -> None:
    async with listening(answering(answer(b"far"))) as server, proxy() as via:
        seen = await send(server.url("/a%2Fb?c=%3D"), ConnectionSettings(proxy_url=via.url()))
    assert seen.body == b"far"
    assert via.requests[0].startswith(f"GET {server.url('/a%2Fb?c=%3D')} HTTP/1.1\r\n".encode())


async def test_tls_goes_through_a_tunnel_that_sees_no_credentials(send: Send, authority: Authority) -> None:
    async with listening(answering(answer(b"far")), authority.server()) as server, proxy() as via:
        tls = Tls.model_validate({"ca_file": str(authority.file)})
        seen = await send(
            server.url("/a%2F", scheme="https"),
            ConnectionSettings(tls, proxy_url=via.url()),
            headers={"Authorization": "Bearer s3cret"},
        )
    assert seen.body == b"far"
    assert "x-proxy" not in seen.headers
    assert via.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode())
    assert b"s3cret" not in b"".join(via.requests)
    assert server.requests[0].startswith(b"GET /a%2F HTTP/1.1\r\n")
    assert b"Bearer s3cret" in server.requests[0]


async def test_the_tunnel_leads_to_the_real_host_when_the_server_name_is_another(
    send: Send, authority: Authority
) -> None:
    context = authority.server("api.example.com")
    keys = {"ca_file": str(authority.file), "server_name": "api.example.com"}
    async with listening(answering(answer(b"far")), context) as server, proxy() as via:
        settings = ConnectionSettings(Tls.model_validate(keys), proxy_url=via.url())
        assert (await send(server.url(scheme="https"), settings)).body == b"far"
    assert via.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode())


async def test_the_proxy_of_the_environment_is_used(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(answering(answer(b"far"))) as server, proxy() as via:
        monkeypatch.setenv("http_proxy", via.url())
        assert (await send(server.url("/%2F"))).body == b"far"
        assert via.accepts == 1
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await send(server.url("/%2F"))).body == b"far"
        assert via.accepts == 1


async def test_an_explicit_proxy_is_used_whatever_no_proxy_says(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    async with listening(answering(answer(b"far"))) as server, proxy() as via:
        assert (await send(server.url(), ConnectionSettings(proxy_url=via.url()))).body == b"far"
    assert via.accepts == 1


@pytest.mark.parametrize(("no_proxy", "tunnels"), [("127.0.0.1", 0), ("api.example.com", 1), ("", 1)])
async def test_no_proxy_is_about_the_host_and_not_about_the_server_name(
    no_proxy: str, tunnels: int, send: Send, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"ca_file": str(authority.file), "server_name": "api.example.com"}
    context = authority.server("api.example.com")
    async with listening(answering(answer(b"far")), context) as server, proxy() as via:
        monkeypatch.setenv("https_proxy", via.url())
        monkeypatch.setenv("no_proxy", no_proxy)
        settings = ConnectionSettings(Tls.model_validate(keys))
        assert (await send(server.url(scheme="https"), settings)).body == b"far"
    assert via.accepts == tunnels


async def test_a_password_of_the_proxy_goes_to_the_proxy_and_shows_nowhere(send: Send) -> None:
    async with listening(answering(answer(b"far"))) as server, proxy() as via:
        settings = ConnectionSettings(proxy_url=via.url().replace("://", "://me:s%C3%A9cret@"))
        await send(server.url(), settings)
    assert b"proxy-authorization: basic" in via.requests[0].lower()
    assert "cret" not in repr(settings)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", ["", "me:s%3Acret@"])
@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"])
async def test_a_user_of_the_proxy_comes_from_the_variable_of_the_scheme(
    variable: str, user: str, scheme: str, send: Send, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = variable in (f"{scheme}_proxy", "all_proxy") or (scheme, variable) == ("https", "HTTPS_PROXY")
    tls = authority.server() if scheme == "https" else None
    async with listening(answering(answer(b"far")), tls) as server, proxy(user="me:s:cret") as via:
        monkeypatch.setenv(variable, via.url().replace("://", f"://{user}"))
        asked = send(
            server.url(scheme=scheme),
            ConnectionSettings(Tls.model_validate({"ca_file": str(authority.file)})),
        )
        if used and not user and scheme == "https":
            with pytest.raises(Failure, match="HTTP status 407"):
                await asked
        else:
            assert (await asked).status == (200 if user or not used else 407)
    assert bool(via.requests) is used


async def test_a_proxy_that_refuses_a_tunnel_is_told_with_its_status(send: Send) -> None:
    def refuse(_: bytes) -> bytes:
        return answer(status="407 Proxy Authentication Required")

    async with proxy(refuse) as via:
        with pytest.raises(Failure, match="407") as caught:
            await send("https://api.example.com/", ConnectionSettings(proxy_url=via.url()))
    assert caught.value.reason is Reason.CONNECT
    assert f"(the proxy 127.0.0.1:{via.port} for api.example.com:443, " in caught.value.detail


async def test_what_fails_at_a_proxy_names_it_and_the_host_but_not_its_user(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://me:s3cret@127.0.0.1:{port}")
        with pytest.raises(Failure) as caught:
            await send("https://api.example.com/v1?token=s3cret")
    place = f"(the proxy 127.0.0.1:{port} for api.example.com:443, libcurl error 7)"
    assert caught.value.detail == f"could not connect: Connection refused {place}"


async def test_what_fails_behind_a_proxy_names_the_host_and_the_proxy(
    send: Send, authority: Authority
) -> None:
    async with listening(answering(answer()), authority.server()) as server, proxy() as via:
        with pytest.raises(Failure) as caught:
            await send(server.url(scheme="https"), ConnectionSettings(proxy_url=via.url()))
    assert caught.value.reason is Reason.TLS
    assert f"(127.0.0.1:{server.port} through the proxy 127.0.0.1:{via.port}, " in caught.value.detail


async def test_a_proxy_whose_name_cannot_be(send: Send) -> None:
    name = f"{'a' * 64}.example.com"
    with pytest.raises(Failure, match="proxy") as caught:
        await send("http://127.0.0.1:1/", ConnectionSettings(proxy_url=f"http://{name}:1/"))
    assert caught.value.reason is Reason.DNS
    assert f"(the proxy {name}:1 for 127.0.0.1:1, " in caught.value.detail


@pytest.mark.parametrize(
    ("url", "environment", "proxy_url", "shown"),
    [
        ("http://a.example.com", {}, None, ""),
        (
            "http://a.example.com",
            {"http_proxy": "http://me:hush@p.example.com:3128/"},
            None,
            "p.example.com:3128",
        ),
        ("http://a.example.com", {"http_proxy": "p.example.com:3128"}, None, "p.example.com:3128"),
        ("http://a.example.com", {"http_proxy": "http://me:hu/sh@p.example.com:1"}, None, "p.example.com:1"),
        ("http://a.example.com", {"HTTP_PROXY": "p.example.com:3128"}, None, ""),
        ("https://a.example.com", {"HTTPS_PROXY": "http://p.example.com:3128"}, None, "p.example.com:3128"),
        ("https://a.example.com", {"http_proxy": "p.example.com:3128"}, None, ""),
        ("https://a.example.com", {"ALL_PROXY": "p.example.com:3128"}, None, "p.example.com:3128"),
        ("http://a.example.com", {"http_proxy": "p.example.com:1", "no_proxy": "example.com"}, None, ""),
        ("http://a.example.com", {"no_proxy": "*"}, "http://q.example.com:8080", "q.example.com:8080"),
        ("http://a.example.com", {"http_proxy": "http://me:hush@p.example.com"}, None, "p.example.com:1080"),
        ("http://a.example.com", {"http_proxy": "HTTPS://me:hush@p.example.com"}, None, "p.example.com:443"),
        ("http://a.example.com", {"http_proxy": "socks5h://me:hush@[::1]:9/"}, None, "[::1]:9"),
        ("http://a.example.com", {"http_proxy": "http://me:hush"}, None, "***"),
    ],
)
def test_the_proxy_that_is_named_is_the_one_in_use_without_its_password(
    url: str, environment: dict[str, str], proxy_url: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ConnectionSettings(proxy_url=proxy_url).proxy(url) == shown
