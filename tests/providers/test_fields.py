"""The fields of an object of a response: each value or none, and a note for what cannot be used."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.providers import values
from exporter.providers.fields import Fields
from tests.providers.conftest import ODD

READERS: dict[str, Any] = {
    "text": values.text,
    "flag": values.flag,
    "count": values.count,
    "ratio": values.ratio,
    "instant": values.instant,
}


@given(st.sampled_from(sorted(READERS)), ODD)
def test_a_field_has_the_value_of_its_converter_or_a_note(reader: str, value: object) -> None:
    fields = Fields({"a": value}, "place.")
    result = getattr(fields, reader)("a")
    assert result == READERS[reader](value)
    absent = value is None or (isinstance(value, str) and not value.strip())
    if result is not None and result != "":
        assert fields.notes == ()
        assert fields.why_left_out("a") == ""
    elif reader not in ("text", "instant"):
        assert fields.notes == (() if absent else (fields.why_left_out("a"),))
    for note in fields.notes:
        assert note.startswith("place.a: the value is not ")
        assert not absent


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"])
def test_a_time_that_means_no_time_gets_no_note(value: str) -> None:
    fields = Fields({"a": value})
    assert (fields.instant("a"), fields.notes) == (None, ())


@pytest.mark.parametrize("body", [None, [], 5, "x", True])
def test_what_is_no_object_has_no_fields(body: object) -> None:
    fields = Fields(body)
    assert (fields.text("a"), fields.count("a"), fields.notes) == ("", None, ())


def test_the_notes_of_nested_objects_are_in_one_list_and_each_is_there_once() -> None:
    fields = Fields({"a": {"n": "x"}, "b": {"n": -1, "deep": {"f": "no"}}, "c": 5})
    assert fields.nested("a", "b").count("n") is None
    assert fields.nested("b").nested("deep").flag("f") is None
    assert fields.nested("c").count("n") is None
    assert fields.nested("b").count("n") is None
    assert fields.notes == (
        "b.n: the value is not a whole number from 0",
        "b.deep.f: the value is not true or false",
        "c: the value is not an object",
    )
