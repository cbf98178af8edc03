"""The credentials that call nobody: none, basic, bearer, headers."""

import base64
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from requests import Session

from exporter.auth import CREDENTIALS
from exporter.auth.credential import Credential, SecretSet
from exporter.model.failure import Failure, Reason
from exporter.model.http import CONNECTION_HEADERS
from exporter.runtime.secret import Secret
from tests.auth.conftest import Server, sent

SecretFile = Callable[[str], dict[str, str]]

SECRET = "kept-to-ourselves"
EXAMPLES: dict[str, dict[str, Any]] = {
    "none": {},
    "basic": {"username": "u", "password": SECRET},
    "bearer": {"token": SECRET},
    "headers": {"headers": {"Authorization": SECRET, "TokenType": "jwt"}},
    "oauth2": {"token_url": "http://127.0.0.1/token", "client_id": "c", "client_secret": SECRET},
    "huawei_token": {
        "token_url": "http://127.0.0.1/token",
        "username": "u",
        "password": SECRET,
        "domain": "d",
        "project": "p",
    },
    "huawei_aksk": {"access_key": SECRET, "secret_key": SECRET, "security_token": SECRET},
    "crafter_session": {"username": "u", "password": SECRET},
    "login": {"url": "/login", "body": {"password": SECRET}, "token": "token"},
}
FIXED = [kind for kind in EXAMPLES if kind not in ("oauth2", "huawei_token", "crafter_session", "login")]


def credential(kind: str, **keys: Any) -> Credential:
    made = CREDENTIALS[kind]
    return made(made.Keys.model_validate({"type": kind, **(keys or EXAMPLES[kind])}))


def error(kind: str, **keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        credential(kind, **keys)
    return str(caught.value)


def test_every_kind_is_in_the_table_under_its_own_name() -> None:
    assert set(CREDENTIALS) == set(EXAMPLES)
    for kind, made in CREDENTIALS.items():
        keys = made.Keys.model_validate({"type": kind, **EXAMPLES[kind]})
        assert (made.kind, keys.model_dump()["type"]) == (kind, kind)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_another_kinds_name_and_unknown_keys_are_refused(kind: str) -> None:
    assert "type" in error(kind, **{**EXAMPLES[kind], "type": "other"})
    assert "more" in error(kind, **EXAMPLES[kind], more=1)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_no_secret_shows_in_a_credential_or_its_keys(kind: str) -> None:
    made = credential(kind)
    keys = made.Keys.model_validate({"type": kind, **EXAMPLES[kind]})
    assert SECRET not in f"{made!r} {made} {keys!r} {keys} {keys.model_dump_json()} {made.version()}"
    assert repr(made) == f"{type(made).__name__}()"


@pytest.mark.parametrize("kind", FIXED)
def test_a_fixed_credential_needs_no_renewal_and_a_refusal_stands(kind: str) -> None:
    made = credential(kind)
    before = made.version()
    assert not made.must_renew(time.monotonic())
    assert not made.rejected(before)
    assert made.version() == before


def test_none_leaves_a_request_as_it_is(server: Server, session: Session) -> None:
    session.get(server.url, auth=credential("none"))
    assert "authorization" not in server.asked[0].headers


def test_basic_arrives_as_user_and_password(server: Server, session: Session) -> None:
    session.get(server.url, auth=credential("basic", username="Ürsel", password="p:ß 1"))
    scheme, _, proof = server.asked[0].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(proof).decode()) == ("Basic", "Ürsel:p:ß 1")


def test_bearer_arrives_with_its_scheme(server: Server, session: Session) -> None:
    session.get(server.url, auth=credential("bearer", token="abc.def"))
    assert server.asked[0].headers["authorization"] == "Bearer abc.def"


def test_headers_arrive_as_they_are(server: Server, session: Session) -> None:
    session.get(server.url, auth=credential("headers"))
    headers = server.asked[0].headers
    assert (headers["authorization"], headers["tokentype"]) == (SECRET, "jwt")


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("basic", lambda secret: {"username": "u", "password": secret}),
        ("bearer", lambda secret: {"token": secret}),
        ("headers", lambda secret: {"headers": {"X-Key": secret}}),
    ],
)
def test_a_secret_that_changes_is_sent_and_makes_asking_again_worth_it(
    kind: str, keys: Callable[[dict[str, str]], dict[str, Any]], secret_file: SecretFile
) -> None:
    made = credential(kind, **keys(secret_file("first")))
    first, version = sent(made), made.version()
    assert not made.rejected(version)
    secret_file("second")
    assert made.rejected(version)
    assert made.version() != version
    assert sent(made) != first
    assert not made.rejected(made.version())


@pytest.mark.parametrize("value", ["a\nX-Other: b", "€", "a\x00"])
@pytest.mark.parametrize("kind", ["bearer", "headers"])
def test_a_value_that_breaks_a_header_is_refused_at_load_and_later(
    kind: str, value: str, secret_file: SecretFile
) -> None:
    def keys(secret: object) -> dict[str, Any]:
        return {"token": secret} if kind == "bearer" else {"headers": {"X-Key": secret}}

    assert value not in error(kind, **keys(value))
    made = credential(kind, **keys(secret_file("good")))
    secret_file(value)
    with pytest.raises(Failure) as caught:
        sent(made)
    assert caught.value.reason is Reason.AUTH
    assert value not in "".join(traceback.format_exception(caught.value))


def test_the_word_bearer_in_a_token_is_told(secret_file: SecretFile) -> None:
    assert "begins with the word Bearer; allowed is the token alone" in error(
        "bearer", token=secret_file("bearer abc")
    )
    assert "without the word Bearer" in error("bearer", token=secret_file("a b c"))


