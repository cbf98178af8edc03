"""Expressions of the provider `json`: the user's own, met by responses that nobody vouches for."""

import itertools
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError
from pydantic import ValidationError

from exporter.config_types import expression
from exporter.expressions import tree as jmespaths
from exporter.expressions.budget import Budget, Exhausted, Misfit
from exporter.expressions.evaluation import CONSTANT, FUNCTIONS, found
from exporter.model.failure import Failure, Reason
from exporter.providers.base import SHORT_BODY
from exporter.providers.json.discover_keys import JsonDiscover
from exporter.providers.json.job_api import JsonApi, JsonOptions
from tests.providers.conftest import (
    ODD,
    Listed,
    assert_read_or_refused,
    discover,
    drive,
    mutated,
    response_of,
)
from tests.vendor import Asked, Told, exporter, read_samples, vendor


def made(**read: Any) -> JsonApi:
    return JsonApi(JsonOptions.model_validate({"read": {"path": "/jobs/{id}", "state": "s", **read}}))


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("a * b", {"a": "x" * 1000, "b": 10**9}),
        ("a * b", {"a": [1], "b": 10**9}),
        ("a * b", {"a": 10**4000, "b": 10**4000}),
        ("a % b", {"a": "%999999999d", "b": 1}),
        ("a / b", {"a": 10**4000, "b": 1}),
        ("a > b", {"a": 1, "b": "x"}),
        ("abs(a)", {"a": "x"}),
        ("from_items(a)", {"a": [1]}),
        ("-a", {"a": []}),
    ],
)
def test_an_expression_that_does_not_fit_an_answer_costs_its_own_value(
    expression: str, body: dict[str, Any]
) -> None:
    status = drive(made(progress=expression), {"id": "1"}, response_of({"s": "running", **body})).status
    assert status.progress is None
    (note,) = status.notes
    assert note.startswith("progress: ")
    assert len(note) < 120


@pytest.mark.parametrize("items", [[[1, 2]], [["a", 1, 2]], ["ab"], [[["a"], 1]]])
def test_only_texts_become_the_names_of_an_object(items: list[Any]) -> None:
    # Whole numbers with the same hash would make a dictionary of 40,000 of them take a quarter of a minute.
    with pytest.raises(Misfit, match="cannot be evaluated"):
        jmespaths.finder("from_items(@)")(items)
    assert jmespaths.finder("from_items(@)")([["a", 1]]) == {"a": 1}


MANY, TEXTS = list(range(2_000)), [str(number) for number in range(2_000)]
LONG, EQUAL = "x" * 500_000, {"b": {"c": list(range(3_000))}, "d": {"c": list(range(3_000))}}

