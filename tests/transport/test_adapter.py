"""The session that credentials use: requests as usual, without the habits of requests."""

import asyncio
from pathlib import Path

import pytest
import requests

from exporter.model.failure import Failure, Reason
from exporter.transport import ConnectionSettings
from exporter.transport.adapter import CurlAdapter, blocking_session
from tests.transport import servers
from tests.transport.servers import answer, answering, listening, proxy


async def test_a_token_is_fetched_the_usual_way() -> None:
    token = answer(b'{"access_token": "t0ken"}', Content_Type="application/json; charset=utf-8")
    async with listening(answering(token)) as server:
        with blocking_session() as session:
            response = await asyncio.to_thread(
                session.post,
                server.url("/token"),
                data={"grant_type": "client_credentials"},
                auth=("id", "s"),
            )
    assert response.ok
    assert response.json() == {"access_token": "t0ken"}
    assert response.encoding == "utf-8"
    assert response.url == server.url("/token")
    assert response.headers["CONTENT-TYPE"].startswith("application/json")
    assert server.requests[0].startswith(b"POST /token HTTP/1.1\r\n")
    assert b"Authorization: Basic" in server.requests[0]
    assert server.requests[0].endswith(b"\r\n\r\ngrant_type=client_credentials")


async def test_the_session_follows_no_redirect() -> None:
    async with listening(answering(answer())) as stranger:
        moved = answer(status="307 Temporary Redirect", Location=stranger.url())
        async with listening(answering(moved)) as server:
            session = blocking_session()
            for follow in (True, False):
                response = await asyncio.to_thread(
                    session.post, server.url(), data={"client_secret": "s3cret"}, allow_redirects=follow
                )
                assert (response.status_code, response.history) == (307, [])
    assert stranger.accepts == 0


async def test_the_session_keeps_no_cookies_and_the_response_tells_them() -> None:
    async with listening(answering(answer(Set_Cookie="JSESSIONID=s3cret; Path=/; HttpOnly"))) as server:
        session = blocking_session()
        response = await asyncio.to_thread(session.get, server.url())
        await asyncio.to_thread(session.get, server.url())
    assert response.cookies.get_dict() == {"JSESSIONID": "s3cret"}
    assert session.cookies.get_dict() == {}
    assert b"cookie" not in server.requests[1].lower()


async def test_the_session_reads_neither_netrc_nor_the_environments_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    async with listening(answering(answer())) as server:
        await asyncio.to_thread(blocking_session().get, server.url())
    assert b"authorization" not in server.requests[0].lower()


async def test_the_session_uses_the_same_settings_as_the_pool() -> None:
    async with listening(answering(answer(b"far"))) as server, proxy() as via:
        session = blocking_session(ConnectionSettings(proxy_url=via.url()))
        assert (await asyncio.to_thread(session.get, server.url())).content == b"far"
    assert via.accepts == 1


@pytest.mark.parametrize("seconds", [0.2, (0.1, 0.1), (None, 0.2)])
async def test_a_call_may_name_its_own_deadline(seconds: float | tuple[float | None, float | None]) -> None:
    async with listening(servers.mute) as server:
        session = blocking_session(timeout=90)
        with pytest.raises(Failure) as caught:
            async with asyncio.timeout(30):
                await asyncio.to_thread(session.get, server.url(), timeout=seconds)
    assert caught.value.reason is Reason.TIMEOUT


async def test_the_session_has_a_deadline_and_a_limit_of_its_own() -> None:
    impatient, frugal = blocking_session(timeout=0.2), blocking_session(max_bytes=100)
    async with listening(servers.mute) as silent, listening(answering(answer(bytes(101)))) as server:
        with pytest.raises(Failure, match="timeout"):
            await asyncio.to_thread(impatient.get, silent.url())
        with pytest.raises(Failure, match="too_large"):
            await asyncio.to_thread(frugal.get, server.url())


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/hostname"])
def test_the_session_speaks_http_and_https_only(url: str) -> None:
    with pytest.raises(requests.exceptions.InvalidSchema):
        blocking_session().get(url)
    assert all(isinstance(adapter, CurlAdapter) for adapter in blocking_session().adapters.values())
