"""Text from outside is shown on one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("Größe 大 ok", "Größe 大 ok"), ("a\r\nb\t\x1b[2J\u202e\ud800", "a??b??[2J??")],
)
def test_what_cannot_be_printed_becomes_a_question_mark(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(), st.integers(0, 20))
def test_any_text_is_printable_and_within_its_limit(text: str, limit: int) -> None:
    assert printable(text).isprintable()
    assert printable(text, limit) == printable(text)[:limit]
