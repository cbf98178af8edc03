import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from requests import Request, Session
from urllib3 import HTTPHeaderDict

from exporter.auth.crafter_session import CrafterSession, CrafterSessionKeys
from tests.auth.conftest import SECRET, Server, renewal_failure, sent

SecretFile = Callable[[str], dict[str, str]]

STUDIO = "http://127.0.0.1/studio"
LOGIN = "/studio/api/1/services/api/1/security/login.json"
SESSION = "JSESSIONID=s1; Path=/studio; HttpOnly"
LATIN_1 = st.text(st.characters(max_codepoint=255), max_size=60)


def studio(url: str = "http://127.0.0.1", **keys: Any) -> CrafterSession:
    given = {"username": "u", "password": SECRET, **keys}
    credential = CrafterSession(CrafterSessionKeys.model_validate({"type": "crafter_session", **given}))
    credential.bind(f"{url}/studio", {"User-Agent": "us", "X-Gate": "open"})
    return credential


def logged_in(*cookies: str, url: str = "http://127.0.0.1") -> CrafterSession:
    credential = studio(url)
    with responses.RequestsMock() as mock, Session() as session:
        headers = HTTPHeaderDict([("Set-Cookie", cookie) for cookie in (cookies or [SESSION])])
        mock.add(responses.Response("POST", f"{url}{LOGIN}", body="{}", headers=headers))
        credential.renew(session, 0.0)
    return credential


def test_a_login_shows_the_password_and_the_pair_and_keeps_the_session(
    server: Server, session: Session
) -> None:
    server.cookies = [SESSION]
    credential = studio(server.url, username="jö")
    assert credential.must_renew(0)
    credential.renew(session, 0)
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", LOGIN)
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {"username": "jö", "password": SECRET}
    assert re.fullmatch(r"XSRF-TOKEN=[\w-]{20,}", asked.headers["cookie"])
    assert asked.headers["x-xsrf-token"] == asked.headers["cookie"].partition("=")[2]
    assert not credential.must_renew(0)
    assert not credential.must_renew(365 * 86400)
    assert credential.expires_at() is None
    request = credential(Request("GET", f"{server.url}/studio/x").prepare())
    assert request.headers["Cookie"] == "JSESSIONID=s1"


def test_a_login_passes_the_same_gateways_as_reads(server: Server, session: Session) -> None:
    server.cookies = [SESSION]
    studio(server.url).renew(session, 0)
    assert server.asked[0].headers["x-gate"] == "open"
    assert server.asked[0].headers["user-agent"] == "us"


def test_every_login_has_a_pair_of_its_own(server: Server, session: Session) -> None:
    server.cookies = [SESSION]
    credential = studio(server.url)
    for _ in range(3):
        credential.renew(session, 0)
    assert len({asked.headers["x-xsrf-token"] for asked in server.asked}) == 3


def test_cookies_beside_the_session_are_kept_too() -> None:
    credential = logged_in("route=n1; Path=/", SESSION, "XSRF-TOKEN=given; Path=/")
    assert sent(credential)["Cookie"] == "JSESSIONID=s1; route=n1; XSRF-TOKEN=given"


@pytest.mark.parametrize("url", ["http://127.0.0.2/", "http://127.0.0.1:81/", "https://127.0.0.1/"])
def test_cookies_go_to_the_studio_alone(url: str) -> None:
    request = logged_in()(Request("GET", url).prepare())
    assert "Cookie" not in request.headers


def test_cookies_go_to_a_studio_whose_host_name_has_other_letters_than_ascii() -> None:
    request = logged_in(url="https://bücher.example")(
        Request("GET", "https://bücher.example/studio/x").prepare()
    )
    assert request.headers["Cookie"] == "JSESSIONID=s1"


@pytest.mark.parametrize(
    ("status", "cookies", "detail"),
    [
        (401, [SESSION], "HTTP status 401"),
        (403, [], "HTTP status 403"),
        (503, [SESSION], "HTTP status 503"),
        (302, [SESSION], "HTTP status 302"),
        (200, [], "the response has no usable cookie JSESSIONID"),
        (200, ["jsessionid=chatter"], "the response has no usable cookie JSESSIONID"),
        (200, ["JSESSIONID="], "the response has no usable cookie JSESSIONID"),
        (200, ["JSESSIONID=chatter; Max-Age=0"], "the response has no usable cookie JSESSIONID"),
        (200, ["JSESSIONID=chatter; Domain=example.com"], "the response has no usable cookie JSESSIONID"),
        (200, ["JSESSIONID=chätter"], "the response has no usable cookie JSESSIONID"),
        (200, [f"JSESSIONID={'c' * 9000}"], "the response has no usable cookie JSESSIONID"),
    ],
)
def test_a_login_that_gives_no_session_is_a_failure(
    status: int, cookies: list[str], detail: str, server: Server, session: Session
) -> None:
    server.status, server.body, server.cookies = status, b"chatter", cookies
    server.headers = {"Location": f"{server.url}/chatter"}
    credential = studio(server.url)
    failure = renewal_failure(credential, session)
    assert failure.detail == f"could not log in to {server.host}: {detail}"
    assert credential.must_renew(0)
    assert len(server.asked) == 1


