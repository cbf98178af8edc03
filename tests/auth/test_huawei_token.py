import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from requests import Session

from exporter.auth.huawei_token import HuaweiToken, HuaweiTokenKeys
from exporter.model.failure import Failure, Reason
from tests.auth.conftest import SECRET, TOKEN, Server, renewal_failure, sent

SecretFile = Callable[[str], dict[str, str]]

URL = "https://iam.ap-southeast-3.myhuaweicloud.com/v3/auth/tokens"
NOON = 1_772_366_400.0  # 2026-03-01T12:00:00Z


def huawei(url: str = URL, clock: Callable[[], float] = lambda: NOON, **keys: Any) -> HuaweiToken:
    given = {
        "token_url": url,
        "username": "exporter",
        "password": SECRET,
        "domain": "account",
        "project": "ap-southeast-3",
        **keys,
    }
    return HuaweiToken(HuaweiTokenKeys.model_validate({"type": "huawei_token", **given}), clock)


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def issue(server: Server, token: str = TOKEN) -> None:
    """The server hands out this token, which ends in a day."""
    server.answer({"token": {"expires_at": iso(time.time() + 86400), "methods": ["password"]}}, 201)
    server.headers = {"X-Subject-Token": token}


def issued(expires_at: object, *, clock: Callable[[], float] = lambda: NOON, date: str = "") -> HuaweiToken:
    """A credential that got its token at 0 from an endpoint that told this."""
    credential = huawei(clock=clock)
    body = {"token": {"expires_at": expires_at}}
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(URL, status=201, json=body, headers={"X-Subject-Token": TOKEN, "Date": date})
        credential.renew(session, 0)
    return credential


def lives(credential: HuaweiToken) -> float:
    """For how many seconds from 0 the token is kept."""
    low, high = 0.0, 200_000.0
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (low, middle) if credential.must_renew(middle) else (middle, high)
    return round(high)


def test_a_password_becomes_a_token_that_is_sent_as_it_is(server: Server, session: Session) -> None:
    issue(server)
    credential = huawei(f"{server.url}/v3/auth/tokens", password='pä€"ss')
    assert credential.must_renew(0)
    credential.renew(session, 0)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/v3/auth/tokens")
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {"name": "exporter", "password": 'pä€"ss', "domain": {"name": "account"}}
                },
            },
            "scope": {"project": {"name": "ap-southeast-3"}},
        }
    }
    assert not credential.must_renew(0)
    headers = sent(credential)
    assert headers["X-Auth-Token"] == TOKEN
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("expires_at", "kept"),
    [
        (iso(NOON + 86400), 77760),
        (iso(NOON + 3600), 3240),
        ("2026-03-02T20:00:00+08:00", 77760),
        ("2026-03-02T12:00:00", 77760),
        (iso(NOON + 10 * 86400), 77760),
        (iso(NOON - 60), 270),
        ("soon", 270),
        ([7], 270),
        ("9999-12-31T23:59:59+14:00" * 9, 270),
    ],
)
def test_a_token_is_renewed_hours_before_it_ends(expires_at: object, kept: int) -> None:
    assert lives(issued(expires_at)) == pytest.approx(kept, abs=1)


def test_a_tokens_end_is_counted_by_the_endpoints_clock() -> None:
    credential = issued(iso(NOON + 86400), clock=lambda: NOON + 23 * 3600, date=formatdate(NOON, usegmt=True))
    assert lives(credential) == pytest.approx(77760, abs=1)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"code": 401, "message": f"chatter {SECRET}", "title": "Unauthorized"}}),
        (400, {"error_code": "chatter"}),
        (304, {"token": {}}),
        (302, {}),
        (500, "chatter"),
    ],
)
def test_a_refusal_is_told_by_its_status_alone(
    status: int, body: object, server: Server, session: Session
) -> None:
    server.answer(body, status)
    server.headers = {"X-Subject-Token": TOKEN, "Location": f"{server.url}/chatter"}
    failure = renewal_failure(huawei(server.url), session)
    assert failure.detail == f"could not get a token from {server.host}: HTTP status {status}"
    assert failure.status == status
    assert len(server.asked) == 1


@pytest.mark.parametrize("token", ["", " ", "chatter with spaces", "chatter\u0080", "a" * (64 * 1024 + 1)])
def test_an_answer_without_a_usable_token_is_a_failure(token: str) -> None:
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(URL, status=201, json={}, headers={"X-Subject-Token": token})
        assert "X-Subject-Token" in renewal_failure(huawei(), session).detail
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(URL, status=201, json={})
        assert "X-Subject-Token" in renewal_failure(huawei(), session).detail


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"token_url": "iam.example.com"}, "scheme"),
        ({"username": ""}, "username"),
        ({"password": ""}, "must not be empty"),
        ({"domain": ""}, "domain"),
        ({"project": ""}, "project"),
    ],
)
def test_odd_keys_are_refused(keys: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        huawei(**keys)
    assert complaint in str(caught.value)
    assert SECRET not in str(caught.value)


@given(
    status=st.sampled_from([201, 201, 200, 302, 401]),
    token=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20),
    body=st.binary() | st.text().map(lambda text: json.dumps({"token": {"expires_at": text}}).encode()),
    date=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40),
)
def test_an_answer_however_odd_is_a_token_or_a_failure(
    status: int, token: str, body: bytes, date: str
) -> None:
    credential = huawei()
    headers = {"X-Subject-Token": token, "Date": date}
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(URL, status=status, body=body, headers=headers)
        try:
            credential.renew(session, 0)
        except Failure as failure:
            assert failure.reason is Reason.AUTH  # noqa: PT017  one of two ends
            assert credential.must_renew(0)
            return
    assert status in (200, 201)
    assert sent(credential)["X-Auth-Token"] == token.strip()
    assert not credential.must_renew(0.4)
    assert credential.must_renew(86400)
