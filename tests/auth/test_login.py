import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from requests import Request, Session

from exporter.auth.login import Login, LoginKeys
from exporter.model.failure import Failure, Reason
from tests.auth.conftest import SECRET, TOKEN, Server, renewal_failure, sent

SecretFile = Callable[[str], dict[str, str]]

BASE = "http://127.0.0.1/api"
AIRFLOW: dict[str, Any] = {
    "url": "/auth/token",
    "body": {"username": "u", "password": SECRET},
    "token": "access_token",
}
GRAFANA: dict[str, Any] = {"url": "/login", "form": {"user": "u", "password": SECRET}, "cookies": True}
NOON = 1_772_366_400  # 2026-03-01T12:00:00Z
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"
MONTH = 30 * 86400


def login(base_url: str = BASE, **keys: Any) -> Login:
    credential = Login(LoginKeys.model_validate({"type": "login", **keys}))
    credential.bind(base_url, {"User-Agent": "us", "Accept": "application/json", "X-Gate": "open"})
    return credential


def renewed(credential: Login, url: str = f"{BASE}/auth/token", **response: Any) -> Login:
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(url, **response)
        credential.renew(session, 0)
    return credential


def error(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        login(**keys)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def jwt(**claims: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{part}.c2ln"


def test_a_json_body_with_a_secret_brings_a_bearer_token(
    server: Server, session: Session, secret_file: SecretFile
) -> None:
    server.answer({"access_token": TOKEN}, 201)
    body = {
        "username": "jö",
        "password": secret_file("pä€ss"),
        "more": [1, True, None, {"file": "x", "env": "y"}],
    }
    credential = login(f"{server.url}/air", **{**AIRFLOW, "body": body})
    assert credential.must_renew(0)
    credential.renew(session, 0)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/air/auth/token")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["x-gate"] == "open"
    assert json.loads(asked.body) == {**body, "password": "pä€ss"}
    assert sent(credential)["Authorization"] == f"Bearer {TOKEN}"
    assert "Cookie" not in sent(credential)
    assert not credential.must_renew(0)


def test_a_variable_of_the_environment_can_be_anywhere_in_the_body(
    server: Server, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGIN_PASSWORD", "from-env")
    server.answer({"data": {"jwt": TOKEN}})
    body = {"auth": [{"user": {"name": "u", "password": {"env": "LOGIN_PASSWORD"}}}]}
    login(server.url, url="/login", body=body, token="data.jwt").renew(session, 0)
    assert json.loads(server.asked[0].body)["auth"][0]["user"]["password"] == "from-env"


def test_a_form_parameters_headers_and_basic_go_with_the_login(server: Server, session: Session) -> None:
    server.answer(TOKEN, 201)
    credential = login(
        server.url,
        url=f"{server.url}/session/",
        query={"tenant": "a&b"},
        headers={"X-Key": SECRET, "accept": "text/plain"},
        basic={"username": "u", "password": "p:w"},
        form={"user": "u", "password": f"{SECRET}&"},
        token="@",
        send={"X-Session": "{token}", "X-Key": "fixed", "X-Both": "Token token={token}"},
    )
    credential.renew(session, 0)
    (asked,) = server.asked
    assert asked.path == "/session/?tenant=a%26b"
    assert asked.form == {"user": "u", "password": f"{SECRET}&"}
    assert asked.headers["x-key"] == SECRET
    assert asked.headers["accept"] == "text/plain"
    assert asked.headers["authorization"] == f"Basic {base64.b64encode(b'u:p:w').decode()}"
    headers = sent(credential)
    assert (headers["X-Session"], headers["X-Key"]) == (TOKEN, "fixed")
    assert headers["X-Both"] == f"Token token={TOKEN}"
    assert "Authorization" not in headers


def test_a_login_can_be_a_get(server: Server, session: Session, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server.answer({"token": TOKEN})
    login(server.url, url="/token", method="GET", query={"p": SECRET}, token="token").renew(session, 0)
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("GET", f"/token?p={SECRET}", b"")
    (shown,) = (vars(record)["url"] for record in caplog.records if record.getMessage() == "request")
    assert shown == f"{server.url}/token?p=***"


def test_headers_of_the_system_do_not_go_to_a_login_on_another_host(server: Server, session: Session) -> None:
    server.answer({"access_token": TOKEN})
    login(BASE, **{**AIRFLOW, "url": server.url}).renew(session, 0)
    (asked,) = server.asked
    assert "x-gate" not in asked.headers
    assert (asked.headers["user-agent"], asked.headers["accept"]) == ("us", "application/json")


@pytest.mark.parametrize("value", [TOKEN, f"Bearer {TOKEN}", f"bearer  {TOKEN}"])
def test_a_token_is_found_in_a_header_and_without_its_scheme(value: str) -> None:
    basic = {"username": "u", "password": SECRET}
    credential = login(url="/auth/token", basic=basic, token_header="X-Auth")
    renewed(credential, headers={"X-Auth": value}, status=204)
    assert sent(credential)["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("body", [TOKEN.encode(), json.dumps(TOKEN).encode(), f" {TOKEN}\n".encode()])
def test_a_token_is_the_whole_response(body: bytes) -> None:
    credential = renewed(login(**{**AIRFLOW, "token": "@"}), body=body)
    assert sent(credential)["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", ["1234", "0012", "12e45678", "1e5", "12.50"])
def test_a_token_of_digits_is_no_number(token: str) -> None:
    credential = renewed(login(**{**AIRFLOW, "token": "@"}), body=token.encode())
    assert sent(credential)["Authorization"] == f"Bearer {token}"


def test_a_session_id_can_be_a_number() -> None:
    credential = renewed(login(**{**AIRFLOW, "token": "sid"}), json={"sid": 2**70})
    assert sent(credential)["Authorization"] == f"Bearer {2**70}"


@pytest.mark.parametrize("body", ["true", "null", "[1]", '""', "<1>"])
def test_other_values_are_not_a_token(body: str) -> None:
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(f"{BASE}/auth/token", body=body)
        renewal_failure(login(**{**AIRFLOW, "token": "@"}), session)


@pytest.mark.parametrize(
    ("keys", "body", "renewed_after"),
    [
        ({}, {}, 270),
        ({}, {"access_token": jwt(exp=NOON + 3600)}, 3240),
        ({}, {"expires_in": 3600}, 270),
        ({"lifetime": "1h"}, {"access_token": jwt(exp=NOON + 60)}, 3240),
        ({"lifetime": "30d"}, {}, MONTH * 0.9),
        ({"lifetime": "expires_in"}, {"expires_in": "3600"}, 3240),
        ({"lifetime": "ttl / `1000`"}, {"ttl": 3_600_000}, 3240),
        ({"lifetime": "ttl * `1`"}, {"ttl": "text"}, 270),
        ({"lifetime": "a.expires"}, {"a": {"expires": "2026-03-01T13:00:00Z"}}, 3240),
        ({"lifetime": "expires"}, {"expires": NOON + 3600}, 3240),
        ({"lifetime": "expires"}, {"access_token": jwt(exp=NOON + 3600)}, 3240),
        ({"lifetime": "expires"}, {"expires": 10**9}, 270),
        *(
            ({"lifetime": "ttl"}, {"ttl": text}, 3240)
            for text in ("1h", "60m", "3600s", "PT1H", "PT60M", "P0DT3600.0S", "01:00:00", "0:59:60.0")
        ),
        ({"lifetime": "ttl"}, {"ttl": "0.12:00:00"}, 38880),
        ({"lifetime": "ttl"}, {"ttl": "1 day, 0:00:00"}, 77760),
        *(({"lifetime": "ttl"}, {"ttl": text}, 270) for text in ("", "P", "PT", "0s", "-1h", "00:00:00")),
    ],
)
def test_a_login_lives_as_long_as_is_configured_or_the_response_says(
    keys: dict[str, str], body: dict[str, object], renewed_after: float
) -> None:
    credential = login(**AIRFLOW, **keys)
    renewed(credential, json={"access_token": TOKEN, **body}, headers={"Date": DATE})
    assert not credential.must_renew(renewed_after - 0.01)
    assert credential.must_renew(renewed_after)


@pytest.mark.parametrize(
    ("keys", "response", "detail"),
    [
        ({}, {"status": 401, "body": f"chatter {SECRET}"}, "HTTP status 401"),
        ({}, {"status": 302, "headers": {"Location": "/chatter"}}, "HTTP status 302"),
        ({}, {"json": {"code": 401, "message": "chatter"}}, "no usable token where `token` expects it"),
        ({}, {"body": "<html>chatter</html>"}, "no usable token where `token` expects it"),
        ({"token": "@"}, {"body": "<html>chatter</html> "}, "no usable token where `token` expects it"),
        ({"token": "sum(@)"}, {"json": ["chatter"]}, "no usable token where `token` expects it"),
        ({"token": None, "token_header": "X-Auth"}, {"json": {}}, "no usable token in the header X-Auth"),
        ({}, {"json": {"access_token": f"{TOKEN}\r\nX: chatter"}}, "no usable token"),
        ({}, {"json": {"access_token": "a" * (64 * 1024 + 1)}}, "no usable token"),
    ],
)
def test_a_login_without_a_token_is_a_failure(
    keys: dict[str, Any], response: dict[str, Any], detail: str
) -> None:
    given = {**AIRFLOW, **keys}
    credential = login(**{key: value for key, value in given.items() if value is not None})
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(f"{BASE}/auth/token", **response)
        failure = renewal_failure(credential, session)
    assert failure.detail.startswith("could not log in to 127.0.0.1: ")
    assert detail in failure.detail
    assert credential.must_renew(0)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (204, {}),
        (302, {"Location": "/"}),
        (303, {"Location": "/jobs?from=%2Fapi%2Flogin"}),
        (302, {"Location": "/login/done"}),
        (302, {"Location": "/errors"}),
        (302, {"Location": "http://[chatter"}),
    ],
)
def test_a_login_brings_cookies(
    status: int, headers: dict[str, str], server: Server, session: Session
) -> None:
    server.status, server.headers, server.body = status, headers, b""
    server.cookies = ["session=s1; Path=/api; HttpOnly", "theme=dark; Path=/"]
    credential = login(f"{server.url}/api", **GRAFANA)
    credential.renew(session, 0)
    assert server.asked[0].path == "/api/login"
    assert not credential.must_renew(365 * 86400)
    headers = sent_to(credential, f"{server.url}/api/x")
    assert headers["Cookie"] == "session=s1; theme=dark"
    assert "Authorization" not in headers
    version = credential.version()
    credential.store_cookies(version, ["session=s2; Path=/"])
    assert credential.version() != version
    assert sent_to(credential, f"{server.url}/api/x")["Cookie"] == "session=s2; theme=dark"


def sent_to(credential: Login, url: str) -> dict[str, str]:
    return dict(credential(Request("GET", url).prepare()).headers)


@pytest.mark.parametrize(
    ("keys", "status", "location", "cookies", "detail"),
    [
        ({}, 401, "", ["session=s1"], "HTTP status 401"),
        ({}, 307, "/", ["session=s1"], "HTTP status 307"),
        (
            {},
            302,
            "/api/login?error=chatter",
            ["session=s1"],
            "HTTP status 302, a redirect to a login or error page",
        ),
        ({}, 303, "login", ["session=s1"], "HTTP status 303, a redirect to a login or error page"),
        ({}, 302, "", ["session=s1"], "HTTP status 302, a redirect to a login or error page"),
        *(
            ({}, 302, page, ["session=s1"], "HTTP status 302, a redirect to a login or error page")
            for page in ("/user/error", "/users/sign_in?x", "/loginFailed.jsp", "/Signin/", "/denied")
        ),
        ({}, 200, "", [], "the response has no usable cookie"),
        ({}, 302, "/", ["session=; Max-Age=0"], "the response has no usable cookie"),
        ({"session_cookie": "session"}, 200, "", ["theme=dark"], "the response has no usable cookie session"),
    ],
)
def test_a_login_without_cookies_is_a_failure(
    keys: dict[str, str],
    status: int,
    location: str,
    cookies: list[str],
    detail: str,
    server: Server,
    session: Session,
) -> None:
    server.status, server.headers, server.cookies = status, {"Location": location}, cookies
    failure = renewal_failure(login(f"{server.url}/api", **GRAFANA, **keys), session)
    assert failure.detail == f"could not log in to {server.host}: {detail}"


def test_a_named_cookie_shows_the_success_of_a_login_that_redirects_to_itself(
    server: Server, session: Session
) -> None:
    server.status, server.headers = 302, {"Location": "/login"}
    server.cookies = [*(f"c{number}=x" for number in range(30)), "session=s1"]
    credential = login(server.url, **GRAFANA, session_cookie="session")
    credential.renew(session, 0)
    assert sent_to(credential, server.url)["Cookie"].startswith("session=s1; c0=x; ")


def test_a_token_can_come_with_cookies(server: Server, session: Session) -> None:
    server.headers, server.cookies = {"X-CSRF-Token": "pair"}, ["session=s1"]
    keys = {**GRAFANA, "token_header": "x-csrf-token", "send": {"X-CSRF-Token": "{token}"}, "lifetime": "1h"}
    credential = login(server.url, **keys)
    credential.renew(session, 0)
    headers = sent_to(credential, server.url)
    assert (headers["Cookie"], headers["X-CSRF-Token"]) == ("session=s1", "pair")
    assert credential.must_renew(3240)


@pytest.mark.parametrize(
    ("base_url", "cookie", "goes_along"),
    [
        ("https://jobs.example.com", "session=s1; Domain=example.com", True),
        ("https://example.com", "session=s1; Domain=example.com", True),
        ("https://jobs.example.com", "session=s1", False),
        ("https://auth.example.com:8443", "session=s1", True),
        ("https://jobs.example.org", "session=s1; Domain=example.com", False),
        ("https://badexample.com", "session=s1; Domain=example.com", False),
    ],
)
def test_cookies_of_a_login_on_another_host_go_only_where_they_are_meant_for(
    base_url: str, cookie: str, *, goes_along: bool
) -> None:
    url = "https://auth.example.com/login"
    credential = login(base_url, **{**GRAFANA, "url": url})
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(url, headers={"Set-Cookie": cookie})
        if not goes_along:
            assert "no usable cookie" in renewal_failure(credential, session).detail
            return
        credential.renew(session, 0)
    assert sent_to(credential, f"{base_url}/x")["Cookie"] == "session=s1"
    assert "Cookie" not in sent_to(credential, "https://other.example.com/x")


@pytest.mark.parametrize("name", [None, "session"])
def test_a_secure_cookie_of_a_login_over_https_is_not_sent_over_http(name: str | None) -> None:
    credential = login(
        "http://studio.example.com", **{**GRAFANA, "session_cookie": name, "url": "https://example.com/login"}
    )
    secure = {"Set-Cookie": "session=s1; Domain=example.com; Secure"}
    with responses.RequestsMock() as mock, Session() as session:
        mock.post("https://example.com/login", headers=secure)
        detail = renewal_failure(credential, session).detail
    assert detail.endswith(": it is for https only, and base_url is http")
    assert "s1" not in detail
    # Over http alone it was no secret anyway, and is needed behind a proxy that ends TLS.
    plain = login("http://studio.example.com", **GRAFANA)
    renewed(plain, "http://studio.example.com/login", headers=secure)
    assert sent_to(plain, "http://studio.example.com/x")["Cookie"] == "session=s1"


@pytest.mark.parametrize("odd", ["Domain=localhost", "Max-Age=3600.0", "Max-Age=", "Expires=whenever"])
def test_a_cookie_with_an_odd_attribute_is_kept(odd: str) -> None:
    credential = login("http://localhost:8080", **GRAFANA)
    renewed(credential, "http://localhost:8080/login", headers={"Set-Cookie": f"session=s1; {odd}"})
    assert sent_to(credential, "http://localhost:8080/x")["Cookie"] == "session=s1"
    credential.store_cookies(credential.version(), [f"session=s2; {odd}", "session=s3; Max-Age=0"])
    assert sent_to(credential, "http://localhost:8080/x")["Cookie"] == "session=s2"


def test_a_cookie_of_a_host_without_a_dot_is_kept() -> None:
    credential = login("http://studio:8080", **GRAFANA)
    renewed(credential, "http://studio:8080/login", headers={"Set-Cookie": "session=s1"})
    assert sent_to(credential, "http://studio:8080/x")["Cookie"] == "session=s1"


def test_each_secret_logs_in_again_when_it_changes(
    server: Server, session: Session, secret_file: SecretFile
) -> None:
    server.answer({"access_token": TOKEN})
    for name, value in (
        ("body", {"a": [secret_file("one")]}),
        ("form", {"a": secret_file("one")}),
        ("headers", {"X-A": secret_file("one")}),
        ("query", {"a": secret_file("one")}),
        ("basic", {"username": "u", "password": secret_file("one")}),
        ("send", {"X-A": secret_file("one"), "X-B": "{token}"}),
    ):
        secret_file("one")
        credential = login(server.url, url="/login", token="access_token", **{name: value})
        credential.renew(session, 0)
        assert credential.valid(1)
        secret_file("two")
        assert not credential.valid(1)
        credential.renew(session, 1)
        assert credential.valid(1)
        if name == "send":
            assert sent(credential)["X-A"] == "two"


def test_nothing_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    keys = LoginKeys.model_validate({"type": "login", **AIRFLOW, "send": {"X-A": f"{SECRET} {{token}}"}})
    credential = renewed(login(**AIRFLOW), json={"access_token": TOKEN})
    shown = repr(keys) + str(keys) + repr(credential) + repr(credential.version())
    shown += repr(vars(credential)) + caplog.text
    assert not any(word in shown for word in (SECRET, TOKEN))


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"url": "login"}, "or a path that starts with /"),
        ({"url": "/a?b=c"}, "must not have a query"),
        ({"url": "/../a"}, "path segments"),
        ({"url": "https://u:p@example.com/"}, "credentials"),
        ({"method": "PUT"}, "method"),
        ({"method": "GET"}, "body and form go with method: POST only"),
        ({"form": {"a": "b"}}, "allowed is one of body and form"),
        ({"body": SECRET}, "must be a mapping or a list"),
        (
            {"body": {"a": {"env": "NOT_SET_ANYWHERE"}}},
            "the environment variable NOT_SET_ANYWHERE is not set",
        ),
        ({"body": {"a": {"env": 5}}}, "not a secret"),
        ({"body": {"a": float("nan")}}, "not a secret"),
        ({"body": {"a": float("inf")}}, "not a secret"),
        ({"headers": {"Connection": "a"}}, "set by the connection"),
        ({"headers": {"X-A": "a\nb"}}, "control characters"),
        ({"headers": {"X-A": "a", "x-a": "b"}}, "twice"),
        ({"basic": {"username": "a:b", "password": "c"}}, "colon"),
        (
            {"basic": {"username": "a", "password": "c"}, "headers": {"authorization": "d"}},
            "basic sets the header",
        ),
        ({"token": "a b"}, "not a JMESPath expression"),
        ({"token": None}, "token, token_header or cookies: true is missing"),
        ({"token": None, "cookies": False}, "token, token_header or cookies: true is missing"),
        ({"token_header": "X-A"}, "allowed is one of token and token_header"),
        ({"token_header": "X A", "token": None}, "not a header name"),
        ({"session_cookie": "a"}, "session_cookie goes with cookies: true only"),
        ({"session_cookie": "a;b", "cookies": True}, "not the name of a cookie"),
        ({"lifetime": 5}, "or a JMESPath expression"),
        ({"lifetime": "1 hour"}, "or a JMESPath expression"),
        ({"lifetime": "0s"}, "more than 0s"),
        ({"lifetime": "a b"}, "not a JMESPath expression"),
        ({"send": {"X-A": "a"}}, "send must contain {token}"),
        ({"send": {}}, "send must contain {token}"),
        ({"send": {"X-A": "{token}"}, "token": None, "cookies": True}, "send must not contain {token}"),
        ({"send": {"cookie": "{token}"}, "cookies": True}, "so send must not contain it"),
        ({"user": "u"}, "user"),
    ],
)
def test_odd_keys_are_refused(keys: dict[str, Any], complaint: str) -> None:
    given = {**AIRFLOW, **keys}
    assert complaint in error(**{key: value for key, value in given.items() if value is not None})


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(TOKEN),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["t", "l"]) | st.text(max_size=2), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=60)
@given(
    status=st.sampled_from([200, 201, 302, 401, 500]),
    body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()),
    cookie=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30),
    cookies=st.booleans(),
)
def test_an_answer_however_odd_is_a_login_or_a_failure(
    status: int, body: bytes, cookie: str, *, cookies: bool
) -> None:
    credential = login(url="/login", token="t || @", lifetime="l", cookies=cookies)
    try:
        renewed(credential, f"{BASE}/login", status=status, body=body, headers={"Set-Cookie": cookie})
    except Failure as failure:
        assert failure.reason is Reason.AUTH  # noqa: PT017  one of two ends
        assert credential.must_renew(0)
        return
    assert status in ((200, 201, 302) if cookies else (200, 201))
    headers = sent_to(credential, f"{BASE}/x")
    assert headers["Authorization"].startswith("Bearer ")
    assert ("Cookie" in headers) == cookies
    assert all(value.isprintable() for value in headers.values())
    assert not credential.must_renew(0.4)
    assert credential.must_renew(86400)


def test_the_statuses_that_lead_to_another_login_can_be_configured() -> None:
    assert {401, 403, 302} <= login(url="/login", token="t").rejections
    assert login(url="/login", token="t", renew_on=[401, 418]).rejections == {401, 418}
