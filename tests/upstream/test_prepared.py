"""Requests as they are sent: the URL, and headers that are made once for all requests that have the same."""

from collections import Counter
from typing import cast

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from exporter.auth.credential import Credential
from exporter.model.http import Request
from exporter.providers.base import path
from exporter.transport import Outgoing, lines_of, prepared_base
from exporter.upstream import prepared
from exporter.upstream.prepared import PreparedRequests


class Token:
    """A credential that sets a token."""

    def __init__(self, *, signs: bool = False) -> None:
        self.signs = signs
        self.applied = 0

    def apply(self, request: Outgoing) -> None:
        self.applied += 1
        request.headers["authorization"] = f"token {self.applied}"


def requests_with(token: Token, url: str = "https://example.com", **headers: str) -> PreparedRequests:
    return PreparedRequests(url, headers, cast("Credential", token))


JOBS = [Request(f"/jobs/{number}") for number in range(5)]


def test_a_credential_is_applied_once_for_requests_with_the_same_headers() -> None:
    token = Token()
    made = requests_with(token)
    first = [made.with_credential(job, 1) for job in JOBS]
    assert [each.url for each in first] == [f"https://example.com{job.path}" for job in JOBS]
    assert {tuple(lines_of(each)) for each in first} == {(b"authorization: token 1",)}
    assert lines_of(made.with_credential(JOBS[0], 2)) == [b"authorization: token 2"]
    assert lines_of(made.with_credential(JOBS[1], 2)) == [b"authorization: token 2"]
    assert token.applied == 2


def test_a_signature_is_made_for_each_request_sent() -> None:
    token = Token(signs=True)
    made = requests_with(token)
    sent = [made.with_credential(JOBS[0], 1) for _ in range(2)]
    assert [each.headers["Authorization"] for each in sent] == ["token 1", "token 2"]


def test_headers_of_a_request_override_those_of_the_system_in_any_case() -> None:
    made = requests_with(Token(), Accept="application/json", **{"X-Team": "web"})
    request = Request("/a", headers=(("accept", "text/html"),), method="POST", body=b"{}")
    plain, sent = made.without_credential(request), made.with_credential(request, 1)
    assert dict(plain.headers) == {"accept": "text/html", "X-Team": "web", "Content-Length": "2"}
    assert dict(sent.headers) == {**plain.headers, "authorization": "token 1"}
    assert (sent.method, sent.body) == ("POST", b"{}")
    # libcurl sets the length.
    assert [*lines_of(sent)] == [b"accept: text/html", b"X-Team: web", b"authorization: token 1"]


def test_requests_with_different_headers_are_right_whatever_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepared, "MAX_HEADS", 3)
    made = requests_with(Token())
    several = [Request("/a", headers=(("X-Number", str(number)),)) for number in range(10)]
    for _ in range(2):
        found = Counter(made.with_credential(each, 1).headers["x-number"] for each in several)
        assert found == Counter(map(str, range(10)))


def test_a_copy_has_headers_of_its_own() -> None:
    made = requests_with(Token())
    sent = made.with_credential(JOBS[0], 1)
    copy = sent.copy()
    copy.headers["If-None-Match"] = '"1"'
    assert [*lines_of(copy)] == [*lines_of(sent), b'If-None-Match: "1"']
    assert "If-None-Match" not in made.with_credential(JOBS[0], 1).headers
    del copy.headers["if-none-match"]
    assert copy.headers == sent.headers


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    segments=st.lists(TEXT.filter(lambda text: text not in (".", "..")), min_size=1, max_size=3), value=TEXT
)
def test_what_providers_encode_is_what_requests_would_send(segments: list[str], value: str) -> None:
    request = Request(path(*segments, more=value))
    url = requests_with(Token(), "https://example.com/api").without_credential(request).url
    assert url == requests.Request("GET", url).prepare().url


@pytest.mark.parametrize(
    "url",
    [
        "http://ci.example.com",
        "HTTPS://CI.example.com:8443/Api/v1",
        "https://bücher.example/straße",
        "http://[::1]:8080/a b",
        "http://10.0.0.1/%7Ea%20b",
    ],
)
def test_a_base_url_is_encoded_as_by_requests(url: str) -> None:
    theirs = requests.Request("GET", f"{url}/x").prepare().url or ""
    assert prepared_base(f"{url}/x") == theirs.replace("~", "%7E")


def test_a_sign_of_percent_in_a_base_url_that_encodes_nothing_is_encoded() -> None:
    assert prepared_base("https://example.com/50%/%zz/%41") == "https://example.com/50%25/%25zz/%41"
