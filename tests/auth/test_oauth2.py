import base64
import json
import socket
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from requests import Session
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import InvalidURL, ReadTimeout, SSLError

from exporter.auth.oauth2 import OAuth2, OAuth2Keys
from exporter.model.failure import Failure, Reason
from exporter.transport import blocking_session
from tests.auth.conftest import Server, sent

SecretFile = Callable[[str], dict[str, str]]

SECRET = "kept-to-ourselves"
TOKEN = "token-kept-too"
URL = "https://auth.example.com/oauth/token"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def oauth2(url: str = URL, **keys: Any) -> OAuth2:
    given = {"token_url": url, "client_id": "c1", "client_secret": SECRET, **keys}
    return OAuth2(OAuth2Keys.model_validate({"type": "oauth2", **given}))


def error(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        oauth2(**keys)
    return str(caught.value)


def fault(credential: OAuth2, session: Session, now: float = 0.0) -> Failure:
    """The failure of a renewal; nothing in it, however it is printed, tells a secret."""
    with pytest.raises(Failure) as caught:
        credential.renew(session, now)
    failure = caught.value
    shown = "".join(traceback.format_exception(failure)) + repr(vars(failure))
    assert failure.reason is Reason.AUTH
    assert failure.__context__ is None
    assert not any(word in shown for word in (SECRET, TOKEN, "chatter"))
    return failure


def test_the_client_secret_goes_into_the_form(server: Server, session: Session) -> None:
    server.token(TOKEN)
    credential = oauth2(
        f"{server.url}/token/", scope="a b", audience="https://api.example.com", params={"resource": "x&y"}
    )
    assert credential.must_renew(0)
    credential.renew(session, 0)
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", "/token/")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in asked.headers
    assert asked.form == {
        "grant_type": "client_credentials",
        "client_id": "c1",
        "client_secret": SECRET,
        "scope": "a b",
        "audience": "https://api.example.com",
        "resource": "x&y",
    }
    assert not credential.must_renew(0)
    assert sent(credential)["Authorization"] == f"Bearer {TOKEN}"


def test_or_it_goes_into_basic_form_encoded(server: Server, session: Session) -> None:
    server.token()
    oauth2(server.url, client_id="a:b", client_secret="p%ä c", client_auth="basic").renew(session, 0)
    scheme, _, proof = server.asked[0].headers["authorization"].partition(" ")
    user, _, password = base64.b64decode(proof).decode().partition(":")
    assert (scheme, unquote_plus(user), unquote_plus(password)) == ("Basic", "a:b", "p%ä c")
    assert server.asked[0].form == {"grant_type": "client_credentials"}


def test_before_the_first_token_nothing_is_sent() -> None:
    with pytest.raises(Failure) as caught:
        sent(oauth2())
    assert caught.value.reason is Reason.AUTH


@pytest.mark.parametrize(
    ("expires_in", "renewed_after"),
    [
        (3600, 3240),
        ("3600", 3240),
        (3600.0, 3240),
        (86400, 77760),
        (100, 70),
        (40, 20),
        (10, 5),
        (0.001, 0.5),
        (10**12, 77760),
        (None, 270),
        (0, 270),
        (-5, 270),
        (True, 270),
        ("soon", 270),
        ([], 270),
    ],
)
def test_a_token_is_renewed_before_it_ends(
    expires_in: object, renewed_after: float, server: Server, session: Session
) -> None:
    server.token(expires_in=expires_in)
    credential = oauth2(server.url)
    credential.renew(session, 1000)
    assert not credential.must_renew(1000 + renewed_after - 0.01)
    assert credential.must_renew(1000 + renewed_after)


def test_every_token_has_a_version_of_its_own(server: Server, session: Session) -> None:
    server.token()
    credential = oauth2(server.url)
    versions = [credential.version()]
    for _ in range(2):
        credential.renew(session, 0)
        versions.append(credential.version())
    assert len(set(versions)) == 3


def test_a_refused_token_is_given_up_once_for_all_who_sent_it(server: Server, session: Session) -> None:
    server.token("t1")
    credential = oauth2(server.url)
    credential.renew(session, 0)
    old = credential.version()
    assert credential.rejected(old)
    assert credential.rejected(old)
    assert credential.must_renew(1)
    server.token("t2")
    credential.renew(session, 1)
    # Another read, sent with the old token, hears of its refusal only now.
    assert credential.rejected(old)
    assert not credential.must_renew(2)
    assert sent(credential)["Authorization"] == "Bearer t2"


def test_a_token_refused_as_soon_as_it_replaced_a_refused_one_is_not_the_fault(
    server: Server, session: Session
) -> None:
    server.token()
    credential = oauth2(server.url)
    credential.renew(session, 0)
    assert credential.rejected(credential.version())
    credential.renew(session, 1)
    assert not credential.must_renew(2)
    assert not credential.rejected(credential.version())
    assert not credential.must_renew(2)
    assert not credential.must_renew(60)
    assert credential.rejected(credential.version())
    assert credential.must_renew(60)


def test_a_token_does_not_outlive_the_secret_it_came_from(
    server: Server, session: Session, secret_file: SecretFile
) -> None:
    server.token("t1")
    credential = oauth2(server.url, client_secret=secret_file("first"))
    credential.renew(session, 0)
    version = credential.version()
    secret_file("second")
    assert credential.version() != version
    assert credential.must_renew(1)
    server.token("t2")
    credential.renew(session, 1)
    assert [asked.form["client_secret"] for asked in server.asked] == ["first", "second"]
    assert sent(credential)["Authorization"] == "Bearer t2"
    secret_file("third")
    server.answer({"error": "invalid_client"}, 401)
    fault(credential, session, 2)


def test_an_early_renewal_that_fails_keeps_the_token_until_it_ends(server: Server, session: Session) -> None:
    server.token("t1")
    credential = oauth2(server.url)
    credential.renew(session, 0)
    version = credential.version()
    server.answer({}, 503)
    for now in (3240.0, 3400.0, 3599.9):
        assert credential.must_renew(now)
        fault(credential, session, now)
        assert credential.valid(now)
        assert (credential.version(), sent(credential)["Authorization"]) == (version, "Bearer t1")
    assert not credential.valid(3600)
    server.token("t2")
    credential.renew(session, 3601)
    assert credential.valid(3601)
    assert sent(credential)["Authorization"] == "Bearer t2"


def test_a_token_that_was_refused_or_belongs_to_an_older_secret_serves_no_more(
    server: Server, session: Session, secret_file: SecretFile
) -> None:
    server.token("t1")
    credential = oauth2(server.url, client_secret=secret_file("first"))
    assert not credential.valid(0)
    credential.renew(session, 0)
    assert credential.valid(0)
    credential.rejected(credential.version())
    assert not credential.valid(0)
    credential.renew(session, 0)
    assert credential.valid(0)
    secret_file("second")
    assert not credential.valid(0)


def test_a_refused_token_is_not_kept_when_there_is_no_other(server: Server, session: Session) -> None:
    server.token()
    credential = oauth2(server.url)
    credential.renew(session, 0)
    credential.rejected(credential.version())
    server.answer({}, 503)
    fault(credential, session, 1)
    assert credential.must_renew(1)


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (400, {"error": "invalid_scope", "error_description": "chatter"}, "HTTP status 400 (invalid_scope)"),
        (401, {"error": "invalid_client"}, "HTTP status 401 (invalid_client)"),
        (401, {"error": f"chatter {TOKEN}"}, "HTTP status 401"),
        (400, {"error": ["invalid_client"]}, "HTTP status 400"),
        (403, {"error": {"code": "chatter"}}, "HTTP status 403"),
        (201, {"access_token": TOKEN}, "HTTP status 201"),
        (503, "chatter", "HTTP status 503"),
    ],
)
def test_a_refusal_is_told_by_status_and_known_code_alone(
    status: int, body: object, detail: str, server: Server, session: Session
) -> None:
    server.answer(body, status)
    failure = fault(oauth2(server.url), session)
    assert failure.detail == f"could not get a token from {server.host}: {detail}"
    assert failure.status == status


