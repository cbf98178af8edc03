"""``Set-Cookie`` is read as browsers read it, also where a line is odd."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.auth.set_cookie import parse

NOW = 1_772_366_400.0  # 2026-03-01T12:00:00Z
URL = "https://auth.example.com/login"


@pytest.mark.parametrize(
    ("attributes", "ended"),
    [
        ("", False),
        ("; Max-Age=3600", False),
        ("; Max-Age=0", True),
        ("; max-age=-1", True),
        ("; Max-Age=", False),
        ("; Max-Age=3600.0", False),
        ("; Max-Age=soon", False),
        ('; Max-Age="60"', False),
        ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT", True),
        ("; Expires=Thu, 01-Jan-1970 00:00:01 GMT", True),
        ("; Expires=Sun, 01 Mar 2026 12:00:01 GMT", False),
        ("; Expires=Sun, 01 Mar 2026 12:00:00 GMT", True),
        ("; Expires=never", False),
        ("; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
        ("; Max-Age=soon; Expires=Thu, 01 Jan 1970 00:00:00 GMT", True),
        ("; Max-Age=0; Max-Age=60", False),
        ("; unknown; HttpOnly; SameSite=Lax; =; Path", False),
    ],
)
def test_a_cookie_has_ended_by_its_age_or_its_end(attributes: str, *, ended: bool) -> None:
    cookie = parse(f"session = s1 {attributes}", URL, NOW)
    assert cookie is not None
    assert (cookie.name, cookie.value, cookie.ended) == ("session", "s1", ended)


@pytest.mark.parametrize(
    ("url", "attributes", "sent_to", "not_sent_to"),
    [
        (URL, "", ["https://auth.example.com:8443/x", "http://auth.example.com"], ["https://example.com"]),
        (
            URL,
            "; Domain=.Example.com",
            ["https://example.com", "https://jobs.example.com"],
            ["https://badexample.com", "https://example.org"],
        ),
        ("http://localhost:1", "; Domain=localhost", ["http://localhost:2"], ["http://other"]),
        ("http://studio:8080", "; Domain=studio", ["http://studio"], ["http://site"]),
        ("http://10.0.0.1", "; Domain=10.0.0.1", ["http://10.0.0.1:80"], ["http://10.0.0.2"]),
        (URL, "; Domain=", ["https://auth.example.com"], ["https://example.com"]),
        (URL, "; Secure", ["https://auth.example.com"], ["http://auth.example.com"]),
        ("http://auth.example.com", "; Secure", ["http://auth.example.com"], []),
        (URL, "; Domain=example.com; secure", ["https://jobs.example.com"], ["http://jobs.example.com"]),
    ],
)
def test_a_cookie_is_for_its_host_or_its_domain_and_a_secure_one_for_https(
    url: str, attributes: str, sent_to: list[str], not_sent_to: list[str]
) -> None:
    cookie = parse(f"session=s1{attributes}", url, NOW)
    assert cookie is not None
    assert [to for to in (*sent_to, *not_sent_to) if cookie.is_for(to)] == sent_to


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (URL, ""),
        (URL, "session"),
        (URL, " =s1"),
        (URL, "session=s1; Domain=com"),
        (URL, "session=s1; Domain=jobs.example.com"),
        (URL, "session=s1; Domain=other.org"),
        ("http://10.0.0.1", "session=s1; Domain=0.0.1"),
        ("http://studio", "session=s1; Domain=dio"),
    ],
)
def test_a_cookie_that_the_host_may_not_set_is_none(url: str, line: str) -> None:
    assert parse(line, url, NOW) is None


words = st.sampled_from(
    ["Max-Age", "expires", "Domain", "Secure", "=", ";", " ", "example.com", "-1", "9" * 20]
)


@given(
    st.lists(words | st.text(max_size=8), max_size=12).map("".join), st.sampled_from([URL, "http://a", ""])
)
def test_any_line_is_a_cookie_of_this_host_or_none(line: str, url: str) -> None:
    cookie = parse(line, url, NOW)
    if cookie is not None:
        assert cookie.name
        assert f"{cookie.value}" in line
        assert not cookie.is_for("https://elsewhere.test")
