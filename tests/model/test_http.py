"""Headers out of raw lines, however odd."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.model.http import Headers, Response

RAW = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"\r\n", b" folded\r\n", b"A: b\r\n", b": c\r\n", b"a\r\n"]),
    ),
    max_size=12,
).map(b"".join)


@given(RAW)
def test_no_lines_raise_and_every_name_is_lower_case(raw: bytes) -> None:
    headers = Headers(raw)
    for name, value in headers.items():
        assert name == name.lower()
        assert headers.every(name)
        assert isinstance(value, str)
    assert len(headers) == len(list(headers))


TOKEN = st.text("abcdefXYZ-0123456789", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=10))
def test_well_formed_headers_are_read_as_written(pairs: list[tuple[str, str]]) -> None:
    lines = [b"HTTP/1.1 200 OK\r\n", *(f"{name}: {value}\r\n".encode() for name, value in pairs), b"\r\n"]
    headers = Headers(b"".join(lines))
    for name, _ in pairs:
        assert headers.every(name.lower()) == [value for key, value in pairs if key.lower() == name.lower()]
    assert set(headers) == {name.lower() for name, _ in pairs}


def test_a_folded_line_belongs_to_the_value_above() -> None:
    headers = Headers(b"HTTP/1.1 200 OK\r\nA: b\r\n\t c\r\n\r\n")
    assert headers["a"] == "b c"


def test_neither_cookies_nor_bodies_show_in_a_repr() -> None:
    headers = Headers(b"HTTP/1.1 200 OK\r\nSet-Cookie: s3cret\r\n\r\n")
    shown = repr(Response(200, b"t0ken", headers))
    assert "s3cret" not in shown
    assert "t0ken" not in shown
    assert "set-cookie" in shown


@given(RAW, st.sampled_from(["a: b", "http/", "c", "xyz"]))
def test_a_word_is_found_without_parsing_and_after_it(raw: bytes, word: str) -> None:
    headers = Headers(raw)
    found = headers.mention("no such word", word)
    assert found == (word.encode() in raw.lower())
    assert list(headers) == list(Headers(raw))
    assert headers.mention(word) == found


def test_a_304_replaces_headers_except_those_of_the_body() -> None:
    def headers(*lines: bytes) -> Headers:
        return Headers(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""]))

    stored = headers(b"Content-Type: application/json", b"Link: <a>", b"Age: 1", b"Link: <b>")
    newer = headers(b"Content-Type: text/html", b"Content-Length: 0", b"Age: 7", b"Date: now")
    assert dict(newer.over(stored)) == {
        "content-type": "application/json",
        "link": "<a>, <b>",
        "age": "7",
        "date": "now",
    }
    assert stored["age"] == "1"