def test_a_redirect_is_not_followed(server: Server, session: Session) -> None:
    server.status, server.headers = 302, {"Location": f"{server.url}/chatter"}
    assert "HTTP status 302" in fault(oauth2(server.url), session).detail
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "chatter",
        None,
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 5},
        {"access_token": [TOKEN]},
        {"access_token": f"{TOKEN}\r\nX-Other: chatter"},
        {"access_token": f"{TOKEN} chatter"},
        {"access_token": f"{TOKEN}\n"},
        {"access_token": f"{TOKEN}€"},
        {"access_token": "a" * (64 * 1024 + 1)},
        {"access_token": TOKEN, "token_type": "mac"},
        {"access_token": TOKEN, "token_type": 7},
    ],
)
def test_an_answer_without_a_usable_token_is_a_failure(
    body: object, server: Server, session: Session
) -> None:
    server.answer(body)
    credential = oauth2(server.url)
    fault(credential, session)
    assert credential.must_renew(0)


@pytest.mark.parametrize(
    "body", [b"", b"<html>chatter", b"\xff\xfe", b"[" * 100_000, b'{"access_token": 1' * 9]
)
def test_an_answer_that_is_no_json_is_a_failure(body: bytes, server: Server, session: Session) -> None:
    server.body = body
    fault(oauth2(server.url), session)


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", None])
def test_the_kind_of_token_may_be_missing_and_in_any_case(
    kind: object, server: Server, session: Session
) -> None:
    server.token(TOKEN, token_type=kind)
    credential = oauth2(server.url)
    credential.renew(session, 0)
    assert sent(credential)["Authorization"] == f"Bearer {TOKEN}"


