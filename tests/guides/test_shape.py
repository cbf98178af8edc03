"""What is found out of the response of an unknown API."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.expressions.tree import finder
from exporter.guides.shape import quoted, shape_of, state_of
from exporter.model.job import State

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("body", "items", "found"),
    [
        ([{"id": 1, "state": "ok"}], "@", ("id", "state", "", "")),
        ({"data": {"runs": [{"uuid": "x", "Status": "ok"}]}}, "data.runs", ("uuid", "Status", "", "")),
        ({"jobs": [{"job-id": "x", "phase": 1}]}, "jobs", ('"job-id"', "phase", "", "")),
        ({"a": [1], "jobs": [{"name": "n"}]}, "jobs", ("name", "", "name", "")),
        ([{"id": 1, "progress": 0.5}], "@", ("id", "", "", "progress")),
        ([{"id": 1, "percent": 0}, {"id": 2, "percent": 40}], "@", ("id", "", "", "percent / `100`")),
        (
            [{"jobNumber": 7, "currentState": "ok", "task_title": "t"}],
            "@",
            ("jobNumber", "currentState", "task_title", ""),
        ),
        ([{"id": 1, "pct": None}, {"id": 2, "pct": 40}], "@", ("id", "", "", "pct / `100`")),
        ([{"parentId": 1, "estate": "x", "paid": 1}], "@", ("", "", "", "")),
    ],
)
def test_the_usual_fields_are_found(body: Any, items: str, found: tuple[str, ...]) -> None:
    shape = shape_of(body)
    assert shape is not None
    assert (shape.items, shape.id, shape.state, shape.name, shape.progress) == (items, *found)


def test_times_of_a_run_are_found_where_they_are_times() -> None:
    first = {"id": 1, "createdAt": "2026-03-01T12:00:00Z", "started": None, "finished": False}
    shape = shape_of([first, {"id": 2, "started": 1772366400, "end_time": "2026-03-01 13:00:00"}])
    assert shape is not None
    assert shape.times == {"queued_at": "createdAt", "started_at": "started", "ended_at": "end_time"}


@pytest.mark.parametrize("body", [None, 1, "x", [], [1, 2], {"a": {"b": {"c": {"d": [{"id": 1}]}}}}])
def test_a_response_without_a_list_of_objects_has_no_shape(body: object) -> None:
    assert shape_of(body) is None


def test_the_response_of_one_job_is_its_own_entry() -> None:
    shape = shape_of({"status": "ok", "steps": [{"id": 1}]}, one=True)
    assert shape is not None
    assert (shape.items, shape.state) == ("", "status")
    assert shape_of([], one=True) is None


@pytest.mark.parametrize(
    ("word", "state"),
    [("In-Progress", "running"), ("DONE", "succeeded"), ("TIMED_OUT", "failed"), ("kaputt", "")],
)
def test_usual_words_have_a_state(word: str, state: str) -> None:
    assert state_of(word) == state
    assert not state or state in set(State)


@given(st.text(min_size=1, max_size=20).filter(lambda name: name.isprintable()))
def test_every_field_name_becomes_an_expression_that_finds_it(name: str) -> None:
    assert finder(quoted(name))({name: 7}) == 7


@given(JSON, st.booleans())
def test_no_response_raises_and_each_expression_is_valid(body: Any, one: bool) -> None:  # noqa: FBT001
    shape = shape_of(body, one=one)
    if shape is not None:
        found = (shape.items, shape.id, shape.state, shape.progress, shape.name, *shape.times.values())
        for expression in filter(None, found):
            finder(expression)
