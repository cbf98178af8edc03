"""The simulated IAM and gateway, asked by a signer that was written from the vendor's pages alone."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pytest
import requests

from exporter.simulator.huawei import TEMPORARY, USER, WITHOUT_RIGHTS, User
from exporter.simulator.responses import MAX_BODY
from tests.simulator.conftest import NOON, Simulated, password_of

TOKENS = "/iam/v3/auth/tokens"


def running_status(simulated: Simulated, **headers: str) -> requests.Response:
    job_id = simulated.keys("builds", "Web shop")["job_id"]
    return simulated.get(f"/codearts/v1/job/{job_id}/running-status", headers=headers)


def sign(
    simulated: Simulated,
    user: User = USER,
    more: Mapping[str, str] = MappingProxyType({}),
    *,
    date: str = "",
    path: str = "",
) -> dict[str, str]:
    """The headers of a signed request for the status of the web shop."""
    job_id = simulated.keys("builds", "Web shop")["job_id"]
    path = path or f"/codearts/v1/job/{job_id}/running-status"
    date = date or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(simulated.clock.now))
    signed = {"host": simulated.base_url.removeprefix("http://"), "x-sdk-date": date, **more}
    names = ";".join(sorted(signed))
    headers = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = f"GET\n{quote(path)}/\n\n{headers}\n{names}\n{hashlib.sha256(b'').hexdigest()}"
    text = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(user.secret_key.encode(), text.encode(), "sha256").hexdigest()
    proof = f"SDK-HMAC-SHA256 Access={user.access_key}, SignedHeaders={names}, Signature={signature}"
    del signed["host"]
    return {"Authorization": proof, **signed}


def refusal(response: requests.Response) -> tuple[int, str, str]:
    body = response.json()
    assert set(body) == {"error_msg", "error_code", "request_id"}
    return response.status_code, body["error_code"], body["error_msg"].rpartition(": ")[2]


def test_a_signed_request_is_let_in(simulated: Simulated) -> None:
    assert running_status(simulated, **sign(simulated)).status_code == 200
    with_project = sign(simulated, more={"x-project-id": "p1"})
    assert running_status(simulated, **with_project).status_code == 200


def test_temporary_keys_need_their_security_token(simulated: Simulated) -> None:
    token = {"x-security-token": str(TEMPORARY.security_token)}
    assert running_status(simulated, **sign(simulated, TEMPORARY, token)).status_code == 200
    for more in ({}, {"x-security-token": "other"}):
        response = running_status(simulated, **sign(simulated, TEMPORARY, more))
        assert refusal(response) == (401, "APIGW.0301", "verify aksk signature fail")


@pytest.mark.parametrize(("seconds", "status"), [(-901, 401), (-900, 200), (0, 200), (900, 200), (901, 401)])
def test_a_signature_more_than_a_quarter_of_an_hour_off_has_expired(
    simulated: Simulated, seconds: int, status: int
) -> None:
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOON + seconds))
    response = running_status(simulated, **sign(simulated, date=date))
    assert response.status_code == status
    if status == 401:
        assert refusal(response)[1:] == ("APIGW.0301", "calc ak sk signature fail:signature expired")


@pytest.mark.parametrize(
    "change",
    [
        {"X-Sdk-Date": "20260301T120001Z"},
        {"X-Sdk-Date": "yesterday"},
        {"X-Sdk-Date": "20269901T120000Z"},
        {"Host": "elsewhere.example"},
        {"Authorization": "SDK-HMAC-SHA256"},
        {"Authorization": "SDK-HMAC-SHA256 Access=x, SignedHeaders=host;x-sdk-date, Signature=0"},
    ],
)
def test_a_request_that_is_not_what_was_signed_is_refused(
    simulated: Simulated, change: dict[str, str]
) -> None:
    right = {name.title(): value for name, value in sign(simulated).items()}
    response = running_status(simulated, **{**right, **change})
    assert refusal(response) == (401, "APIGW.0301", "verify aksk signature fail")


def test_a_signature_of_another_path_key_or_set_of_headers_is_refused(simulated: Simulated) -> None:
    wrong = User("x", "x", USER.access_key, "wrong")
    for headers in (
        sign(simulated, path="/codearts/v1/other"),
        sign(simulated, wrong),
        {**sign(simulated, more={"x-project-id": "p1"}), "x-project-id": "p2"},
    ):
        assert refusal(running_status(simulated, **headers))[2] == "verify aksk signature fail"
    missing = sign(simulated, more={"x-project-id": "p1"})
    del missing["x-project-id"]
    assert refusal(running_status(simulated, **missing))[2] == "verify aksk signature fail"
    unsigned = sign(simulated)
    unsigned["Authorization"] = unsigned["Authorization"].replace("host;x-sdk-date", "host")
    assert refusal(running_status(simulated, **unsigned))[2] == "verify aksk signature fail"
    stranger = User("x", "x", "NOBODY", "x")
    assert "ak not exist" in refusal(running_status(simulated, **sign(simulated, stranger)))[2]


def test_a_token_is_told_in_a_header_and_holds_a_day(simulated: Simulated) -> None:
    answer = simulated.session.post(simulated.base_url + TOKENS, json=password_of(USER), timeout=60)
    assert answer.status_code == 201
    ends = datetime.fromisoformat(answer.json()["token"]["expires_at"]).timestamp()
    assert ends == NOON + 86400
    token = answer.headers["X-Subject-Token"]
    simulated.clock.now = ends - 1
    assert running_status(simulated, **{"X-Auth-Token": token}).status_code == 200
    simulated.clock.now = ends
    expired = running_status(simulated, **{"X-Auth-Token": token})
    assert refusal(expired) == (401, "APIGW.0301", "decrypt token fail")


def test_without_token_or_rights_nobody_is_let_in(simulated: Simulated) -> None:
    assert refusal(running_status(simulated)) == (401, "APIGW.0301", "token is missing")
    assert refusal(running_status(simulated, **{"X-Auth-Token": "x"}))[2] == "decrypt token fail"
    for headers in (
        {"X-Auth-Token": simulated.iam_token(WITHOUT_RIGHTS)},
        {"X-Auth-Token": simulated.iam_token(USER, None)},
        sign(simulated, WITHOUT_RIGHTS),
    ):
        assert refusal(running_status(simulated, **headers))[:2] == (403, "APIGW.0302")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (password_of(User(USER.name, "wrong", "", "")), 401),
        (password_of(User("nobody", USER.password, "", "")), 401),
        (password_of(USER, "eu-west-0"), 401),
        ({"auth": {"identity": {"methods": ["totp"], "password": {"user": {}}}}}, 400),
        ({"auth": []}, 400),
        ([], 400),
        ({"auth": "x" * MAX_BODY}, 413),
    ],
)
def test_the_token_endpoint_refuses_as_the_vendor_does(simulated: Simulated, asked: Any, status: int) -> None:
    answer = simulated.session.post(simulated.base_url + TOKENS, json=asked, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, status)


def test_only_json_that_is_posted_is_taken(simulated: Simulated) -> None:
    url, right = simulated.base_url + TOKENS, {"Content-Type": "application/json"}
    assert simulated.session.post(url, data={"auth": "x"}, timeout=60).status_code == 415
    assert simulated.session.post(url, data=b"{", headers=right, timeout=60).status_code == 400
    assert simulated.session.post(url, data=b"[" * 10_000, headers=right, timeout=60).status_code == 400
    assert simulated.get(TOKENS).status_code == 405
