"""What a recording keeps of requests and responses."""

import json
from base64 import b64decode
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.cli.recording import dumped
from exporter.model.failure import Failure, Reason
from exporter.model.http import Headers, Response
from exporter.transport import HeaderFields, PreparedRequest
from exporter.upstream import recording
from exporter.upstream.masks import Masks
from exporter.upstream.recording import Recorder

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def prepared(body: bytes = b"", **headers: str) -> PreparedRequest:
    fields = HeaderFields({**headers, "Content-Length": str(len(body))})
    return PreparedRequest("POST", "https://ci.example.com/a?b=1", fields, body)


def response(body: bytes = b"", status: int = 200, **headers: str) -> Response:
    lines = [f"{name.replace('_', '-')}: {value}".encode("latin-1") for name, value in headers.items()]
    return Response(status, body, Headers(b"\r\n".join([b"HTTP/1.1 200", *lines])))


def recorded(*responses: Response | Failure, **words: str) -> list[dict[str, Any]]:
    recorder = Recorder()
    for each in responses:
        recorder.request(prepared(), prepared())
        if isinstance(each, Failure):
            recorder.failure(each)
        else:
            recorder.response(each)
    return recorder.recorded(Masks(), frozenset(words))


def body_of(entry: dict[str, Any]) -> bytes | None:
    """The body as it is replayed; ``None`` if it is left out."""
    if "json" in entry:
        return json.dumps(entry["json"]).encode()
    if "base64" in entry:
        return b64decode(entry["base64"])
    return None if "left_out" in entry else str(entry.get("text", "")).encode()


def from_file(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = yaml.load(dumped(entries), Loader=yaml.CSafeLoader)
    assert read == entries
    return read


@settings(max_examples=50)
@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_a_json_body_comes_back_from_the_file_as_the_same_json(value: Any, ascii_: bool, indent: int) -> None:  # noqa: FBT001
    text = json.dumps(value, ensure_ascii=ascii_, indent=indent)
    try:
        body = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return
    (entry,) = from_file(recorded(response(body)))
    found = body_of(entry["response"])
    assert found is not None
    assert json.loads(found) == json.loads(text)


@settings(max_examples=50)
@given(st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode))
def test_any_other_body_comes_back_as_it_was_or_is_left_out(body: bytes) -> None:
    (entry,) = from_file(recorded(response(body)))
    found = body_of(entry["response"])
    if found != body and found is not None:
        assert json.loads(found) == json.loads(body)
    assert found is not None or any(byte < 32 for byte in body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": 0.12345678901234567890}',
        b'{"a": "\\ud800"}',
        b"[" * 150 + b"]" * 150,
        b"<html>",
        b"\xef\xbb\xbf{}",
    ],
    ids=str,
)
def test_what_json_in_a_file_would_change_is_kept_as_text(body: bytes) -> None:
    (entry,) = from_file(recorded(response(body)))
    assert entry["response"]["text"].encode() == body


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("", "utf-16"), ("; charset=ISO-8859-1", "latin-1"), ("; charset=nonsense", "utf-16")],
)
def test_a_secret_is_masked_in_text_of_another_encoding_too(charset: str, encoding: str) -> None:
    masks = Masks()
    masks.add_secret("für-nobody")
    recorder = Recorder()
    recorder.request(prepared(), prepared())
    recorder.response(
        response("{'a': 'für-nobody'}".encode(encoding), content_type=f"application/json{charset}")
    )
    (entry,) = from_file(recorder.recorded(masks, frozenset()))
    assert b64decode(entry["response"]["base64"]).decode(encoding) == "{'a': 'secret-1'}"


def test_only_harmless_headers_have_a_value() -> None:
    (entry,) = recorded(
        response(
            content_type="text/plain",
            content_length="0",
            link="<https://ci.example.com/x?page=2>; rel=next",
            location="/login?state=abc",
            set_cookie="a=b",
            x_continuation="next",
            x_ratelimit_reset="60",
            x_other="abc",
            github_authentication_token_expiration="2026-01-01",
        ),
        **{"x-continuation": "", "set-cookie": ""},
    )
    assert entry["response"]["headers"] == {
        "content-type": "text/plain",
        "link": "<https://host-1.invalid/x?page=2>; rel=next",
        "location": "/login",
        "set-cookie": "***",
        "x-continuation": "next",
        "x-ratelimit-reset": "60",
        "x-other": "***",
        "github-authentication-token-expiration": "2026-01-01",
    }


def test_what_a_credential_set_is_masked_wherever_it_comes_back() -> None:
    recorder, masks = Recorder(), Masks()
    masks.add_secret("configured")
    sent = prepared(b'{"id": "configured"}', Authorization="Bearer issued-token", Accept="text/x")
    recorder.request(prepared(b'{"id": "configured"}', Accept="text/x"), sent)
    recorder.response(response(b"you sent issued-token", etag='"issued-token"'))
    sent.headers["Authorization"] = "Bearer another-token"
    (entry,) = recorder.recorded(masks, frozenset())
    assert entry["request"] == {
        "method": "POST",
        "url": "/a?b=1",
        "headers": {"Accept": "text/x", "Content-Length": "20", "Authorization": "***"},
        "json": {"id": "secret-1"},
    }
    assert entry["response"]["text"] == "you sent secret-2"
    assert entry["response"]["headers"] == {"etag": '"secret-2"'}


def test_a_request_without_a_response_is_recorded_with_its_reason() -> None:
    (entry,) = recorded(Failure(Reason.TIMEOUT, "no answer of https://ci.example.com within 8 s"))
    assert entry["failure"] == "timeout"


def test_a_recording_has_a_limit_of_requests_and_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_BYTES", 10)
    entries = recorded(*[response(b"1234")] * 25)
    assert len(entries) == 20
    assert [entry["response"].get("left_out") for entry in entries] == [None, None, *[4] * 18]
