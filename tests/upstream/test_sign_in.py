"""Sign-in pages in place of a response, with a status of success."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.model.http import Headers, Request, Response
from exporter.upstream.sign_in import is_sign_in_page
from tests.vendor import Asked, Told, exporter, vendor

EAGER = "defaults: {min_interval: 0s}\n"
PAGE = b'<!DOCTYPE html><html lang="en"><title>Sign in, s3cret</title></html>'
HTML = {"Content-Type": "text/html; charset=utf-8"}
BASIC = {"type": "basic", "username": "u", "password": "expired"}


def config(url: str, **system: Any) -> str:
    read = {"path": "/jobs/{id}", "state": "status", "states": {"succeeded": ["ok"]}}
    return (
        EAGER
        + "systems: "
        + json.dumps(
            {"x": {"provider": "json", "base_url": url, "read": read, "jobs": [{"id": "1"}], **system}}
        )
    )


def response(body: bytes, content_type: str = "application/json", status: int = 200) -> Response:
    return Response(status, body, Headers([b"HTTP/1.1 200\r\n", b"Content-Type: " + content_type.encode()]))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PAGE, "text/html; charset=utf-8"),
        (PAGE, "application/json"),
        (PAGE, ""),
        (b"<html>login</html>", "application/json"),
        (b"\xef\xbb\xbf\r\n  <HTML>", "text/plain"),
        (b"<!-- Sign in --><form>", "Text/HTML"),
        (b'<script>location="/login"</script>', "text/html"),
        (b'<?xml version="1.0"?><html>', "application/xhtml+xml"),
    ],
)
def test_a_page_is_recognized_by_its_beginning(body: bytes, content_type: str) -> None:
    for status in (200, 203, 206):
        assert is_sign_in_page(Request("/"), response(body, content_type, status))
    for status in (302, 401, 404, 503):
        assert not is_sign_in_page(Request("/"), response(body, content_type, status))
    wanted = Request("/", headers=(("accept", "text/html"),))
    assert not is_sign_in_page(wanted, response(body, content_type))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"status": "<html>"}', "text/html"),
        (b"[]", "text/html; charset=utf-8"),
        (b"", "text/html"),
        (b'<?xml version="1.0"?><error/>', "application/xml"),
        (b"<builds/>", "application/json"),
        (b"gone", "text/html"),
    ],
)
def test_other_bodies_are_no_page(body: bytes, content_type: str) -> None:
    assert not is_sign_in_page(Request("/"), response(body, content_type))


@pytest.mark.parametrize(
    ("auth", "reason", "up"), [(BASIC, "unauthorized", 0), ({"type": "none"}, "invalid_response", 1)]
)
async def test_a_sign_in_page_is_a_rejection_where_credentials_were_sent(
    auth: dict[str, str], reason: str, up: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with (
        vendor(lambda _: Told(PAGE, 203, HTML)) as server,
        exporter(config(server.url, auth=auth), tmp_path) as running,
    ):
        samples = await running.scrape()
    assert samples.reason("1") == reason
    assert samples.get_one("remote_job_system_up", system="x") == up
    assert samples.get_one("remote_job_exporter_request_failures_total", reason=reason) == 1
    assert len(server.asked) == 1
    logged = "".join(repr(vars(record)) for record in caplog.records)
    assert "HTTP status 203, text/html: a sign-in page?" in logged
    assert "s3cret" not in logged


@pytest.mark.parametrize(("recovers", "requests"), [(True, 2), (False, 4)])
async def test_a_sign_in_page_renews_a_token_once(requests: int, tmp_path: Path, *, recovers: bool) -> None:
    tokens = 0

    def answer(asked: Asked) -> Told:
        nonlocal tokens
        if asked.path == "/token":
            tokens += 1
            return Told({"access_token": f"t{tokens}", "token_type": "Bearer", "expires_in": 3600})
        good = recovers and asked.headers["authorization"] == "Bearer t2"
        return Told({"status": "ok"}) if good else Told(PAGE, 200, HTML)

    async with vendor(answer) as server:
        auth = {"type": "oauth2", "token_url": f"{server.url}/token", "client_id": "c", "client_secret": "s"}
        async with exporter(config(server.url, auth=auth), tmp_path) as running:
            for _ in range(3):
                samples = await running.scrape()
    assert samples.reason("1") == (None if recovers else "unauthorized")
    assert tokens == 2
    assert server.count()["/jobs/1"] == requests


async def test_the_cookies_of_a_sign_in_page_do_not_replace_those_of_the_session(tmp_path: Path) -> None:
    logins = 0

    def answer(asked: Asked) -> Told:
        nonlocal logins
        if asked.method == "POST":
            logins += 1
            return Told({"username": "u"}, headers={"Set-Cookie": f"JSESSIONID=id{logins}; Path=/"})
        if "JSESSIONID=id2" in asked.headers["cookie"]:
            return Told({"status": "ready"})
        return Told(PAGE, headers={**HTML, "Set-Cookie": "JSESSIONID=stranger; Path=/"})

    async with vendor(answer) as server:
        text = (
            EAGER
            + "systems: "
            + json.dumps(
                {
                    "site": {
                        "provider": "crafter",
                        "base_url": f"{server.url}/studio",
                        "api": "v1",
                        "auth": {"type": "crafter_session", "username": "u", "password": "p"},
                        "jobs": [{"site_id": "s"}],
                    }
                }
            )
        )
        async with exporter(text, tmp_path) as running:
            for _ in range(2):
                assert (await running.scrape()).reason("s") is None
    assert logins == 2
    assert len(server.asked) == 5
