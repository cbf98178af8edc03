import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from requests import Session

from exporter.auth.oauth2 import OAuth2, OAuth2Keys
from exporter.model.failure import Failure, Reason
from tests.auth.conftest import SECRET, TOKEN, Server, renewal_failure, sent

SecretFile = Callable[[str], dict[str, str]]

URL = "https://auth.example.com/oauth/token"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def oauth2(url: str = URL, **keys: Any) -> OAuth2:
    """A credential with these keys; ``None`` leaves one out."""
    given = {"type": "oauth2", "token_url": url, "client_id": "c1", "client_secret": SECRET, **keys}
    return OAuth2(
        OAuth2Keys.model_validate({key: value for key, value in given.items() if value is not None})
    )


def for_a_user(url: str = URL, **keys: Any) -> OAuth2:
    user = {"grant_type": "password", "username": "u1", "password": "pä ss"}
    return oauth2(url, **{**user, "client_id": None, "client_secret": None, **keys})


def error(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        oauth2(**keys)
    return str(caught.value)


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


@pytest.mark.parametrize(
    ("client", "sent_form"),
    [
        ({}, {}),
        ({"client_id": "c1", "client_auth": "basic"}, {"client_id": "c1"}),
        ({"client_id": "c1", "client_secret": SECRET}, {"client_id": "c1", "client_secret": SECRET}),
        ({"client_id": "c1", "client_secret": SECRET, "client_auth": "basic"}, {}),
    ],
)
def test_a_user_gets_a_token_with_a_password_with_and_without_a_client(
    client: dict[str, str], sent_form: dict[str, str], server: Server, session: Session
) -> None:
    server.token(TOKEN)
    credential = for_a_user(server.url, scope="a", **client)
    credential.renew(session, 0)
    (asked,) = server.asked
    user = {"grant_type": "password", "username": "u1", "password": "pä ss", "scope": "a"}
    assert asked.form == {**user, **sent_form}
    assert ("authorization" in asked.headers) == (len(client) == 3)
    assert sent(credential)["Authorization"] == f"Bearer {TOKEN}"


def test_a_token_of_a_user_ends_when_the_password_or_the_secret_of_the_client_changes(
    server: Server, session: Session, secret_file: SecretFile
) -> None:
    server.token()
    for changing in ("client_secret", "password"):
        credential = for_a_user(
            server.url, **{"client_secret": SECRET, "client_id": "c1", changing: secret_file("one")}
        )
        credential.renew(session, 0)
        assert credential.valid(1)
        secret_file("two")
        assert not credential.valid(1)
        credential.renew(session, 1)
        assert server.asked[-1].form[changing] == "two"


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"client_secret": None}, "client_secret\n  Value error, is missing: grant_type client_credentials"),
        ({"client_id": None}, "client_id\n  Value error, is missing: grant_type client_credentials"),
        ({"username": "u1"}, "username\n  Value error, goes with grant_type: password only"),
        ({"password": "p1"}, "password\n  Value error, goes with grant_type: password only"),
        (
            {"grant_type": "password", "username": "u1"},
            "password\n  Value error, is missing: grant_type password",
        ),
        (
            {"grant_type": "password", "password": "p1"},
            "username\n  Value error, is missing: grant_type password",
        ),
        (
            {"grant_type": "password", "username": "u1", "password": "p1", "client_id": None},
            "client_secret\n  Value error, goes with client_id only",
        ),
        ({"grant_type": "implicit"}, "grant_type"),
    ],
)
def test_keys_that_do_not_go_with_the_grant_are_refused(keys: dict[str, Any], complaint: str) -> None:
    assert complaint in error(**keys)


