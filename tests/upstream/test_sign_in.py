"""Sign-in pages in place of a response, with a status of success."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.model.http import Headers, Request, Response
from exporter.upstream.sign_in import asks_to_sign_in, is_sign_in_page
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
    return Response(status, body, Headers(b"HTTP/1.1 200\r\nContent-Type: " + content_type.encode()))


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


@pytest.mark.parametrize(
    "location",
    [
        "/login",
        "/Login.aspx?ReturnUrl=%2fjobs",
        "https://example.com/users/sign_in",
        "/securityRealm/commenceLogin?from=%2Fjob",
        "/_signin?x=y",
        "login;jsessionid=1#top",
        "/auth/logon",
        "/oauth2/start?rd=%2F",
        "https://idp.example.com/tenant/authorize?client_id=x&response_type=code",
        "https://idp.example.com/?SAMLRequest=x",
    ],
)
def test_a_redirect_to_a_sign_in_page_is_recognized_by_its_address(location: str) -> None:
    for status in (302, 303, 307):
        assert asks_to_sign_in(Request("/"), redirect(status, location))
    for status in (200, 201, 301, 308, 401):
        assert not asks_to_sign_in(Request("/"), redirect(status, location))


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/jobs/1/",
        "https://logs.example.com/logins/1",
        "/plugin/on",
        "/jobs?next=/login",
        "/jobs#/login",
        "/logintegration",
        "/jobs#?response_type=x",
        "?" * 5000,
        "/x" * 2000 + "/login",
    ],
)
def test_other_redirects_are_not_to_a_sign_in_page(location: str) -> None:
    assert not asks_to_sign_in(Request("/"), redirect(302, location))


def redirect(status: int, location: str) -> Response:
    return Response(status, b"", Headers(f"HTTP/1.1 302\r\nLocation: {location}\r\n".encode()))


@pytest.mark.parametrize(
    ("auth", "reason"), [(BASIC, "unauthorized"), ({"type": "none"}, "redirect")], ids=["basic", "none"]
)
async def test_a_redirect_to_a_sign_in_page_is_a_rejection_where_credentials_were_sent(
    auth: dict[str, str], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with (
        vendor(lambda _: Told(status=302, headers={"Location": "/login?s3cret"})) as server,
        exporter(config(server.url, auth=auth), tmp_path) as running,
    ):
        samples = await running.scrape()
    assert samples.reason("1") == reason
    assert len(server.asked) == 1
    logged = "".join(repr(vars(record)) for record in caplog.records)
    assert "HTTP status 302, a redirect to a sign-in page" in logged
    assert "s3cret" not in logged


@pytest.mark.parametrize(
    ("ended", "logins"),
    [
        (Told(status=401), 2),
        (Told(status=403), 2),
        (Told(status=403, headers={"X-RateLimit-Remaining": "0"}), 1),
        (Told(status=404), 1),
        (Told(status=419), 2),
        (Told(status=440), 2),
        (Told(status=498), 2),
        (Told(status=302, headers={"Location": "/"}), 2),
        (Told(status=307, headers={"Location": "/login"}), 2),
        (Told(status=307, headers={"Location": "/jobs/1/"}), 1),
        (Told(PAGE, headers=HTML), 2),
    ],
)
async def test_a_session_that_has_ended_is_replaced_once_for_all_jobs(
    ended: Told, logins: int, tmp_path: Path
) -> None:
    sessions = 0

    def answer(asked: Asked) -> Told:
        nonlocal sessions
        if asked.path == "/login":
            sessions += 1
            return Told({}, headers={"Set-Cookie": f"sid=s{sessions}"})
        return Told({"status": "ok"}) if asked.headers["cookie"] == "sid=s2" else ended

    async with vendor(answer) as server:
        auth = {"type": "login", "url": "/login", "body": {"password": "p"}, "cookies": True}
        jobs = [{"id": "1"}, {"id": "2"}, {"id": "3"}]
        async with exporter(config(server.url, auth=auth, jobs=jobs), tmp_path) as running:
            samples = await running.scrape()
    assert sessions == logins
    assert samples.get_one("remote_job_up", job_id="3") == logins - 1


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
