"""Prepared requests are kept, limited in bytes."""

from typing import cast

import pytest
from requests import PreparedRequest

from exporter.auth.credential import Credential
from exporter.model.http import Request
from exporter.upstream import prepared
from exporter.upstream.prepared import OVERHEAD, USUAL_BYTES, PreparedRequests


class Token:
    """A credential that sets a token of a certain length."""

    signs = False

    def __init__(self, length: int = 10) -> None:
        self._length = length

    def apply(self, request: PreparedRequest) -> None:
        request.headers["Authorization"] = "x" * self._length


def requests_with(token: Token) -> PreparedRequests:
    return PreparedRequests("https://example.com", {}, cast("Credential", token))


@pytest.fixture(autouse=True)
def _for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "MIN_KEPT", 20)


USUAL = [Request(f"/jobs/{number}") for number in range(20)]
LONG = [Request(f"/jobs/{number}{'x' * USUAL_BYTES}") for number in range(20)]
LARGE = [Request(f"/jobs/{number}", method="POST", body=b"x" * USUAL_BYTES * 2) for number in range(20)]


@pytest.mark.parametrize(
    ("kinds", "token", "at_most"),
    [(USUAL, 10, 20), (LONG, 10, 8), (LARGE, 10, 8), (USUAL, USUAL_BYTES * 2, 8)],
)
def test_the_newest_requests_are_kept_as_far_as_they_fit(
    kinds: list[Request], token: int, at_most: int
) -> None:
    requests = requests_with(Token(token))
    first = [requests.with_credential(request, 1) for request in kinds]
    kept = 0
    for request, before in zip(reversed(kinds), reversed(first), strict=True):
        if requests.with_credential(request, 1) is not before:
            break
        kept += 1
    assert at_most // 2 < kept <= at_most


def test_a_request_that_fits_nowhere_is_sent_all_the_same() -> None:
    requests, huge = requests_with(Token()), Request("/x", method="POST", body=b"x" * USUAL_BYTES * 21)
    for _ in range(2):
        assert requests.with_credential(huge, 1).body == huge.body


def test_a_new_version_of_the_credential_takes_the_place_of_the_old_one() -> None:
    requests = requests_with(Token())
    for version in range(USUAL_BYTES * 20 // OVERHEAD + 5):
        last = [requests.with_credential(request, version) for request in USUAL[:2]]
    assert [requests.with_credential(request, version) for request in USUAL[:2]] == last
