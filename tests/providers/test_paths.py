"""Paths of requests: what is encoded, and what is kept of them."""

import tracemalloc
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.providers.base import path

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
LENGTH = 500
CALLS = 500


@settings(max_examples=50)
@given(st.lists(TEXT, min_size=1, max_size=4), st.dictionaries(st.sampled_from("abc"), TEXT))
def test_each_segment_and_each_value_can_be_read_back(segments: list[str], query: dict[str, str]) -> None:
    url = urlsplit(path(*segments, **query))
    assert [unquote(part) for part in url.path.split("/")[1:]] == segments
    assert dict(parse_qsl(url.query, strict_parsing=bool(query))) == query


@pytest.mark.parametrize("value", ["x" * LENGTH, "/" * LENGTH, "\u20ac" * 150, "\U0001f600" * 150])
def test_long_paths_are_not_kept(value: str) -> None:
    def of(number: int) -> None:
        path("jobs", f"{number}{value}", locale=f"{number}")

    assert grown(of) < 100 * LENGTH


def grown(work: Callable[[int], object]) -> int:
    """By how many bytes the memory in use has grown after many calls, each with another number."""
    work(0)
    tracemalloc.start()
    try:
        for number in range(1, CALLS):
            work(number)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
