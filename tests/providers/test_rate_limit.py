"""The headers in which vendors report their rate limits, as their pages and SDKs write them."""

import math
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.providers.codearts import CodeArts, CodeArtsOptions
from exporter.providers.itwin import ITwin, ITwinOptions
from exporter.providers.json.job_api import JsonApi, JsonOptions
from exporter.providers.rate_limit import MAX_HEADERS, MAX_VALUES, UNKNOWN_WAIT, USUAL, RateLimit

NOW = 1_795_900_000.0
DATE = "Sat, 28 Nov 2026 21:06:40 GMT"  # the same


def json_limit(**keys: str) -> RateLimit:
    read = {"path": "/{id}", "state": "state"}
    return JsonApi(JsonOptions.model_validate({"read": read, "rate_limit": keys})).rate_limit()


GATEWAY = CodeArts(CodeArtsOptions()).rate_limit()
TWINS = ITwin(ITwinOptions(service="contextcapture")).rate_limit()


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"x-ratelimit-remaining": "4987"}, 4987),
        ({"ratelimit-remaining": " 76;w=21600"}, 76),
        ({"x-rate-limit-remaining": "0"}, 0),
        ({"x-ratelimit-remaining-minute": "4", "x-ratelimit-remaining-hour": "2"}, 2),
        ({"x-ms-ratelimit-remaining-subscription-reads": "11999"}, 11999),
        ({"itwinplatform-ratelimit-remainingcalls": "17"}, 17),
        ({"ratelimit": '"default";r=50;t=30'}, 50),
        ({"ratelimit": '"burst";t=2;r=0, "daily";r=900;t=4000'}, 0),
        ({"ratelimit": "limit=100, remaining=7, reset=5"}, 7),
        ({"ratelimit-policy": '"default";q=100;w=60'}, None),
        ({"x-ratelimit-limit": "60", "x-ratelimit-used": "3"}, None),
        ({"x-ratelimit-remaining": "-1"}, None),
        ({"x-ratelimit-remaining": "NaN"}, None),
        ({"x-ratelimit-remaining": "9" * 400}, None),
        ({"x-ratelimit-remaining": "5, 2"}, 2),
        ({"beta-ratelimit": '"tenant-app-quota";r=17842;t=2107'}, 17842),
        ({"ratelimit": '"default";r=-1;t=30'}, None),
        ({"ratelimit": '"default";r=1.5'}, None),
        ({"x-time-remaining": "5"}, None),
        ({}, None),
    ],
)
def test_the_calls_left_are_read_in_each_dialect(headers: Mapping[str, str], left: int | None) -> None:
    assert USUAL.calls_left(headers) == left


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0", "x-ratelimit-remaining": "0", "ratelimit-reset": "60"}, 0),
        ({"retry-after": "Sat, 28 Nov 2026 21:07:40 GMT"}, 60),
        ({"retry-after": "Sat, 28 Nov 2026 21:05:40 GMT"}, 0),
        ({"retry-after": "1795900045"}, 45),
        ({"retry-after": "30, 60"}, 60),
        ({"retry-after": "30, Sat, 28 Nov 2026 21:07:40 GMT"}, 60),
        ({"retry-after": "9223372036854775807"}, 2**63),
        ({"retry-after": "99999999999"}, 99999999999),
        ({"retry-after": "soon", "ratelimit-reset": "60"}, 60),
        ({"retry-after": "-60"}, None),
        ({"retry-after-ms": "2500"}, 2.5),
        ({"x-ms-retry-after-ms": "2500"}, 2.5),
        ({"x-ratelimit-reset": "1795900090"}, 90),
        ({"x-ratelimit-reset": "1795900090000"}, 90),
        ({"x-ratelimit-reset": "1795900090.5"}, 90.5),
        ({"x-ratelimit-reset": "2026-11-28T21:08Z"}, 80),
        ({"x-rate-limit-reset": "1795900090"}, 90),
        ({"ratelimit-reset": "45"}, 45),
        ({"ratelimit-reset": "1795900045"}, 45),
        ({"ratelimit-reset": "1795900045", "ratelimit-resettime": "Sat, 28 Nov 2026 21:07:25 GMT"}, 45),
        ({"x-ratelimit-reset-after": "2.25"}, 2.25),
        ({"x-ratelimit-delay": "10"}, 10),
        ({"x-ratelimit-reset": "1795900090, 1795900045"}, 45),
        ({"x-ratelimit-reset": "1795900045", "x-ratelimit-remaining": "4000"}, 45),
        ({"x-ratelimit-reset": "1795903600", "x-ratelimit-remaining": "4000"}, UNKNOWN_WAIT),
        ({"x-ratelimit-remaining": "4000"}, None),
        ({"ratelimit": '"default";r=0;t=30'}, 30),
        ({"ratelimit": '"burst";r=0;t=2, "daily";r=900;t=4000'}, 2),
        ({"ratelimit": '"burst";r=0;t=2, "daily";r=0;t=4000'}, 4000),
        ({"ratelimit": "limit=100, remaining=0, reset=5"}, 5),
        ({"x-ratelimit-reset": "1795899999"}, None),
        ({"x-ratelimit-reset": "1795899999", "x-ratelimit-remaining": "0"}, UNKNOWN_WAIT),
        ({"x-ratelimit-remaining": "0"}, UNKNOWN_WAIT),
        ({"x-ratelimit-reset": "nan"}, None),
        ({"x-ratelimit-reset": "Infinity"}, None),
        ({"x-ratelimit-reset": "9" * 400}, None),
        ({"x-ratelimit-reset": "99999-01-01T00:00:00Z"}, None),
        ({"x-ratelimit-limit": "60"}, None),
        ({"x-password-reset": "60"}, None),
        ({}, None),
    ],
)
def test_the_time_to_wait_is_read_in_each_dialect(headers: Mapping[str, str], seconds: float | None) -> None:
    assert USUAL.wait(429, headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": "1795900090"}, 90),
        ({"x-ratelimit-reset": "1795900090", "x-ratelimit-remaining": "0"}, 90),
        ({"x-ratelimit-reset": "1795900090", "x-ratelimit-remaining": "4000"}, None),
        ({"retry-after": "30", "x-ratelimit-remaining": "4000"}, 30),
    ],
)
def test_an_outage_does_not_wait_for_a_window_with_calls_left(
    headers: Mapping[str, str], seconds: float | None
) -> None:
    assert USUAL.wait(503, headers, NOW) == seconds


