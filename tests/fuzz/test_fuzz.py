"""The harnesses of ``make fuzz`` without a fuzzer: on their seeds, and on some bytes of Hypothesis."""

from functools import cache
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.harnesses import HARNESSES

EACH = pytest.mark.parametrize("name", HARNESSES)


@cache
def seeds(name: str) -> list[bytes]:
    """Some of the seeds of a harness, for the time of the tests."""
    return list(islice(HARNESSES[name].seeds(), 40))


@EACH
def test_no_seed_breaks_a_promise(name: str) -> None:
    assert seeds(name)
    for seed in seeds(name):
        HARNESSES[name].run(seed)


@EACH
@settings(max_examples=10)
@given(data=st.data())
def test_no_bytes_break_a_promise(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(seeds(name)))
    at, more = data.draw(st.integers(0, len(seed))), data.draw(st.binary(max_size=20))
    HARNESSES[name].run(seed[:at] + more + seed[at + data.draw(st.integers(0, 20)) :])


@EACH
def test_a_harness_finds_the_fault_that_is_planted(name: str) -> None:
    harness = HARNESSES[name]
    harness.run(harness.shows)
    with harness.fault():
        harness.run(harness.near)
        with pytest.raises((AssertionError, ValueError)):
            harness.run(harness.shows)
    harness.run(harness.shows)