RUNAWAYS: list[tuple[str, dict[str, Any]]] = [
    ("length(a[?contains($.b, @)])", {"a": TEXTS, "b": [f"{text}." for text in TEXTS]}),
    ("length(a[?contains($.b, $.c)])", {"a": MANY, "b": [[1] * 900] * 100, "c": [1] * 900}),
    ("length(a[?b == 'x'])", {"a": [{"b": "y"}] * 13_000}),
    ("length(a[*].b)", {"a": [{"b": 1}] * 50_001}),
    ("length(*.b)", {"a": 1} | {f"k{number}": {"b": 1} for number in range(50_001)}),
    ("length(map(&b, a))", {"a": [{"b": 1}] * 50_001}),
    ("max_by(a, &b).c", {"a": [{"b": 1}] * 50_001}),
    ("min_by(a, &b).c", {"a": [{"b": 1}] * 50_001}),
    ("length(sort_by(a, &b))", {"a": [{"b": 1}] * 50_001}),
    ("length(group_by(a, &b))", {"a": [{"b": "x"}] * 50_001}),
    ("length(a[?$.b == $.d])", {"a": MANY, **EQUAL}),
    ("length(a[?$.b != $.d])", {"a": MANY, **EQUAL}),
    ("length(a[?$.b < $.d])", {"a": MANY, "b": LONG, "d": LONG + "2"}),
    ("length(map(&$.a, a)[])", {"a": MANY}),
    ("length(map(&$.a[::-1], a))", {"a": MANY}),
    ("length(map(&$.b[1:], a))", {"a": MANY, "b": LONG}),
    ("length(map(&reverse($.a), a))", {"a": MANY}),
    ("length(map(&sort($.a), a))", {"a": MANY}),
    ("length(sort(map(&$.b, a)))", {"a": MANY, "b": LONG}),
    ("max(map(&$.b, a))", {"a": MANY, "b": LONG}),
    ("min(map(&$.b, a))", {"a": MANY, "b": LONG}),
    ("length(map(&sum($.a), a))", {"a": MANY}),
    ("length(map(&avg($.a), a))", {"a": MANY}),
    ("length(map(&zip($.a, $.a), a))", {"a": MANY}),
    ("length(map(&keys($), a))", {"a": MANY, **dict.fromkeys(TEXTS)}),
    ("length(map(&values($), a))", {"a": MANY, **dict.fromkeys(TEXTS)}),
    ("length(map(&items($), a))", {"a": MANY, **dict.fromkeys(TEXTS)}),
    ("length(map(&merge($, $), a))", {"a": MANY, **dict.fromkeys(TEXTS)}),
    ("length(map(&from_items($.b), a))", {"a": MANY, "b": [[text, 1] for text in TEXTS]}),
    ("length(map(&join('', $.a), a))", {"a": TEXTS}),
    ("join(a, b)", {"a": LONG, "b": [""] * 1_000}),
    ("length(map(&to_string($), a))", {"a": MANY}),
    ("length(map(&to_number($.b), a))", {"a": MANY, "b": "1" * 500_000}),
    ("length(map(&lower($.b), a))", {"a": MANY, "b": LONG}),
    ("length(map(&upper($.b), a))", {"a": MANY, "b": LONG}),
    ("length(map(&contains($.b, 'y'), a))", {"a": MANY, "b": LONG}),
    ("length(map(&starts_with($.b, $.b), a))", {"a": MANY, "b": LONG}),
    ("length(map(&ends_with($.b, $.b), a))", {"a": MANY, "b": LONG}),
    ("length(map(&find_first($.b, 'y'), a))", {"a": MANY, "b": LONG}),
    ("find_last(a, b)", {"a": LONG, "b": f"xy{LONG[:200_000]}"}),
    ("trim(a, b)", {"a": LONG, "b": "y" * 200_000 + "x"}),
    ("trim_left(a, b)", {"a": LONG, "b": "y" * 200_000 + "x"}),
    ("trim_right(a, b)", {"a": LONG, "b": "y" * 200_000 + "x"}),
    ("length(map(&trim($.b, ''), a))", {"a": MANY, "b": " " * 500_000}),
    ("pad_left(a, b)", {"a": "x", "b": 10**10}),
    ("pad_right(a, b)", {"a": "x", "b": 10**10}),
    ("replace(a, 'x', a)", {"a": "x" * 100_000}),
    ("length(split(a, 'x'))", {"a": LONG}),
    ("length(split(a, ''))", {"a": LONG}),
    ("let $x = a in length(map(&map(&@, $x), a))", {"a": MANY}),
]


@pytest.mark.parametrize(("expression", "body"), RUNAWAYS)
def test_an_answer_cannot_make_an_expression_run_away(expression: str, body: dict[str, Any]) -> None:
    response = response_of({"s": "running", **body})
    began = time.thread_time()
    with pytest.raises(Failure) as failed:
        drive(made(items=expression), {"id": "1"}, response)
    # Not a measure of speed: without limits, most of these take seconds to hours.
    assert time.thread_time() - began < 1
    assert failed.value.reason is Reason.INVALID_RESPONSE
    assert failed.value.detail == "items: its expression needs over 50,000 steps for this response"


async def test_a_job_whose_response_needs_too_many_steps_fails_alone(tmp_path: Path) -> None:
    texts = [f"{number:07}" for number in range(40_000)]
    body = json.dumps({"state": "running", "items": texts, "failed": texts[::-1]})

    def respond(asked: Asked) -> Told:
        return Told(body.encode() if asked.path == "/jobs/hostile" else {"state": "running", "items": []})

    read = {"path": "/jobs/{id}", "state": "state", "items_failed": "length(items[?contains($.failed, @)])"}
    jobs = [{"id": "hostile"}, {"id": "honest"}]
    async with vendor(respond) as server:
        system = {"provider": "json", "base_url": server.url, "read": read, "jobs": jobs}
        async with exporter(json.dumps({"systems": {"ci": system}}), tmp_path) as running:
            samples = read_samples((await running.get("/metrics")).text)
            explained = (await running.get("/probe?system=ci&id=hostile&debug=true")).text
    assert samples.get_one("remote_job_up", job_id="honest") == 1
    assert samples.get_one("remote_job_up", job_id="hostile") == 0
    assert samples.get_one("remote_job_read_error_info", job_id="hostile", reason="invalid_response") == 1
    assert "items_failed: its expression needs over 50,000 steps for this response" in explained