@pytest.mark.parametrize("ours", [NOW, NOW - 3600, NOW + 3600])
def test_times_are_compared_with_the_clock_of_the_vendor(ours: float) -> None:
    for name, value in (
        ("x-ratelimit-reset", "1795900090"),
        ("retry-after", "Sat, 28 Nov 2026 21:08:10 GMT"),
    ):
        assert USUAL.wait(429, {"date": DATE, name: value}, ours) == 90


@pytest.mark.parametrize(
    ("headers", "limited"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795900090"}, True),
        ({"x-ratelimit-remaining": "4000", "retry-after": "60"}, True),
        ({"ratelimit": '"default";r=0;t=30'}, True),
        ({"x-ratelimit-remaining": "4000", "x-ratelimit-reset": "1795900090"}, False),
        ({"retry-after": "soon"}, False),
        ({"retry-after": "0", "x-ratelimit-remaining": "15"}, False),
        ({"retry-after": "30, 60"}, True),
        ({}, False),
    ],
)
def test_a_403_is_a_rate_limit_only_if_its_headers_show_one(
    headers: Mapping[str, str], *, limited: bool
) -> None:
    assert USUAL.forbids(headers) is limited


@pytest.mark.parametrize(
    ("body", "limited"),
    [
        (b'{"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}', True),
        (b'{"error": {"code": 403, "errors": [{"reason": "userRateLimitExceeded"}]}}', True),
        (b'{"message": "Resource not accessible by personal access token"}', False),
        (b"<html>" + b" " * 5000 + b"rate limit", False),
    ],
)
def test_a_403_without_headers_is_a_rate_limit_if_its_text_names_one(body: bytes, *, limited: bool) -> None:
    assert USUAL.forbids({}, body) is limited
    assert USUAL.wait(403, {}, NOW) == UNKNOWN_WAIT
    usual = {"x-ratelimit-remaining": "4000", "x-ratelimit-reset": "1795903600"}
    assert USUAL.wait(403, usual, NOW) == UNKNOWN_WAIT


