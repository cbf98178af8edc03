import json
import time
import traceback
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
from tests.auth.conftest import Server, sent

SecretFile = Callable[[str], dict[str, str]]

PASSWORD = "kept-to-ourselves"
TOKEN = "MIIF-token-kept-too"
URL = "https://iam.ap-southeast-3.myhuaweicloud.com/v3/auth/tokens"
NOON = 1_772_366_400.0  # 2026-03-01T12:00:00Z


def huawei(url: str = URL, clock: Callable[[], float] = lambda: NOON, **keys: Any) -> HuaweiToken:
    given = {
        "token_url": url,
        "username": "exporter",
        "password": PASSWORD,
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


def fault(credential: HuaweiToken, session: Session, now: float = 0.0) -> Failure:
    """The failure of a renewal; nothing in it, however it is printed, tells a secret."""
    with pytest.raises(Failure) as caught:
        credential.renew(session, now)
    failure = caught.value
    shown = "".join(traceback.format_exception(failure)) + repr(vars(failure))
    assert failure.reason is Reason.AUTH
    assert failure.__context__ is None
    assert not any(word in shown for word in (PASSWORD, TOKEN, "chatter"))
    return failure


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


def test_before_the_first_token_nothing_is_sent() -> None:
    with pytest.raises(Failure) as caught:
        sent(huawei())
    assert caught.value.reason is Reason.AUTH


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
        (7, 270),
        ("9999-12-31T23:59:59+14:00" * 9, 270),
    ],
)
def test_a_token_is_renewed_hours_before_it_ends(expires_at: object, kept: int) -> None:
    assert lives(issued(expires_at)) == pytest.approx(kept, abs=1)


def test_a_tokens_end_is_counted_by_the_endpoints_clock() -> None:
    credential = issued(iso(NOON + 86400), clock=lambda: NOON + 23 * 3600, date=formatdate(NOON, usegmt=True))
    assert lives(credential) == pytest.approx(77760, abs=1)


def test_a_refused_token_is_replaced_and_no_other_is_fetched_for_that_refusal(
    server: Server, session: Session
) -> None:
    issue(server, "t1")
    credential = huawei(server.url)
    credential.renew(session, 0)
    old = credential.version()
    assert credential.rejected(old)
    assert credential.must_renew(1)
    issue(server, "t2")
    credential.renew(session, 1)
    assert credential.rejected(old)
    assert not credential.must_renew(2)
    assert sent(credential)["X-Auth-Token"] == "t2"
    assert not credential.rejected(credential.version())


def test_a_token_does_not_outlive_the_password_it_came_from(
    server: Server, session: Session, secret_file: SecretFile
) -> None:
    issue(server, "t1")
    credential = huawei(server.url, password=secret_file("first"))
    credential.renew(session, 0)
    version = credential.version()
    secret_file("second")
    assert credential.version() != version
    assert credential.must_renew(1)
    issue(server, "t2")
    credential.renew(session, 1)
    users = [json.loads(asked.body)["auth"]["identity"]["password"]["user"] for asked in server.asked]
    assert [user["password"] for user in users] == ["first", "second"]


def test_a_token_is_kept_while_no_other_can_be_had(server: Server, session: Session) -> None:
    issue(server)
    credential = huawei(server.url)
    credential.renew(session, 0)
    server.answer({"error": {"code": 503}}, 503)
    assert credential.must_renew(80_000)
    fault(credential, session, 80_000)
    assert credential.valid(80_000)
    assert sent(credential)["X-Auth-Token"] == TOKEN
    assert not credential.valid(86_401)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"code": 401, "message": f"chatter {PASSWORD}", "title": "Unauthorized"}}),
        (400, {"error_code": "chatter"}),
        (200, {"token": {}}),
        (302, {}),
        (500, "chatter"),
    ],
)
def test_a_refusal_is_told_by_its_status_alone(
    status: int, body: object, server: Server, session: Session
) -> None:
    server.answer(body, status)
    server.headers = {"X-Subject-Token": TOKEN, "Location": f"{server.url}/chatter"}
    failure = fault(huawei(server.url), session)
    assert failure.detail == f"could not get a token from {server.host}: HTTP status {status}"
    assert failure.status == status
    assert len(server.asked) == 1


@pytest.mark.parametrize("token", ["", " ", "chatter with spaces", "chatter\u0080", "a" * (64 * 1024 + 1)])
def test_an_answer_without_a_usable_token_is_a_failure(token: str) -> None:
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(URL, status=201, json={}, headers={"X-Subject-Token": token})
        assert "X-Subject-Token" in fault(huawei(), session).detail
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(URL, status=201, json={})
        assert "X-Subject-Token" in fault(huawei(), session).detail


def test_an_endpoint_that_hangs_is_given_up(server: Server, impatient: Session) -> None:
    server.hang.clear()
    assert "timed out" in fault(huawei(server.url), impatient).detail


def test_a_password_that_is_no_text_is_a_failure(session: Session) -> None:
    fault(huawei(password=f"{PASSWORD}\ud800"), session)


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
    assert PASSWORD not in str(caught.value)


@given(
    status=st.sampled_from([201, 201, 200, 401]),
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
    assert status == 201
    assert sent(credential)["X-Auth-Token"] == token.strip()
    assert not credential.must_renew(0.4)
    assert credential.must_renew(86400)