@pytest.mark.parametrize(
    ("expires_in", "renewed_after"),
    [
        (3600, 3240),
        ("3600", 3240),
        ("3600.0", 3240),
        (" 3600 ", 3240),
        (3600.0, 3240),
        (86400, 77760),
        (100, 70),
        (40, 20),
        (10, 5),
        (0.001, 0.5),
        (10**8, 77760),
        (10**400, 77760),
        (None, 270),
        (0, 270),
        (-5, 270),
        ("-5", 270),
        (True, 270),
        ("soon", 270),
        ("3600 seconds", 270),
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


NOON = 1_772_366_400  # 2026-03-01T12:00:00Z


def jwt(**claims: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{part}.c2ln"


@pytest.mark.parametrize(
    ("body", "renewed_after"),
    [
        ({"expires_in": "3600", "ext_expires_in": "0", "expires_on": str(NOON + 60)}, 3240),
        ({"expires_on": str(NOON + 3600)}, 3240),
        ({"expires_in": None, "expires_at": NOON + 3600}, 3240),
        ({"expires_in": "soon", "expires_at": (NOON + 3600) * 1000}, 3240),
        ({"expires_at": f"{NOON + 3600}.5"}, 3240.45),
        ({"expires_at": f"{NOON + 3600}000"}, 3240),
        ({"expires_at": "2026-03-01T13:00:00Z"}, 3240),
        ({"expires_in": NOON + 3600}, 3240),
        ({"expires_at": NOON - 60}, 270),
        ({"expires_at": NOON - 60, "access_token": jwt(exp=NOON + 3600)}, 3240),
        ({"access_token": jwt(exp=NOON + 3600)}, 3240),
        ({"access_token": jwt(exp=NOON + 60), "expires_in": 3600}, 3240),
        ({"access_token": jwt()}, 270),
    ],
)
def test_the_end_of_a_token_is_read_where_the_lifetime_is_missing(
    body: dict[str, object], renewed_after: float
) -> None:
    credential = oauth2()
    with responses.RequestsMock() as mock, Session() as session:
        date = {"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}
        mock.post(URL, json={"access_token": TOKEN, "token_type": "Bearer", **body}, headers=date)
        credential.renew(session, 0)
    assert not credential.must_renew(renewed_after - 0.01)
    assert credential.must_renew(renewed_after)


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (400, {"error": "invalid_scope", "error_description": "chatter"}, "HTTP status 400 (invalid_scope)"),
        (400, {"error": "interaction_required"}, "HTTP status 400 (interaction_required)"),
        (401, {"error": "invalid_client"}, "HTTP status 401 (invalid_client)"),
        (401, {"error": f"chatter {TOKEN}"}, "HTTP status 401"),
        (400, {"error": ["invalid_client"]}, "HTTP status 400"),
        (403, {"error": {"code": "chatter"}}, "HTTP status 403"),
        (300, {"access_token": TOKEN}, "HTTP status 300"),
        (503, "chatter", "HTTP status 503"),
    ],
)
def test_a_refusal_is_told_by_status_and_known_code_alone(
    status: int, body: object, detail: str, server: Server, session: Session
) -> None:
    server.answer(body, status)
    failure = renewal_failure(oauth2(server.url), session)
    assert failure.detail == f"could not get a token from {server.host}: {detail}"
    assert failure.status == status


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
        {"access_token": TOKEN, "token_type": "DPoP"},
        {"access_token": TOKEN, "token_type": " PoP "},
    ],
)
def test_an_answer_without_a_usable_token_is_a_failure(
    body: object, server: Server, session: Session
) -> None:
    server.answer(body)
    credential = oauth2(server.url)
    renewal_failure(credential, session)
    assert credential.must_renew(0)


@pytest.mark.parametrize(
    "body", [b"", b"<html>chatter", b"\xff\xfe", b"[" * 100_000, b'{"access_token": 1' * 9]
)
def test_an_answer_that_is_no_json_is_a_failure(body: bytes, server: Server, session: Session) -> None:
    server.body = body
    renewal_failure(oauth2(server.url), session)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"access_token": "t1"}',
        b'{"access_token": "t1", "user": "J\xfcrgen"}',
        b'{"access_token": "t1", "expires_in": NaN}',
    ],
)
def test_a_token_does_not_depend_on_the_encoding_of_its_response(
    body: bytes, server: Server, session: Session
) -> None:
    server.status, server.body = 200, body
    credential = oauth2(server.url)
    credential.renew(session, 0)
    assert sent(credential)["Authorization"] == "Bearer t1"


def test_an_error_that_comes_with_status_200_is_named(server: Server, session: Session) -> None:
    server.answer({"error": "access_denied", "error_description": "chatter"})
    failure = renewal_failure(oauth2(server.url), session)
    assert failure.detail.endswith(": the response has no usable access_token (access_denied)")


@pytest.mark.parametrize(
    "kind", ["Bearer", "bearer", "BEARER", "BearerToken", "Application Access Token", "", None, 7]
)
@pytest.mark.parametrize("status", [200, 201, 203])
def test_the_type_of_a_bearer_token_has_many_names(
    kind: object, status: int, server: Server, session: Session
) -> None:
    server.token(TOKEN, token_type=kind)
    server.status = status
    credential = oauth2(server.url)
    credential.renew(session, 0)
    assert sent(credential)["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("client_auth", ["form", "basic"])
def test_a_secret_that_is_no_text_is_a_failure(client_auth: str, session: Session) -> None:
    renewal_failure(oauth2(client_secret=f"{SECRET}\ud800", client_auth=client_auth), session)


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
    status=st.sampled_from([200, 201, 302, 401, 500]),
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
        assert status in (200, 201)
        assert sent(credential)["Authorization"] == f"Bearer {token}"
        assert not credential.must_renew(0.4)
        assert credential.must_renew(86400)
