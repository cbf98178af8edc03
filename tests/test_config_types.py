"""The types of config keys: what they take, what they refuse, and that they never echo what they refuse."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from exporter import config_types as fields
from exporter.model.text import has_control_characters

SECONDS: dict[str, int | Fraction] = {
    "y": 31536000,
    "w": 604800,
    "d": 86400,
    "h": 3600,
    "m": 60,
    "s": 1,
    "ms": Fraction(1, 1000),
}
ORDER = list(SECONDS)

WRITTEN = st.lists(
    st.tuples(st.sampled_from(ORDER), st.integers(0, 10**6)),
    min_size=1,
    unique_by=lambda part: part[0],
).map(lambda parts: sorted(parts, key=lambda part: ORDER.index(part[0])))

DOTS = [
    *("../../admin", "..\\..\\admin", "a/../b", "a\\..\\b", "a/..", "a/.", "./a", "/..", "a/..\\b"),
    *("%2e", "%2e%2E", ".%2e/a", "a%2f..%2Fb", "a%5c..", "%252e%252e", "%25252e%25252e/a", "..%2f.."),
    *("..;", "..;/admin", "a/..;x=y/b", "%2e%2e;a", "a/.. /b", ".. ", "%" + "25" * 90 + "2e"),
]
"""Keys that lead out of their segment for a server that decodes it."""

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(WRITTEN)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[str, int]]) -> None:
    written = "".join(f"{number}{unit}" for unit, number in parts)
    exact = sum((number * SECONDS[unit] for unit, number in parts), Fraction())
    assert fields.parse_duration(written) == pytest.approx(float(exact), rel=1e-12)
    assert re.search(fields.DURATION_PATTERN, written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("1m30s", 90), ("2h", 7200), ("1d", 86400), ("0", 0), (0, 0), ("0s", 0)],
)
def test_durations_as_prometheus_writes_them(written: object, seconds: float) -> None:
    assert fields.parse_duration(written) == seconds


def prometheus_takes(value: object) -> bool:
    """Its rule once more: numbers with units, each at most once, the larger one first."""
    if not isinstance(value, str):
        return value == 0 and type(value) is int
    parts = re.findall("([0-9]{1,9})([a-z]+)", value)
    units = [unit for _, unit in parts]
    in_order = units == [unit for unit in ORDER if unit in units]
    return value == "0" or (bool(parts) and in_order and value == "".join(map("".join, parts)))


@given(ANYTHING | st.from_regex(r"([0-9]+(ms|[smhdwy]))+", fullmatch=True))
@example("1.5h")
@example("30s1m")
@example("1s1s")
@example("٣s")
@example("1 s")
@example("1s\n")
@example("-1s")
@example("1234567890s")
@example(0)
@example(0.0)
@example(5)
def test_a_duration_is_what_prometheus_takes_and_nothing_else(value: object) -> None:
    if prometheus_takes(value):
        assert 0 <= fields.parse_duration(value) < 10**18
    else:
        with pytest.raises(ValueError, match="allowed are Prometheus durations such as 500ms"):
            fields.parse_duration(value)


def taken(kind: Any, value: object, **context: object) -> Any:
    return TypeAdapter(kind).validate_python(value, context=context)


def refused(kind: Any, value: object) -> str:
    """What is said about a value that is refused; that never quotes it."""
    with pytest.raises(ValidationError) as caught:
        taken(kind, value)
    return "; ".join(error["msg"] for error in caught.value.errors(include_input=False))


@pytest.mark.parametrize("value", ["0s", 0, "0ms"])
def test_some_durations_must_be_more_than_nothing(value: object) -> None:
    assert "must be more than 0s" in refused(fields.PositiveDuration, value)
    assert taken(fields.PositiveDuration, "1ms") == 0.001


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("http://127.0.0.1:8080/studio//", "http://127.0.0.1:8080/studio"),
        ("http://[::1]:80/a/b", "http://[::1]:80/a/b"),
        ("HTTPS://EXAMPLE.COM/A", "HTTPS://EXAMPLE.COM/A"),
    ],
)
def test_an_address_loses_only_its_last_slashes(written: str, address: str) -> None:
    assert taken(fields.HttpUrl, written) == address
    assert taken(fields.EndpointUrl, written) == written


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "scheme"),
        ("example.com", "scheme"),
        ("ftp://example.com", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("https://", "the host is missing"),
        ("https://:80", "the host is missing"),
        ("https://hunter2@example.com", "user name or password"),
        ("https://me:hunter2@example.com", "user name or password"),
        ("https://@example.com", "user name or password"),
        ("https://example.com:0", "port"),
        ("https://example.com:65536", "URL"),
        ("https://example.com:hunter2", "URL"),
        ("https://[hunter2", "URL"),
        ("https://example.com?token=hunter2", "query"),
        ("https://example.com?", "query"),
        ("https://example.com#", "query"),
        ("https://example.com/#hunter2", "query"),
        ("https://example.com/a b", "spaces"),
        ("https://example.com/a\\b", "backslashes"),
        ("https://example.com/\x00", "control"),
        ("https://example.com/a/../b", "segments"),
        ("https://example.com/.", "segments"),
    ],
)
@pytest.mark.parametrize("kind", [fields.HttpUrl, fields.EndpointUrl])
def test_an_address_that_is_refused_says_why_and_shows_no_password(kind: Any, written: str, why: str) -> None:
    said = refused(kind, written)
    assert why in said
    assert "hunter2" not in said


@given(st.text() | st.from_regex(r"https?://[^/]*(/.*)?"))
def test_an_address_that_is_taken_names_a_host_and_no_secret(written: str) -> None:
    try:
        address = taken(fields.HttpUrl, written)
    except ValidationError:
        return
    url = urlsplit(address)
    assert url.scheme in ("http", "https")
    assert url.hostname
    assert (url.username, url.password, url.query, url.fragment) == (None, None, "", "")
    assert not address.endswith("/")
    assert not any(part in (".", "..") for part in url.path.split("/"))
    assert not any(character.isspace() for character in address)


@pytest.mark.parametrize(
    "value",
    ["a", "a/b", "a b", "a..b", "...", "v1.0/x", "a/", "/", "%", "é", "x" * fields.MAX_KEY_LENGTH, "?#&"],
)
def test_a_key_of_a_job_may_be_any_text(value: str) -> None:
    assert taken(fields.KeyValue, value) == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "empty"),
        (".", "path"),
        ("..", "path"),
        *((value, "path") for value in DOTS),
        ("x" * (fields.MAX_KEY_LENGTH + 1), "longer"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("a\x85", "control"),
    ],
)
def test_a_key_of_a_job_must_fit_into_one_segment_of_a_path(value: str, why: str) -> None:
    assert why in refused(fields.KeyValue, value)


@given(st.text())
def test_control_characters_are_those_of_both_blocks(value: str) -> None:
    expected = any(ord(character) < 32 or 127 <= ord(character) < 160 for character in value)
    assert has_control_characters(value) is expected


@pytest.mark.parametrize("value", ["", "a b", "ÿ", "a,b;c=d", '"'])
def test_a_header_may_hold_latin_1_text(value: str) -> None:
    assert taken(fields.HeaderText, value) == value


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\n", "\x00", "€", "\x9f"])
def test_a_header_must_not_hold_what_breaks_it(value: str) -> None:
    assert "must" in refused(fields.HeaderText, value)


@pytest.mark.parametrize("name", ["X-Token", "a", "x_y.z~", "!#$%&'*+-.^_`|~"])
def test_names_of_headers(name: str) -> None:
    assert taken(fields.HeaderName, name) == name


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "é", "(a)", "a\n\n"])
def test_what_is_no_name_of_a_header(name: str) -> None:
    assert "not a header name" in refused(fields.HeaderName, name)


def test_a_secret_is_text_or_names_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("of the file\n")
    monkeypatch.setenv("HUSH", "of the environment")
    take = TypeAdapter(fields.SecretValue)
    assert take.validate_python("plain").reveal() == "plain"
    assert take.validate_python({"env": "HUSH"}).reveal() == "of the environment"
    beside = take.validate_python({"file": "token"}, context={"folder": tmp_path})
    assert beside.reveal() == "of the file"
    assert take.validate_python({"file": str(tmp_path / "token")}).reveal() == "of the file"
    assert take.validate_python(beside) is beside
    assert take.dump_python(beside) == "***"


@pytest.mark.parametrize(
    "value",
    [
        "",
        7,
        None,
        True,
        ["hunter2"],
        {},
        {"env": ""},
        {"env": "UNSET_OF_COURSE"},
        {"env": 7},
        {"file": ""},
        {"file": "/absent/hunter"},
        {"file": ["hunter2"]},
        {"env": "HUSH", "file": "hunter2"},
        {"vault": "hunter2"},
        {"plain": "hunter2"},
    ],
)
def test_what_is_no_secret_is_refused_and_never_shown(value: object) -> None:
    said = refused(fields.SecretValue, value)
    assert said
    assert "hunter2" not in said


def test_a_path_of_the_config_begins_at_its_folder(tmp_path: Path) -> None:
    class Keys(fields.Keys):
        token: fields.SecretValue

    (tmp_path / "token").write_text("x")
    with pytest.raises(ValidationError):
        Keys.model_validate({"token": {"file": "token"}}, context={"folder": tmp_path / "elsewhere"})
    assert Keys.model_validate({"token": {"file": "token"}}, context={"folder": tmp_path})


def test_keys_take_no_other_keys_and_no_other_types() -> None:
    class Keys(fields.Keys):
        number: int = 1
        text: str = ""

    for wrong in ({"nmber": 1}, {"number": "1"}, {"number": True}, {"text": 1}):
        with pytest.raises(ValidationError) as caught:
            Keys.model_validate(wrong)
        assert "input_value" not in str(caught.value)
    with pytest.raises(ValidationError):
        Keys().number = 2  # type: ignore[misc]  # frozen, which is the point
