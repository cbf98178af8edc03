"""When a fixed credential ends."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.auth import CREDENTIALS
from exporter.auth.credential import Credential
from exporter.auth.jwt import jwt_expiry

SecretFile = Callable[[str], dict[str, str]]

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
END = 1_900_000_000


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jwt(claims: object, *, parts: int = 3) -> str:
    middle = encoded(json.dumps(claims).encode())
    return ".".join([encoded(b'{"alg":"none"}'), middle, *["c2ln"] * (parts - 2)])


def credential(kind: str, **keys: Any) -> Credential:
    made = CREDENTIALS[kind]
    return made(made.Keys.model_validate({"type": kind, **keys}))


@pytest.mark.parametrize("word", ["", "Bearer ", "JWT  "])
def test_a_token_ends_when_it_says_so(word: str) -> None:
    assert jwt_expiry(word + jwt({"exp": END, "sub": "ÿ?>"})) == END
    assert jwt_expiry(word + jwt({"exp": END + 0.5})) == END + 0.5


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"iat": END},
        {"exp": None},
        {"exp": True},
        {"exp": str(END)},
        {"exp": [END]},
        {"exp": 0},
        {"exp": -1},
        {"exp": END * 1000},
        {"exp": 10**400},
        {"exp": float("inf")},
        {"exp": float("nan")},
        [END],
        "exp",
        None,
    ],
)
def test_a_token_that_names_no_sensible_time_has_no_end(claims: object) -> None:
    assert jwt_expiry(jwt(claims)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "secret",
        "a.b.c",
        "a.é.c",
        jwt({"exp": END}, parts=2),
        jwt({"exp": END}, parts=5),
        f"a.{encoded(b'[' * 30_000)}.c",
        f"a.{encoded(b'1' * 10_000)}.c",
        "a._v8.c",
        "x" * 70_000 + " " + jwt({"exp": END}),
        jwt({"exp": END}) + "x" * 70_000,
    ],
)
def test_what_is_no_signed_token_has_no_end(text: str) -> None:
    assert jwt_expiry(text) is None


@given(
    st.text()
    | st.builds("{}.{}.{}".format, st.text(), st.text(), st.text())
    | st.binary().map(lambda content: f"a.{encoded(content)}.c")
    | JSON.map(jwt)
    | JSON.map(lambda end: jwt({"exp": end}))
)
def test_any_text_has_a_sensible_end_or_none(text: str) -> None:
    end = jwt_expiry(text)
    assert end is None or 0 < end < 1e12


@given(st.integers(1, 253_402_300_799), st.dictionaries(st.text(), JSON))
def test_the_end_is_found_among_any_claims(end: int, claims: dict[str, Any]) -> None:
    assert jwt_expiry(jwt({**claims, "exp": end})) == end


def test_a_bearer_token_tells_its_end() -> None:
    assert credential("bearer", token=jwt({"exp": END})).expires_at() == END
    assert credential("bearer", token="opaque").expires_at() is None


def test_the_first_of_several_headers_to_end_counts() -> None:
    headers = {"A": f"Bearer {jwt({'exp': END + 5})}", "B": jwt({"exp": END}), "C": "opaque"}
    assert credential("headers", headers=headers).expires_at() == END


def test_the_end_keeps_in_step_with_the_file(secret_file: SecretFile) -> None:
    bearer = credential("bearer", token=secret_file(jwt({"exp": END})))
    assert [bearer.expires_at(), bearer.expires_at()] == [END, END]
    secret_file(jwt({"exp": END + 86400}))
    assert bearer.expires_at() == END + 86400
    secret_file("opaque now")
    assert bearer.expires_at() is None


def test_what_is_renewed_here_has_no_end_to_tell() -> None:
    oauth2 = credential(
        "oauth2", token_url="http://127.0.0.1/", client_id="c", client_secret=jwt({"exp": END})
    )
    assert oauth2.expires_at() is None
    assert credential("none").expires_at() is None
