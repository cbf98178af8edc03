"""Times in the forms in which servers write them."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.dates import moment

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()
# Whole minutes, and only offsets that a zone has.
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=ZONES)  # noqa: DTZ001  # hypothesis wants naive bounds


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01t12:00:00z",
        "2026-03-01T12:00Z",
        "2026-03-01 12:00:00Z",
        "2026-03-01 12:00:00 UTC",
        "2026-03-01T12:00:00 GMT",
        "2026-03-01T12:00:00+0000",
        "2026-03-01T12:00:00+00",
        "2026-03-01T12:00:00-00:00",
        "2026-03-01 12:00:00 +0000 UTC",
        "2026-03-01 13:00:00 +0100 CET",
        "2026-03-01T13:00+01:00[Europe/Paris]",
        "2026-03-01T12:00:00Z[UTC]",
        "2026-03-01T12:00:00",
        "2026-03-01  12:00:00",
        "2026/03/01 12:00:00",
        "20260301T120000Z",
        "20260301T120000",
        "2026-02-28T23:30:00-12:30",
        "2026-03-02T02:00:00+1400",
        "2026-03-01T11:59:60Z",
        "Sun, 01 Mar 2026 12:00:00 GMT",
        "Sun, 1 Mar 2026 07:00:00 -0500",
        "01 mar 2026 12:00 utc",
        "/Date(1772366400000)/",
        "/Date(1772366400000+0100)/",
        " 2026-03-01T12:00:00Z\n",
        " 1772366400 ",
        "1772366400.0",
        "1772366400000",
        1772366400,
        1772366400000,
        1772366400000000,
        1772366400000000000,
        "1772366400000000000",
    ],
)
def test_a_time_is_read_in_each_form_that_has_one_meaning(written: object) -> None:
    assert moment(written) == NOON


@pytest.mark.parametrize(
    ("fraction", "seconds"),
    [
        (".1", 0.1),
        (",1", 0.1),
        (".12", 0.12),
        (".123456", 0.123456),
        (".1234567", 0.123456),
        (".999999999", 0.999999),
    ],
)
def test_a_fraction_has_one_to_nine_digits(fraction: str, seconds: float) -> None:
    for zone in ("Z", "z", " UTC", "+0000", ""):
        assert moment(f"2026-03-01T12:00:00{fraction}{zone}") == pytest.approx(NOON + seconds, abs=1e-6)


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-01",
        "20260301",
        20260301,
        "12:00:00",
        "2026",
        45000,
        202603011200,
        20260301120000,
        "20260301120000",
        "20260301120000123",
        638_500_000_000_000_000,
        "03/01/2026 12:00:00",
        "01.03.2026 12:00",
        "2026-03-01 12:00:00 CET",
        "2026-03-01T12:00:00[Europe/Paris]",
        "2026-03-01T12:00:00+25:00",
        "2026-03-01 12:00:00 PM",
        "2026-03/01 12:00:00",
        "2026-02-30T12:00:00z",
        "2026-03-01T25:00:00z",
        "2026-03-01T12:60:00z",
        "2026-03-01T12:00:61z",
        "0000-03-01T12:00:00z",
        "PT5M",
        "yesterday",
        "",
        "\u0662026-03-01t12:00:00",
        "1772366400" + "0" * 60,
        "9" * 1000,
        "2026-03-01 12:00:00" + " " * 1000 + "x",
        10**400,
        nan,
        inf,
        True,
        None,
        ["2026-03-01T12:00:00Z"],
    ],
)
def test_what_has_several_meanings_or_none_is_no_time(written: object) -> None:
    assert moment(written) is None


@pytest.mark.parametrize("written", [0, -1, "0", "-1", 0.0, -(10**400), -inf])
def test_a_number_that_is_not_positive_is_the_beginning_of_unix_time(written: object) -> None:
    assert moment(written) == 0


@given(TIMES, st.sampled_from(["T", "t", " "]), st.sampled_from(["", ":"]))
def test_every_time_with_an_offset_is_read_back(time: datetime, between: str, colon: str) -> None:
    zone = time.strftime("%z")
    written = f"{time:%Y-%m-%d}{between}{time:%H:%M:%S.%f}{zone[:3]}{colon}{zone[3:]}"
    assert moment(written) == time.timestamp()


@given(TIMES)
def test_every_time_is_read_back_from_a_mail_and_in_each_unit(time: datetime) -> None:
    whole = time.replace(microsecond=0)
    seconds = int(whole.timestamp())
    assert moment(format_datetime(whole)) == seconds
    for unit in (1, 10**3, 10**6, 10**9):
        assert moment(seconds * unit) == moment(str(seconds * unit)) == seconds
    assert moment(f"/Date({seconds * 1000})/") == seconds


@given(st.text(alphabet="0123456789-T:./Z+WzUTCDate() [],Mar", max_size=42))
def test_text_that_looks_like_a_time_never_raises(written: str) -> None:
    at = moment(written)
    assert at is None or isinstance(at, float)