def test_a_session_does_not_outlive_the_password_it_came_from(
    server: Server, session: Session, secret_file: SecretFile
) -> None:
    server.cookies = [SESSION]
    credential = studio(server.url, password=secret_file("first"))
    credential.renew(session, 0)
    version = credential.version()
    secret_file("second")
    assert credential.must_renew(1)
    assert not credential.valid(1)
    # An answer to a read of the old session must not bring it back.
    credential.store_cookies(version, ["JSESSIONID=of-the-first; Path=/studio"])
    server.cookies = ["JSESSIONID=s2"]
    credential.renew(session, 1)
    credential.store_cookies(version, ["JSESSIONID=of-the-first; Path=/studio"])
    assert [json.loads(asked.body)["password"] for asked in server.asked] == ["first", "second"]
    assert credential(Request("GET", f"{server.url}/studio").prepare()).headers["Cookie"] == "JSESSIONID=s2"


def test_a_read_may_change_the_session() -> None:
    credential = logged_in(SESSION, "route=n1")
    version = credential.version()
    credential.store_cookies(version, ["JSESSIONID=s2; Path=/studio; HttpOnly", "seen=1; Path=/"])
    assert sent(credential)["Cookie"] == "JSESSIONID=s2; route=n1; seen=1"
    assert credential.version() != version
    # A read that was sent before that, answered only now, belongs to the same login.
    credential.store_cookies(version, ["JSESSIONID=s3; Path=/studio; HttpOnly"])
    assert sent(credential)["Cookie"].startswith("JSESSIONID=s3;")


def test_a_refusal_of_cookies_that_have_changed_meanwhile_asks_again_without_a_login() -> None:
    credential = logged_in()
    version = credential.version()
    credential.store_cookies(version, ["JSESSIONID=s2"])
    assert credential.rejected(version)
    assert not credential.must_renew(1)


@pytest.mark.parametrize(
    "cookies",
    [
        [],
        ["JSESSIONID=s1"],
        ["JSESSIONID=", "JSESSIONID", "=s2", ""],
        ["JSESSIONID=s2; Max-Age=0", "JSESSIONID=s2; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
        ["JSESSIONID=s2; Domain=example.com", "JSESSIONID=s2; Domain=com"],
        ["JSESSIONID=a b", "JSESSIONID=a\x01b", "JSESSIONID=\xe4", "a b=c", "\xe4=c", 'a"=c'],
        [f"JSESSIONID={'c' * 5000}", f"{'n' * 5000}=c"],
    ],
)
def test_what_is_no_new_cookie_changes_nothing(cookies: list[str]) -> None:
    credential = logged_in()
    version = credential.version()
    credential.store_cookies(version, cookies)
    assert credential.version() == version
    assert sent(credential)["Cookie"] == "JSESSIONID=s1"


def test_cookies_are_bounded_and_the_session_always_has_room() -> None:
    credential = logged_in(*(f"c{number}=x" for number in range(50)), SESSION)
    assert sent(credential)["Cookie"].startswith("JSESSIONID=s1; c0=x; ")
    for number in range(1000):
        credential.store_cookies(credential.version(), [f"d{number}={'x' * 3000}", f"e{number}=x"])
    credential.store_cookies(credential.version(), ["JSESSIONID=s2"])
    cookie = sent(credential)["Cookie"]
    assert cookie.startswith("JSESSIONID=s2; ")
    assert len(cookie) <= 8192
    assert cookie.count("; ") < 20


def test_nothing_shows_a_cookie(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    credential = logged_in()
    credential.store_cookies(credential.version(), ["JSESSIONID=s2; Expires=yesterday", "chatter"])
    assert repr(credential) == "CrafterSession()"
    assert not any(word in repr(credential.version()) + caplog.text for word in ("s1", "s2", "chatter"))


@given(st.lists(LATIN_1 | st.builds("{}={}; {}={}".format, LATIN_1, LATIN_1, LATIN_1, LATIN_1), max_size=30))
def test_cookies_however_odd_leave_a_session_that_can_be_sent(cookies: list[str]) -> None:
    credential = logged_in()
    credential.store_cookies(credential.version(), cookies)
    header = sent(credential)["Cookie"]
    assert re.fullmatch(r"JSESSIONID=[!-:<-~]+(; [!#$%&'*+.^_`|~0-9A-Za-z-]+=[!-:<-~]+){0,19}", header)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"username": ""}, "username"),
        ({"password": ""}, "must not be empty"),
        ({"login_url": "https://studio.example.com"}, "login_url"),
    ],
)
def test_odd_keys_are_refused(keys: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        studio(**keys)
