"""Expressions of the provider `json`: the user's own, met by responses that nobody vouches for."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter import expressions as jmespaths
from exporter.providers.json.job_api import JsonApi, JsonOptions
from tests.providers.conftest import assert_read_or_refused, drive, mutated, response_of


def made(**read: Any) -> JsonApi:
    return JsonApi(JsonOptions.model_validate({"read": {"path": "/jobs/{id}", "state": "s", **read}}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("a * b", {"a": "x" * 1000, "b": 10**9}),
        ("a * b", {"a": [1], "b": 10**9}),
        ("a % b", {"a": "%999999999d", "b": 1}),
        ("pad_left(a, b)", {"a": "x", "b": 10**10}),
        ("replace(a, 'x', a)", {"a": "x" * 100_000}),
        ("join(a, b)", {"a": "x" * 100_000, "b": [""] * 100_000}),
        ("to_string(map(&$, a))", {"a": list(range(20_000))}),
        ("length(a[?contains($.a, @)])", {"a": ["y"] * 1_100_000}),
        ("group_by(a, &to_string(@))", {"a": list(range(3000))}),
        ("a / b", {"a": 10**4000, "b": 1}),
        ("a > b", {"a": 1, "b": "x"}),
        ("abs(a)", {"a": "x"}),
        ("from_items(a)", {"a": [1]}),
        ("-a", {"a": []}),
    ],
)
def test_an_answer_cannot_make_an_expression_run_away(expression: str, body: dict[str, Any]) -> None:
    status = drive(made(progress=expression), {"id": "1"}, response_of({"s": "running", **body})).status
    assert status.progress is None
    (note,) = status.notes
    assert note.startswith("progress: ")
    assert len(note) < 120


EXPRESSIONS = st.sampled_from(
    [
        "a",
        "b.c",
        "[0]",
        "*",
        "[*]",
        "a[?b > `1`]",
        "length(@)",
        "a / b",
        "-a",
        "sum(@)",
        "to_number(a)",
        "keys(@)",
        "sort(@)",
        "join('', @)",
        "max_by(@, &a)",
        "a || b",
        "{x: a}",
        "[a, b]",
        "merge(@, a)",
        "let $x = a in $x.b",
        "a[::2]",
        "reverse(@)",
        "items(@)",
        "a % b",
        "a // b",
        "to_string(@)",
        "avg(@)",
    ]
)


@given(EXPRESSIONS, EXPRESSIONS, st.data())
def test_whatever_an_answer_is_every_expression_ends(one: str, two: str, data: st.DataObject) -> None:
    mapping = {"progress": one, "started_at": two, "items": f"{one} | {two}", "step": two, "enabled": one}
    bodies = [b'{"a": {"b": 1, "c": [2, "3"]}, "b": {"c": 4}, "s": "running"}', b'[{"a": 1, "b": 2}, "x"]']
    body = data.draw(mutated(bodies))
    assert_read_or_refused(made(**mapping), {"id": "1"}, response_of(body))


@pytest.mark.slow
@given(st.lists(st.sampled_from(["a", "b", '"c d"', "state"]), min_size=1, max_size=4), st.data())
def test_a_plain_path_finds_what_the_library_finds(names: list[str], data: st.DataObject) -> None:
    source = ".".join(names)
    leaves = st.none() | st.integers() | st.text(max_size=2)
    body = data.draw(
        st.recursive(
            leaves,
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["a", "b", "c d", "state"]), inner, max_size=3)
            ),
        )
    )
    assert jmespaths.finder(source)(body) == jmespaths.found(jmespaths.compiled(source), body)


SIGNS = ["a", "b_c", ".", "[", "]", "[]", "[?", "*", "(", ")", "{", "}", ":", ",", "|", "||", "&", "&&", "!"]
SIGNS += ["==", "<", "=", "+", "-", "/", "//", "%", "`1`", "`", "'", "'x'", '"', '"k"', "@", "$", "$v", "let"]
SIGNS += ["in", "length", "sort_by", "0", "-1", "é", "\\", "\n", " ", "\U0001f600"]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(SIGNS), max_size=12).map("".join) | st.text(max_size=30))
@example("((" * 900)
@example("a" + "||a" * 600)
@example("`" + "[" * 1900 + "`")
@example("")
def test_any_text_is_an_expression_or_an_error_of_the_config(text: str) -> None:
    errors: list[Any] = []
    try:
        assert_read_or_refused(made(state=text), {"id": "1"}, response_of({"a": [1, {"b_c": "x"}]}))
    except ValidationError as error:
        errors = error.errors()
    assert all(error["type"] == "value_error" for error in errors)
    assert all(error["loc"] == ("read", "state") for error in errors)


def test_without_an_expression_the_library_is_not_loaded() -> None:
    code = "import sys, exporter.config; sys.exit('jmespath' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