def test_headers_with_names_of_their_own_are_configured() -> None:
    limit = json_limit(scope="system", remaining_header="X-Quota-Left", reset_header="X-Quota-End")
    headers = {"x-quota-left": "0", "x-quota-end": "1795900030"}
    assert (limit.scope, limit.calls_left(headers)) == ("system", 0)
    assert limit.wait(429, headers, NOW) == 30
    assert limit.forbids(headers)
    assert json_limit().scope == "job"
    assert not json_limit().forbids(headers)
    assert limit.calls_left({"x-ratelimit-remaining": "3"}) == 3


def test_the_gateway_of_huawei_reports_the_length_of_its_windows() -> None:
    headers = {
        "x-apig-ratelimit-api": "remain:92,limit:100,time:1 minute",
        "x-apig-ratelimit-user": "remain:0,limit:10,time:10 second",
        "x-apig-ratelimit-app": "remain:x,limit:10,time:10 second",
    }
    assert GATEWAY.calls_left(headers) == 0
    assert GATEWAY.wait(429, headers, NOW) == 10
    assert GATEWAY.calls_left({"x-apig-ratelimit-api-allenv": "remain:199,limit:200,time:1 second"}) == 199
    assert GATEWAY.wait(429, {"x-apig-ratelimit-api": "remain:0,limit:9,time:2 hour"}, NOW) == 7200
    assert USUAL.calls_left(headers) is None


def test_the_platform_of_bentley_repeats_retry_after_in_a_header_of_its_own() -> None:
    assert TWINS.wait(429, {"itwinplatform-ratelimit-retry-after-seconds": "123"}, NOW) == 123
    assert TWINS.scope == "system"


NAMES = st.sampled_from(
    (
        *("retry-after", "retry-after-ms", "date", "ratelimit", "ratelimit-reset", "x-ratelimit-reset"),
        *("x-ratelimit-remaining", "ratelimit-remaining", "x-apig-ratelimit-api"),
        *("itwinplatform-ratelimit-retry-after-seconds", "itwinplatform-ratelimit-remainingcalls"),
    )
)
VALUES = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=40),
    st.integers().map(str),
    st.floats().map(str),
    st.from_regex(r'("a";)?(r|t|remaining|reset)=-?\d{1,20}([;,] ?(r|t)=\d{1,20})*', fullmatch=True),
    st.from_regex(r"remain:\d{1,20},limit:\d,time:\d{1,20} (second|day|x)", fullmatch=True),
    st.from_regex(r"\d{4,5}-\d\d-\d\d[T ]\d\d:\d\d(Z|[+-]\d{4})?", fullmatch=True),
)


@given(st.dictionaries(NAMES, VALUES, max_size=5), st.sampled_from((403, 429, 503)))
def test_no_header_however_odd_gives_a_wait_that_is_no_time(headers: dict[str, str], status: int) -> None:
    for limit in (USUAL, GATEWAY, TWINS):
        seconds, left = limit.wait(status, headers, NOW), limit.calls_left(headers)
        assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
        assert left is None or left >= 0
        assert limit.forbids(headers) or left != 0


@pytest.mark.parametrize("name", ["ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"])
def test_a_header_with_thousands_of_values_costs_no_time(name: str) -> None:
    # All that a response may have: 64 KiB. To read each value takes 50 to 250 ms.
    headers = {name: ",".join(map(str, range(12_000)))}
    began = time.thread_time()
    for limit in (USUAL, GATEWAY, TWINS):
        limit.calls_left(headers)
        limit.wait(429, headers, NOW)
    assert time.thread_time() - began < 0.05


def test_only_the_first_of_many_values_and_headers_are_read() -> None:
    many = ",".join(["9"] * MAX_VALUES + ["1"])
    assert USUAL.calls_left({"x-ratelimit-remaining": many}) == 9
    assert USUAL.calls_left({"ratelimit": many.replace("9", "r=9").replace("1", "r=1")}) == 9
    assert USUAL.wait(429, {"retry-after": many.replace("1", "99")}, 0.0) == 9
    headers = {f"x-ratelimit-remaining-{number}": "9" for number in range(MAX_HEADERS)}
    assert USUAL.calls_left({**headers, "x-ratelimit-remaining": "1"}) == 9
    late = {f"x{number}-retry-after": "soon" for number in range(MAX_HEADERS)}
    assert USUAL.wait(429, {**late, "x-retry-after": "7"}, 0.0) is None
