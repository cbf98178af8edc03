"""Whatever a configuration file contains, it loads, or each error is reported with its line."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exporter.config import ConfigError, load
from exporter.config.models import Defaults, JobKeys, SystemKeys
from exporter.providers.json.discover_keys import JsonDiscover
from exporter.providers.json.keys import ReadKeys
from tests.config.conftest import BAD, GOOD

pytestmark = pytest.mark.slow

LINES = GOOD.read_text().splitlines()
TYPED = sorted({piece for line in LINES for piece in line.replace(":", " : ").split()})
SIGNS = [
    *("<<", "*runs", "&runs", "-", "?", "|", ">", "!!str", "---", "...", "{a:b}", "[]", "{}", "#!", "[key]"),
    *("null", "1e999", "-1", "0", "é", "\U0001f600"),
]
PIECES = [*TYPED, *SIGNS, "%YAML 1.1", "9" * 400, "\t", "\r", "\0", '"\\', "\u2028", "\x85"]
KEYS = [
    *("defaults", "systems", "provider", "auth", "jobs", "type", "id", "discover", "[key]", "caps", "<<", ""),
    *{**Defaults.model_fields, **SystemKeys.model_fields, **JobKeys.model_fields},
]
VALUES = ["caps", "sitecore", "bearer", "none", "10s", "never", "https://a.example", "x", "all"]


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_bytes(data)
        error = None
        try:
            assert load(file).systems
        except ConfigError as caught:
            error = caught
    if error is not None:
        lines = data.count(b"\n") + 1
        assert error.errors
        assert all(1 <= error.line <= lines for error in error.errors), error
        assert len(str(error).splitlines()) == len(error.errors)


relaxed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(st.binary(max_size=300))
@example(b"\xff\xfea\x00")
def test_any_bytes(data: bytes) -> None:
    check(data)


@relaxed
@given(st.text(st.sampled_from("ab:-?[]{},&*!|>'\"%@`#\\ \n\t\r0.1<~=")))
@example("\r\r\ra: [")
def test_any_text_of_the_signs_of_yaml(text: str) -> None:
    check(text.encode())


@relaxed
@given(st.integers(0, len(LINES) - 1), st.sampled_from(["gone", "twice", "swapped"]), st.integers(0, 200))
def test_a_good_config_with_a_line_gone_twice_or_elsewhere(index: int, what: str, other: int) -> None:
    lines = list(LINES)
    if what == "gone":
        del lines[index]
    elif what == "twice":
        lines.insert(index, lines[index])
    else:
        other %= len(lines)
        lines[index], lines[other] = lines[other], lines[index]
    check("\n".join(lines).encode())


@relaxed
@given(st.integers(0, len(GOOD.read_bytes())), st.integers(0, 12), st.sampled_from(PIECES))
def test_a_good_config_with_something_typed_into_it(at: int, instead_of: int, piece: str) -> None:
    data = GOOD.read_bytes()
    check(data[:at] + piece.encode() + data[at + instead_of :])


@relaxed
@given(st.sampled_from(BAD), st.integers(0, 10_000), st.integers(0, 12), st.sampled_from(PIECES))
def test_a_bad_config_with_something_typed_into_it(file: Path, at: int, instead_of: int, piece: str) -> None:
    data = file.read_bytes()
    at %= len(data) + 1
    check(data[:at] + piece.encode() + data[at + instead_of :])


scalars = (
    st.sampled_from(VALUES) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)


def flow(tree: object) -> str:
    """A value as YAML, one key or item a line."""
    if isinstance(tree, dict):
        return "{" + ",\n".join(f'"{key}": {flow(each)}' for key, each in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ",\n".join(map(flow, tree)) + "]"
    if isinstance(tree, str):
        return "".join(character for character in tree if character.isalnum() or character in ":/.") or '""'
    return "null" if tree is None else str(tree).lower()


@relaxed
@given(trees)
def test_any_values_under_known_keys(tree: object) -> None:
    check(flow(tree).encode())


requests = st.dictionaries(
    st.sampled_from([*ReadKeys.model_fields, *JsonDiscover.model_fields]), trees | scalars
)


@relaxed
@given(requests, requests, trees)
def test_any_values_in_a_mapping_of_an_api(read: object, discover: object, job: object) -> None:
    parts = {
        "provider": "json",
        "base_url": "https://a.example",
        "read": read,
        "jobs": [job, {"x": "1"}],
        "discover": discover,
    }
    check(flow({"systems": {"s": parts}}).encode())


@relaxed
@given(st.sampled_from(["caps", "crafter", "itwin", "json"]), trees, trees, st.sampled_from(KEYS), trees)
def test_any_values_in_a_system(provider: str, jobs: object, auth: object, key: str, value: object) -> None:
    parts = {"provider": provider, "base_url": "https://a.example", "jobs": [jobs], "auth": auth, key: value}
    check(flow({"systems": {"s": parts}}).encode())
