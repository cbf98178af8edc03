import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config_types import check_key
from exporter.providers import values as fields

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text()
    | st.from_regex(r"[+-]?\d{0,20}(\.\d{0,20})?(e\d{1,4})?"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (10, 10),
        (10.0, 10),
        ("10", 10),
        (" 10 ", 10),
        ("\x1c10", 10),
        ("10.0", 10),
        (2**53, 2**53),
        (2**53 + 1, None),
        ("8587562874004887117", None),
        (-1, None),
        ("-1", None),
        (1.5, None),
        ("1.5", None),
        (True, None),
        (None, None),
        ("", None),
        ("ten", None),
        ("\u0661", None),
        (math.nan, None),
        (math.inf, None),
        (1e300, None),
        ([3], None),
    ],
)
def test_a_count_is_a_whole_number_from_zero_as_number_or_text(value: object, expected: int | None) -> None:
    assert fields.count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        ("0.25", 0.25),
        ("0.25\x1f", 0.25),
        ("-3", -3.0),
        (False, None),
        (10**400, None),
        ("1e5", 1e5),
        (" 0.30000000000000004", 0.1 + 0.2),
        ("1e", None),
        ("9e999", None),
        ("0x1f", None),
        ("1_0", None),
        (math.nan, None),
        (-math.inf, None),
        ({}, None),
    ],
)
def test_a_number_is_finite_and_may_be_text(value: object, expected: float | None) -> None:
    assert fields.number(value) == expected


@pytest.mark.parametrize(
    ("value", "full", "expected"),
    [
        (0, 1, 0.0),
        (1, 1, 1.0),
        ("0.5", 1, 0.5),
        (56, 100, 0.56),
        (1.01, 1, None),
        (-0.1, 1, None),
        (None, 1, None),
        (True, 1, None),
    ],
)
def test_a_ratio_lies_between_zero_and_one_or_means_nothing(
    value: object, full: float, expected: float | None
) -> None:
    assert fields.ratio(value, full) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2015-10-20T05:38:05.7249287+00:00", datetime(2015, 10, 20, 5, 38, 5, 724928, UTC).timestamp()),
        ("2015-08-28T02:03:03Z", datetime(2015, 8, 28, 2, 3, 3, tzinfo=UTC).timestamp()),
        ("2015-08-28T02:03:03", datetime(2015, 8, 28, 2, 3, 3, tzinfo=UTC).timestamp()),
        ("2019-01-09T12:34Z", datetime(2019, 1, 9, 12, 34, tzinfo=UTC).timestamp()),
        ("2019-01-09T13:34:00+01", datetime(2019, 1, 9, 12, 34, tzinfo=UTC).timestamp()),
        ("0001-01-01T00:00:00", None),
        ("1969-12-31T23:59:59Z", None),
        ("9999-12-31T23:59:59.9999999Z", None),
        ("2019-13-09T12:34Z", None),
        ("yyyy-MM-ddTHH:mmZ", None),
        ("2019", None),
        (1_547_037_240, 1_547_037_240.0),
        ("/Date(-62135596800000)/", None),
        (0, None),
        (-1, None),
        (None, None),
    ],
)
def test_an_instant_is_a_time_that_a_job_can_have(value: object, expected: float | None) -> None:
    assert fields.instant(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Succeeded", "Succeeded"),
        ("  two words \n", "two words"),
        ("a\x00b\x1b[31m\u2028\ud800", "ab[31m"),
        ("x" * 300, "x" * 128),
        (3, ""),
        (None, ""),
        (["a"], ""),
    ],
)
def test_text_is_short_and_printable(value: object, expected: str) -> None:
    assert fields.text(value) == expected


def test_only_a_boolean_is_a_flag_and_only_an_object_a_mapping() -> None:
    flags: list[object] = [True, False, 1, "true", None]
    assert [fields.flag(value) for value in flags] == [True, False, None, None, None]
    mappings: list[object] = [{"a": 1}, [], None, "{}"]
    assert [fields.mapping(value) for value in mappings] == [{"a": 1}, {}, {}, {}]


@given(ANYTHING)
def test_no_value_however_odd_raises_or_gives_an_impossible_one(value: object) -> None:
    count, number, ratio = fields.count(value), fields.number(value), fields.ratio(value)
    instant, text = fields.instant(value), fields.text(value)
    assert count is None or (type(count) is int and 0 <= count <= 2**53)
    assert number is None or math.isfinite(number)
    assert ratio is None or 0 <= ratio <= 1
    assert instant is None or 0 < instant < 253_402_300_800
    assert len(text) <= 128
    assert text.isprintable()
    assert isinstance(fields.mapping(value), dict)
    assert fields.flag(value) in (True, False, None)


@given(st.integers(0, 2**53))
def test_a_count_is_the_same_as_number_as_text_and_through_json(value: int) -> None:
    assert fields.count(value) == fields.count(str(value)) == fields.count(json.loads(str(value))) == value


@given(st.floats(-1e15, 1e15))
def test_a_number_is_the_same_as_number_and_as_text(value: float) -> None:
    assert fields.number(value) == fields.number(repr(value)) == value


@given(st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001  # hypothesis wants naive bounds
def test_every_moment_written_as_iso_is_read_back(moment: datetime) -> None:
    assert fields.instant(moment.isoformat()) == moment.timestamp()


@given(st.text(alphabet="0123456789-T:.Z+W ", min_size=8, max_size=42))
def test_text_that_looks_like_a_time_never_raises(value: str) -> None:
    instant = fields.instant(value)
    assert instant is None or instant > 0


@pytest.mark.parametrize("value", ["job_41B25", "a/b?c", "x" * 512, "\u00e9", "a..b/.c/d."])
def test_a_key_of_a_listing_stays_as_it_is(value: str) -> None:
    assert fields.key(value) == value


@given(ANYTHING)
def test_a_key_is_one_that_a_config_could_hold_or_nothing(value: object) -> None:
    told = fields.key(value)
    if told is not None:
        assert told == value
        assert check_key(told).encode()


DOTS = ["../a", "a/..", "a/./b", "a\\..\\b", "%2e%2e%2fa", "a%5c.."]


@pytest.mark.parametrize("value", [None, 7, True, "", ".", "..", "a\nb", "x" * 513, "\ud800", ["a"], *DOTS])
def test_what_fits_no_address_is_no_key(value: object) -> None:
    assert fields.key(value) is None
