"""What is signed is what arrives: checked by a verifier that knows only the bytes on the wire."""

import hashlib
import hmac
import logging
import re
import time
import traceback
from calendar import timegm
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from requests import Request, Session

from exporter.auth.huawei_aksk import HuaweiAkSk, HuaweiAkSkKeys
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.clock import SYSTEM_CLOCK
from exporter.model.failure import Failure, Reason
from exporter.model.job import Job, Kind
from exporter.providers.base import path
from exporter.providers.codearts import CodeArts, CodeArtsOptions
from exporter.transport import ConnectionSettings
from exporter.upstream.client import Client, ClientSettings
from exporter.upstream.reading import Upstream
from tests.auth.conftest import Server
from tests.vendor import Asked, Told, vendor

SecretFile = Callable[[str], dict[str, str]]

# The pair of keys, the moment and the two signatures of the vendor's SDK's own tests.
ACCESS_KEY, SECRET_KEY = "AccessKey", "SecretKey"
PUBLISHED_AT = timegm((2020, 6, 8, 2, 39, 0))
PUBLISHED_URL = "https://service.endpoint.myhuaweicloud.com/resources?size=1"
GET_SIGNATURE = "cfb4171acec81de07d50e53d57eb77edd537414d66ddb1d7d780f128e12cd842"
POST_SIGNATURE = "436b1ac0a1ae03705934bb70ef2f2e09f7bfed2117d731a38235053199323a1f"
NOON = 1_772_366_400.0  # 2026-03-01T12:00:00Z
JOB_ID = "48c66c6002964721be537cdc6ce0297b"
PROOF = re.compile(r"SDK-HMAC-SHA256 Access=(.+), SignedHeaders=(.+), Signature=([0-9a-f]{64})")


def aksk(clock: Callable[[], float] = lambda: NOON, /, **keys: Any) -> HuaweiAkSk:
    given = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, **keys}
    return HuaweiAkSk(HuaweiAkSkKeys.model_validate({"type": "huawei_aksk", **given}), clock)


def signed(credential: HuaweiAkSk, url: str = PUBLISHED_URL, method: str = "GET", body: str = "") -> Any:
    request = Request(method, url, data=body).prepare()
    credential.apply(request)
    return request.headers


def error(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        aksk(**keys)
    return str(caught.value)


def what_was_signed(target: str, headers: Mapping[str, str], names: str, body: bytes = b"") -> str:
    """The canonical request, from the request line and the headers as they arrived."""
    raw_path, _, raw_query = target.partition("?")
    # As the vendor's gateway sees a path: decoded first, divided then.
    uri = b"/".join(quote(part, safe="~").encode() for part in unquote_to_bytes(raw_path).split(b"/"))
    pairs = []
    for pair in raw_query.split("&") if raw_query else []:
        name, _, value = pair.replace("+", "%20").partition("=")
        pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(pairs))
    lines = ["GET", uri.decode() + ("" if uri.endswith(b"/") else "/"), query]
    lines += [f"{name}:{headers[name]}" for name in names.split(";")]
    return "\n".join([*lines, "", names, hashlib.sha256(body).hexdigest()])