@pytest.mark.parametrize("username", ["a:b", "a\nb"])
def test_a_user_name_with_a_colon_or_line_break_is_refused(username: str) -> None:
    assert "colon" in error("basic", username=username, password="p")


def test_a_password_that_is_no_text_is_a_failure_that_does_not_show_it() -> None:
    made = credential("basic", username="u", password="hidden\ud800")
    with pytest.raises(Failure) as caught:
        sent(made)
    assert caught.value.reason is Reason.AUTH
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ({}, "at least one"),
        ({"X-Key": "a", "x-key": "b"}, "twice"),
        *(({name: "3"}, f"{name} is set by the connection") for name in sorted(CONNECTION_HEADERS)),
        (
            {"Expect": "100-continue"},
            "Expect is set by the connection; allowed are all names except",
        ),
        ({"X Key": "a"}, "not a header name"),
        ({"X-Key": ""}, "must not be empty"),
        ({"X-Key": 5}, "not a secret"),
    ],
)
def test_odd_headers_are_refused(headers: dict[str, Any], complaint: str) -> None:
    assert complaint in error("headers", headers=headers)


def test_the_host_is_a_header_like_others() -> None:
    assert sent(credential("headers", headers={"Host": "inner.example"}))["Host"] == "inner.example"


@given(st.text())
def test_any_text_is_a_token_that_arrives_whole_or_an_error_that_hides_it(text: str) -> None:
    made, token = CREDENTIALS["bearer"], SECRET + text
    try:
        keys = made.Keys.model_validate({"type": "bearer", "token": Secret.plain(token)})
    except ValidationError as error:
        assert SECRET not in str(error)  # noqa: PT017  one of two ends
    else:
        assert sent(made(keys))["Authorization"] == f"Bearer {token}"


# A file that changes to a value that would be refused when the configuration is loaded.

LOGIN = {"url": "http://127.0.0.1:1/login", "body": {"a": "b"}, "token": "token"}
SPACE, CONTROL, SNOWMAN = "kept to-ourselves", "kept\x07to-ourselves", "kept-to-\N{SNOWMAN}"
ROTATED: list[tuple[str, str, Callable[[dict[str, str]], dict[str, Any]], tuple[str, ...]]] = [
    ("bearer", "token", lambda file: {"token": file}, (SPACE, "Bearer x", CONTROL, "a\nb", SNOWMAN)),
    ("headers", "header", lambda file: {"headers": {"X-Key": file}}, (CONTROL, "a\r\nX-More: b", SNOWMAN)),
    (
        "huawei_aksk",
        "access_key",
        lambda file: {"access_key": file, "secret_key": SECRET},
        (SPACE, CONTROL, "a,b", "a" * 129, SNOWMAN),
    ),
    (
        "huawei_aksk",
        "security_token",
        lambda file: {"access_key": SECRET, "secret_key": SECRET, "security_token": file},
        (SPACE, CONTROL, "a,b", SNOWMAN),
    ),
    ("login", "header", lambda file: {**LOGIN, "headers": {"X-Key": file}}, (CONTROL, "a\nb", SNOWMAN)),
]


@pytest.mark.parametrize(
    ("kind", "keys", "value"),
    [
        pytest.param(kind, keys, value, id=f"{kind} {name} {value[:20]!a}")
        for kind, name, keys, values in ROTATED
        for value in values
    ],
)
def test_the_rule_of_the_load_applies_to_every_later_value_of_a_file(
    kind: str, keys: Callable[..., dict[str, Any]], value: str, secret_file: SecretFile, session: Session
) -> None:
    made = credential(kind, **keys(secret_file(SECRET)))

    def use() -> None:
        if made.must_renew(0.0):
            made.renew(session, 0.0)
        sent(made)

    if kind != "login":
        use()
    secret_file(value)
    with pytest.raises(Failure) as caught:
        use()
    assert caught.value.reason == Reason.AUTH
    assert caught.value.detail.startswith("the secret ")
    assert value not in "".join(traceback.format_exception(caught.value))
    # It is refused at the load with the same words.
    with pytest.raises(ValidationError) as refused:
        credential(kind, **keys(secret_file(value)))
    assert caught.value.detail.removeprefix("the secret ") in str(refused.value)


def test_a_place_for_the_token_that_a_file_has_lost_is_noticed(
    secret_file: SecretFile, server: Server, session: Session
) -> None:
    server.token("t1")
    keys = {"url": "/login", "body": {"a": "b"}, "token": "access_token"}
    made = credential("login", **keys, send={"X-Key": secret_file("key {token}")})
    made.bind(server.url, {})
    made.renew(session, 0.0)
    assert sent(made)["X-Key"] == "key t1"
    secret_file("key")
    made.renew(session, 1.0)
    with pytest.raises(Failure, match=r"send must contain \{token\}") as caught:
        sent(made)
    assert caught.value.reason == Reason.AUTH


@pytest.mark.usefixtures("_frequent_turns")
def test_threads_that_read_changed_secrets_together_see_one_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.runtime.secret.LOOK_AGAIN_SECONDS", 0.0)
    file = tmp_path / "secret"
    file.write_text("first")
    secrets = SecretSet(Secret.file(file))
    with ThreadPoolExecutor(4) as threads:
        for number in range(1, 11):
            (tmp_path / "new").write_text(f"secret {number}")
            (tmp_path / "new").replace(file)
            seen = set(threads.map(lambda _: secrets.read(), range(8)))
            assert seen == {(number, (f"secret {number}",))}