def test_each_function_has_a_test_that_it_does_not_run_away() -> None:
    tested = set(re.findall(r"(\w+)\(", " ".join(expression for expression, _ in RUNAWAYS)))
    assert FUNCTIONS.keys() - tested == CONSTANT - {"length"}


def test_all_expressions_of_a_read_have_one_limit_together() -> None:
    names = ["items", *(f"items_{name}" for name in ("sent", "processed", "succeeded", "failed", "skipped"))]
    counts = dict.fromkeys([*names, "items_deleted", "items_acknowledged", "run_number"], "length(a[?b])")
    body = {"s": "running", "a": [{"b": 1}] * 16_000}
    one = drive(made(items="length(a[?b])"), {"id": "1"}, response_of(body)).status
    assert one.items.total == 16_000
    with pytest.raises(Failure) as failed:
        drive(made(**counts), {"id": "1"}, response_of(body | {"a": [{"b": 1}] * 24_000}))
    assert failed.value.reason is Reason.TOO_LARGE
    names_of_keys = "|".join(counts)
    assert re.fullmatch(
        f"({names_of_keys}): its expression and the others together need too many steps for this response",
        failed.value.detail,
    )


def test_the_time_of_all_expressions_of_a_read_is_limited() -> None:
    now = itertools.count()
    find, body = jmespaths.finder("length(a[?b])"), {"a": [{"b": 1}] * 1_500}
    budget = Budget(seconds=2.5, clock=lambda: next(now))
    assert find({"a": body["a"][:100]}, budget) == 100
    assert next(now) == 0
    assert find(body, budget) == 1_500
    with pytest.raises(Exhausted, match="too much time") as error:
        find(body, budget)
    assert error.value.of_read


@pytest.mark.parametrize(
    ("expression", "can_take_long"),
    [
        ("a.b", False),
        ("a / `100` || b && 'x'", False),
        ("a == b || c > `1`", False),
        ("contains(['A', 'B'], a) && length(b) || to_number(split(c, '/')[1])", False),
        ("join('/', [a, to_string(b)])", False),
        ("a[0].b || max(c)", False),
        ("a[?b].c | [0]", True),
        ("a[*].b", True),
        ("a.*", True),
        ("a[]", True),
        ("a[::2]", True),
        ("max_by(a, &b).c", True),
        ("contains(a, b)", True),
        ("contains(['A'], join('', a[*].b))", True),
        ("pad_left(a, b)", True),
        ("let $x = a in length($x[?b])", True),
    ],
)
def test_what_can_take_long_for_a_small_response_is_read_in_a_thread(
    expression: str, *, can_take_long: bool
) -> None:
    short = 0 if can_take_long else SHORT_BODY
    assert made(progress=expression).short_body == short
    assert made(also={"b": {"path": "/b/{id}", "error": expression}}).short_body == short
    assert made().short_body == SHORT_BODY
    listing = {"path": "/jobs", "keys": {"id": "id"}}
    assert JsonDiscover.model_validate({**listing, "items": expression}).short_body == short
    parents = {**listing, "items": "a", "keys": {"p": expression}}
    below = {**listing, "path": "/{p}", "items": "a", "parents": parents}
    assert JsonDiscover.model_validate(below).short_body == short


def listed(entries: list[Any], keys: dict[str, Any], **read: Any) -> Listed:
    options = {"path": "/jobs", "items": "@", "keys": {"id": "id"}, **keys}
    return discover(made(**read), options, response_of(entries), now=0.0)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        *(
            ("to_number(a)", {"a": text})
            for text in ("NaN", "nan", "Infinity", "-inf", "1e999", "9" * 400 + ".5")
        ),
        *((source, {"a": 1e308}) for source in ("a * a", "a + a", "-a - a", "sum([a, a])", "avg([a, a])")),
        ("to_number(a) > `5`", {"a": "Infinity"}),
        ("to_number(a) != `5`", {"a": "NaN"}),
    ],
)
def test_a_number_that_json_does_not_have_is_nothing(source: str, value: Any) -> None:
    result = expression(source).find(value)
    assert result in (None, True)
    # As if there were no value.
    assert result == expression(source).find({})


def test_an_entry_that_needs_too_many_steps_fails_its_job_alone() -> None:
    entries = [{"id": "a", "s": "running", "l": [1] * 50_001}, {"id": "b", "s": "running", "l": [1]}]
    first, second = listed(entries, {"state": "s"}, items="length(l[?@])").found
    assert first.failure is not None
    assert first.failure.detail == "items: its expression needs over 50,000 steps for this response"
    assert second.status is not None
    assert second.status.items.total == 1


