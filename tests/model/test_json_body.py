"""Bodies of responses as JSON, as systems send them."""

import json
from collections.abc import Iterator
from contextlib import suppress
from math import inf, isfinite, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.failure import Failure, Reason
from exporter.model.http import Headers, Response
from exporter.model.json_body import MAX_VALUES

UMLAUT = '{"status": "für"}'
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


def values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    )


def response(body: bytes, content_type: str = "application/json") -> Response:
    return Response(200, body, Headers(b"HTTP/1.1 200 OK\r\nContent-Type: %b" % content_type.encode()))


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from numbers(inner)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
def test_every_unicode_encoding_is_read_whatever_the_content_type(encoding: str) -> None:
    for content_type in ("application/json", "application/json; charset=ISO-8859-1", ""):
        assert response(UMLAUT.encode(encoding), content_type).json() == {"status": "für"}


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("latin-1", "application/json; charset=ISO-8859-1"),
        ("latin-1", 'application/json; x=y; CharSet = "latin1"'),
        ("cp1252", "text/json;charset=windows-1252"),
        ("gb18030", "application/json; charset=GB18030"),
    ],
)
def test_other_charsets_are_read_by_the_name_in_the_content_type(encoding: str, content_type: str) -> None:
    assert response(UMLAUT.encode(encoding), content_type).json() == {"status": "für"}


@pytest.mark.parametrize(
    "charset", ["utf-8", "x", "iso-8859-12", "zlib", "idna", "unicode_escape", "undefined", ""]
)
def test_bytes_that_are_invalid_cost_one_character(charset: str) -> None:
    body = UMLAUT.encode("latin-1")
    assert response(body, f"application/json; charset={charset}").json() == {"status": "f\ufffdr"}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1,"a":2}', {"a": 2}),
        (b' {"a":[]}\r\n\n', {"a": []}),
        (b"[1122334455667788990, 12345678901234567890]", [1122334455667788990, 12345678901234567890]),
        (b"[18446744073709551616, -100000000000000000000]", [2**64, -(10**20)]),
        (b'["\\ud800", "\\ud83d\\ude00"]', ["\ud800", "\U0001f600"]),
        (b'["a\tb\x1bc"]', ["a\tb\x1bc"]),
        (b'{"n":NaN,"p":-Infinity,"q":1e400,"r":1e300}', {"n": None, "p": None, "q": None, "r": 1e300}),
        (b'{"n":NaN,"run_id":1122334455667788990}', {"n": None, "run_id": 1122334455667788990}),
        (b"[" + b"9" * 4300 + b",-" + b"9" * 4300 + b",2]", [10**4300 - 1, None, 2]),
        (b'{"n":' + b"9" * 100_000 + b',"s":"ok"}', {"n": None, "s": "ok"}),
        (b"null", None),
    ],
)
def test_an_odd_value_is_exact_or_costs_itself_alone(body: bytes, value: object) -> None:
    assert response(body).json() == value


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b")]}'\n{}",
        b"<html>login</html>",
        b'{"a":',
        b"{'a': 1}",
        b'{"a":1,}',
        b"{}{}",
        b"nan",
    ],
)
def test_what_is_no_json_is_an_invalid_response(body: bytes) -> None:
    assert why_refused(body) == "the response is not JSON"


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_a_response_without_a_body_is_an_invalid_response(body: bytes) -> None:
    assert why_refused(body) == "the response has no body"


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"\xef\xbb\xbf" + b"[" * 100_000, b'{"a":' * 100_000],
)
def test_a_body_that_is_nested_too_deeply_is_an_invalid_response(body: bytes) -> None:
    assert why_refused(body) == "the response is nested too deeply"


def why_refused(body: bytes) -> str:
    with pytest.raises(Failure) as caught:
        response(body).json()
    assert (caught.value.reason, caught.value.status) == (Reason.INVALID_RESPONSE, 200)
    assert caught.value.__context__ is None  # which would keep the body
    return caught.value.detail


@given(values(NUMBERS | TEXTS), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]))
def test_every_value_is_read_back_exactly(value: Any, encoding: str) -> None:
    assert response(json.dumps(value, ensure_ascii=False).encode(encoding)).json() == value


@given(values(st.floats() | st.sampled_from([nan, inf, -inf]) | st.text(max_size=8)))
def test_no_number_is_nan_or_infinite(value: Any) -> None:
    assert all(map(isfinite, numbers(response(json.dumps(value).encode()).json())))


@given(
    st.lists(st.binary(max_size=8) | st.sampled_from([*b'{}[]":,', b"NaN", b"1e999", b'{"a":'])),
    st.sampled_from(["", "utf-8", "utf-16", "iso-8859-1", "big5", "euc-jp", "shift_jis"]),
)
def test_no_body_however_odd_raises_anything_but_a_failure(pieces: list[bytes | int], charset: str) -> None:
    body = b"".join(piece if isinstance(piece, bytes) else bytes([piece]) for piece in pieces)
    with suppress(Failure):
        response(body, f"application/json; charset={charset}").json()


@pytest.mark.parametrize("entry", [b"{}", b"[]", b'{"a":1}', b"1", b'""', b"[[[[]]]]"])
def test_a_body_with_too_many_values_is_too_large(entry: bytes) -> None:
    with pytest.raises(Failure) as caught:
        response(b"[" + b",".join([entry] * (MAX_VALUES + 1)) + b"]").json()
    assert caught.value.reason is Reason.TOO_LARGE
    assert caught.value.detail == "the response has more than 250000 values"
    assert len(response(b"[" + b",".join([entry] * (MAX_VALUES // 10)) + b"]").json()) == MAX_VALUES // 10


def test_a_long_text_is_one_value() -> None:
    assert response(b'{"log":"' + b"x" * (4 << 20) + b'"}').json() == {"log": "x" * (4 << 20)}


def test_a_body_that_is_nested_too_deeply_is_invalid() -> None:
    for body in (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000):
        with pytest.raises(Failure, match="nested too deeply") as caught:
            response(body).json()
        assert caught.value.reason is Reason.INVALID_RESPONSE