def test_an_endpoint_that_hangs_is_given_up(server: Server, impatient: Session) -> None:
    server.hang.clear()
    assert "timed out" in fault(oauth2(server.url), impatient).detail


def test_an_endpoint_that_answers_without_end_is_given_up(server: Server) -> None:
    server.body = b" " * 100_000
    with blocking_session(max_bytes=10_000) as session:
        assert "the response is too large" in fault(oauth2(server.url), session).detail


def test_an_endpoint_that_is_not_there_is_a_failure(session: Session) -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/token"
        assert "could not connect" in fault(oauth2(url), session).detail


@pytest.mark.parametrize("kind", [ReadTimeout, SSLError, RequestsConnectionError, InvalidURL, UnicodeError])
def test_errors_of_a_plain_requests_session_are_failures_too(kind: type[Exception]) -> None:
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(URL, body=kind("chatter"))
        assert fault(oauth2(), session).detail.endswith(": the request could not be sent")


@pytest.mark.parametrize("client_auth", ["form", "basic"])
def test_a_secret_that_is_no_text_is_a_failure(client_auth: str, session: Session) -> None:
    fault(oauth2(client_secret=f"{SECRET}\ud800", client_auth=client_auth), session)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"token_url": "ftp://example.com/"}, "scheme"),
        ({"token_url": "https://u:p@example.com/"}, "credentials"),
        ({"client_id": ""}, "client_id"),
        ({"client_secret": ""}, "must not be empty"),
        ({"client_auth": "jwt"}, "client_auth"),
        ({"params": {"client_secret": "x", "scope": "y"}}, "must not contain client_secret, scope"),
        ({"params": {"a": 5}}, "params"),
    ],
)
def test_odd_keys_are_refused(keys: dict[str, Any], complaint: str) -> None:
    assert complaint in error(**keys)


def renew_from(credential: OAuth2, status: int, body: bytes) -> None:
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(URL, status=status, body=body)
        credential.renew(session, 0.0)


@given(
    status=st.sampled_from([200, 200, 400, 401, 500]),
    body=st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"access_token": st.text() | JSON},
        optional={"token_type": st.just("bearer") | JSON, "expires_in": JSON, "error": JSON},
    ).map(lambda value: json.dumps(value).encode()),
)
def test_an_answer_however_odd_is_a_token_or_a_failure(status: int, body: bytes) -> None:
    credential = oauth2()
    try:
        renew_from(credential, status, body)
    except Failure as failure:
        assert failure.reason is Reason.AUTH  # noqa: PT017  one of two ends
        assert credential.must_renew(0)
    else:
        token = json.loads(body)["access_token"]
        assert status == 200
        assert sent(credential)["Authorization"] == f"Bearer {token}"
        assert not credential.must_renew(0.4)
        assert credential.must_renew(86400)