def fault(target: str, headers: Mapping[str, str], *, now: float, secret_key: str = SECRET_KEY) -> str:
    """Why the gateway refuses a request; empty if it does not."""
    proof = PROOF.fullmatch(headers.get("authorization", ""))
    if proof is None:
        return "no signature"
    access_key, names, signature = proof.groups()
    if access_key != ACCESS_KEY or not {"host", "x-sdk-date"} <= set(names.split(";")):
        return "other names"
    date = headers["x-sdk-date"]
    if abs(timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")) - now) > 15 * 60:
        return "signature expired"
    digest = hashlib.sha256(what_was_signed(target, headers, names).encode()).hexdigest()
    text = f"SDK-HMAC-SHA256\n{date}\n{digest}"
    right = hmac.new(secret_key.encode(), text.encode(), "sha256").hexdigest()
    return "" if signature == right else "verify aksk signature fail"


@pytest.mark.parametrize(
    ("method", "body", "signature"),
    [("GET", "", GET_SIGNATURE), ("POST", '{"name":"test","id":1}', POST_SIGNATURE)],
)
def test_the_published_signatures_are_made(method: str, body: str, signature: str) -> None:
    headers = signed(aksk(lambda: PUBLISHED_AT), method=method, body=body)
    assert headers["X-Sdk-Date"] == "20200608T023900Z"
    assert headers["Host"] == "service.endpoint.myhuaweicloud.com"
    assert headers["Authorization"] == (
        f"SDK-HMAC-SHA256 Access=AccessKey, SignedHeaders=host;x-sdk-date, Signature={signature}"
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://builds.example.com/", "builds.example.com"),
        ("https://builds.example.com:443/", "builds.example.com"),
        ("https://Builds.Example.com:8443/", "builds.example.com:8443"),
        ("https://builds.example.com:80/", "builds.example.com:80"),
        ("http://builds.example.com:80/", "builds.example.com"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_the_host_has_its_port_only_where_it_is_not_the_schemes_own(url: str, host: str) -> None:
    assert signed(aksk(), url)["Host"] == host


ODD_TARGETS = [
    "/",
    "/v1/job/a/",
    "/v1/job/a%2Fb/running-status",
    "/v1/job/%252F/x",
    "/v1/job/ä b~c-d_e.f/€",
    "/v1/job/*'();:@&=$,!+",
    "/v1/a//b",
    "/v1/%FF%fe",
    "/list?page_size=100&page_index=0",
    "/list?b=2&a=1&a=0&A=3&a-b=1&ab=1&a=",
    "/list?search=a+b%20c%2B&x=%2F%3D%26&y=ä€&z",
    "/list?%C3%A4=1&z=~*'()!",
    "/list?q=%FF&q=%E4",
]


@pytest.mark.parametrize("target", ODD_TARGETS)
def test_what_is_signed_is_what_arrives(target: str, server: Server, session: Session) -> None:
    session.get(server.url + target, auth=aksk())
    (asked,) = server.asked
    assert fault(asked.path, asked.headers, now=NOON) == ""
    assert asked.headers["host"] == server.url.removeprefix("http://")
    assert fault(asked.path + "x", asked.headers, now=NOON) == "verify aksk signature fail"
    assert fault(asked.path, asked.headers, now=NOON, secret_key="other") == "verify aksk signature fail"


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(segments=st.lists(TEXTS, min_size=1, max_size=4), query=st.dictionaries(TEXTS, TEXTS, max_size=4))
@example(segments=["a/b", "%2F", "ä ö"], query={"a b": "c&d=e", "€": "+%20/", "a-b": "~"})
def test_any_key_in_any_place_is_signed_as_it_arrives(
    segments: list[str], query: dict[str, str], server: Server, session: Session
) -> None:
    server.asked.clear()
    # Refused as key values: clients fold such segments away.
    segments = [segment for segment in segments if segment not in (".", "..")] or ["x"]
    session.get(server.url + path(*segments, **query), auth=aksk())
    (asked,) = server.asked
    assert fault(asked.path, asked.headers, now=NOON) == ""


def test_temporary_keys_and_a_project_are_signed_too(server: Server, session: Session) -> None:
    session.get(server.url + "/x", auth=aksk(security_token="tok+en/==", project_id="8d2a"))
    (asked,) = server.asked
    assert asked.headers["x-security-token"] == "tok+en/=="
    assert asked.headers["x-project-id"] == "8d2a"
    assert "SignedHeaders=host;x-project-id;x-sdk-date;x-security-token," in asked.headers["authorization"]
    assert fault(asked.path, asked.headers, now=NOON) == ""


@pytest.mark.parametrize("key", ["access_key", "secret_key", "security_token"])
def test_a_key_that_changes_signs_the_next_request_and_makes_asking_again_worth_it(
    key: str, secret_file: SecretFile
) -> None:
    credential = aksk(**{key: secret_file("first")})
    first, version = dict(signed(credential)), credential.version()
    assert not credential.rejected(version)
    secret_file("second")
    assert credential.rejected(version)
    second = signed(credential)
    assert second["Authorization"] != first["Authorization"]
    assert credential.version() != version


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("access_key", "hidden key"),
        ("access_key", "hidden,Signature=x"),
        ("access_key", "hidden\r\nX-Other: y"),
        ("access_key", "hidden€"),
        ("access_key", "hidden" * 30),
        ("security_token", "hidden\n"),
        ("security_token", "hiddenä"),
        ("security_token", "hidden" * 3000),
    ],
)
def test_a_key_that_breaks_a_header_is_refused_at_load_and_later(
    key: str, value: str, secret_file: SecretFile
) -> None:
    complaint = error(**{key: value})
    assert "visible ASCII" in complaint
    assert "hidden" not in complaint
    credential = aksk(**{key: secret_file("good")})
    secret_file(value + "\n")
    with pytest.raises(Failure) as caught:
        signed(credential)
    assert caught.value.reason is Reason.AUTH
    assert caught.value.__context__ is None
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_a_secret_key_that_is_no_text_is_a_failure_that_does_not_show_it() -> None:
    with pytest.raises(Failure) as caught:
        signed(aksk(secret_key="hidden\ud800"))
    assert caught.value.reason is Reason.AUTH
    assert caught.value.__context__ is None


@pytest.mark.parametrize("project_id", ["", "a b", "a\n", "é", "x" * 65])
def test_an_odd_project_id_is_refused(project_id: str) -> None:
    assert "project id" in error(project_id=project_id)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (0, ""),
        (13 * 60, ""),
        (-13 * 60, ""),
        (16 * 60, "16 minutes ahead of"),
        (-3600, "60 minutes behind"),
        (5 * 3600, "5 hours ahead of"),
        (-3 * 86400, "3 days behind"),
    ],
)
def test_a_clock_that_is_off_is_told_with_by_how_much(ahead: float, words: str) -> None:
    told = aksk(lambda: NOON + ahead).explain({"date": formatdate(NOON, usegmt=True)})
    assert words in told
    assert bool(told) is bool(words)