def test_an_entry_whose_key_needs_too_many_steps_is_skipped_alone() -> None:
    entries = [{"l": ["a"] * 50_001}, {"l": ["b"]}]
    found = listed(entries, {"keys": {"id": "l[?@] | [0]"}, "state": None})
    assert found.ids == ["b"]
    assert found.end.skipped == {
        "discover.keys.id: its expression needs over 50,000 steps for this response": 1
    }


def test_all_entries_of_a_listing_have_one_limit_together() -> None:
    entries = [{"id": str(number), "s": "running", "l": [1] * 4_800} for number in range(50)]
    assert len(listed(entries[:12], {"state": "s"}, items="length(l[?@])").found) == 12
    with pytest.raises(Failure) as failed:
        listed(entries, {"state": "s"}, items="length(l[?@])")
    assert failed.value.reason is Reason.TOO_LARGE
    assert failed.value.detail.startswith("items: its expression and the others together need too many steps")


def test_a_listing_may_have_more_steps_the_more_entries_it_has() -> None:
    entries = [{"id": str(number), "s": "running", "l": [1] * 200} for number in range(1_200)]
    assert len(listed(entries, {"state": "s"}, items="length(l[?@])").found) == 1_200


@pytest.mark.parametrize(
    ("keys", "detail"),
    [
        ({"items": "@[?@]"}, "discover.items"),
        ({"items": "@[?@]", "error": "@[?!@]"}, "discover.error"),
        ({"paging": {"total": "length([?@])"}}, "discover.paging.total"),
        ({"paging": {"next": "[?@] | [0]"}}, "discover.paging.next"),
    ],
)
def test_a_page_that_needs_too_many_steps_fails_the_listing(keys: dict[str, Any], detail: str) -> None:
    with pytest.raises(Failure) as failed:
        listed([{"id": "a"}] * 25_001, {"state": None, **keys})
    assert failed.value.reason is Reason.INVALID_RESPONSE
    assert failed.value.detail == f"{detail}: its expression needs over 50,000 steps for this response"


SOURCES = [
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
    "a[1:].b",
    "a[:1].b[0]",
    "a[].c",
    "a[?c].b",
    "a[?c == b || !c].{x: c}",
    "*.c",
    "a[?contains(['2', 'x'], c)]",
    "[['1'], ['2', a]][]",
    "group_by(a, &b)",
    "sort_by(a, &b)",
    "min_by(a, &length(b))",
    "map(&c, a)",
    "a == b",
    "a != b",
    "a < b",
    "split(a, ',', `1`)",
]
EXPRESSIONS = st.sampled_from(SOURCES)

BODIES = [
    {"a": {"b": 1, "c": [2, "3"]}, "b": {"c": 4}},
    {"a": [{"b": "x", "c": "2"}, {"b": "y", "c": None}, {"b": "x"}], "b": [1, [2], [[3]]]},
    {"a": "1,2,3", "b": "1,2,4"},
    {"a": [{"b": None, "c": True}, {"b": "z", "c": 0}], "b": [{"b": None, "c": True}]},
    ["a", "b", "a"],
]


@given(EXPRESSIONS, EXPRESSIONS, st.data())
def test_whatever_an_answer_is_every_expression_ends(one: str, two: str, data: st.DataObject) -> None:
    mapping = {"progress": one, "started_at": two, "items": f"{one} | {two}", "step": two, "enabled": one}
    bodies = [b'{"a": {"b": 1, "c": [2, "3"]}, "b": {"c": 4}, "s": "running"}', b'[{"a": 1, "b": 2}, "x"]']
    body = data.draw(mutated(bodies))
    assert_read_or_refused(made(**mapping), {"id": "1"}, response_of(body))


def by_library(source: str, body: Any) -> Any:
    """What the library finds by itself; ``...`` if it raises an exception."""
    library: Any = jmespath
    try:
        return library.search(source, body)
    except (JMESPathError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        return ...


@given(st.sampled_from([each for each in SOURCES if not re.search(r" / | // | % |^-", each)]), st.data())
def test_an_expression_finds_what_the_library_finds(source: str, data: st.DataObject) -> None:
    body = data.draw(ODD | st.sampled_from(BODIES))
    expected = by_library(source, body)
    if expected is not ...:
        # As text, since a number can be NaN.
        assert json.dumps(jmespaths.finder(source)(body)) == json.dumps(expected)


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
    assert jmespaths.finder(source)(body) == found(jmespaths.compiled(source), body)


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