@given(st.text() | st.from_regex(r"\w{3}, \d{1,3} (Jan|Mar|X) \d{1,6} \d\d:\d\d:\d\d( GMT| -0000)?"))
def test_no_date_however_odd_does_any_harm(text: str) -> None:
    assert isinstance(aksk().explain({"date": text}), str)
    assert aksk().explain({}) == ""


@asynccontextmanager
async def reading(credential: HuaweiAkSk, url: str) -> Any:
    """Reads one finished build through everything between a scrape and the wire."""
    client = Client(
        ClientSettings(f"{url}/some/path", {"X-Team": "builds"}, timeout=3, concurrency=2),
        credential=credential,
        connection=ConnectionSettings(),
        instrumentation=Instrumentation("0").of("builds"),
        clock=SYSTEM_CLOCK,
    )
    upstream = Upstream(CodeArts(CodeArtsOptions()), client)
    keys = {"job_id": JOB_ID, "build_no": "7"}
    job = Job(system="builds", id=f"{JOB_ID}/7", kind=Kind.RUN, provider="codearts", keys=keys)

    async def read() -> Any:
        return await upstream.read(job, None)

    try:
        yield read
    finally:
        await upstream.close(grace=0)


RECORD = {
    "result": {"state": "SUCCESS", "job_running_status": "Finished"},
    "error": None,
    "status": "success",
}


async def test_every_send_is_signed_anew_though_its_request_is_kept() -> None:
    now = NOON
    faults = []

    def answer(asked: Asked) -> Told:
        faults.append(fault(asked.path, asked.headers, now=now))
        return Told(RECORD) if not faults[-1] else Told({"error_code": "APIGW.0301"}, 401)

    async with vendor(answer) as huawei, reading(aksk(lambda: now), huawei.url) as read:
        for _ in range(3):
            assert (await read()).failure is None
            now += 16 * 60
        assert faults == ["", "", ""]
        assert len({asked.path for asked in huawei.asked}) == 1
        assert len({asked.headers["x-sdk-date"] for asked in huawei.asked}) == 3
        assert {asked.headers["x-team"] for asked in huawei.asked} == {"builds"}


async def test_a_clock_that_is_off_is_the_reason_shown_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    now = NOON + 47 * 60

    def answer(asked: Asked) -> Told:
        right = not fault(asked.path, asked.headers, now=NOON)
        told = RECORD if right else {"error_code": "APIGW.0301", "error_msg": "hidden"}
        return Told(told, 200 if right else 401, {"Date": formatdate(NOON, usegmt=True)})

    async with vendor(answer) as huawei, reading(aksk(lambda: now), huawei.url) as read:
        for _ in range(3):
            failure = (await read()).failure
            assert failure.reason is Reason.UNAUTHORIZED
            assert "the clock of this machine is 47 minutes ahead" in failure.detail
        assert len(huawei.asked) == 3
        now = NOON
        assert (await read()).failure is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "47 minutes" in vars(record)["detail"]
    assert vars(record)["system"] == "builds"
    assert not any(word in str(vars(record)) for word in (SECRET_KEY, ACCESS_KEY, "hidden"))


async def test_keys_that_are_refused_by_a_right_clock_are_not_blamed_on_it() -> None:
    refusal = Told({"error_code": "APIGW.0301"}, 401, {"Date": formatdate(usegmt=True)})
    async with vendor(lambda _: refusal) as huawei, reading(aksk(time.time), huawei.url) as read:
        failure = (await read()).failure
    assert (failure.reason, failure.detail) == (Reason.UNAUTHORIZED, "HTTP status 401")
