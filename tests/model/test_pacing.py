"""When a job may be asked again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.failure import Failure, Reason
from exporter.model.job import State, Status
from exporter.model.pacing import MAX_RETRY_AFTER, Pace, Rules, Why

PLAIN = Rules(min_interval=10, final_interval=600)
STEPS = Rules(min_interval=0, final_interval=600, steps=(15, 30, 60, 120))


def test_a_job_never_asked_is_due() -> None:
    assert Pace(PLAIN).why_not(0) is None


@pytest.mark.parametrize(("age", "why"), [(0, Why.FRESH), (9.9, Why.FRESH), (10, None)])
def test_a_job_asked_within_the_least_interval_is_fresh_with_or_without_success(
    age: float, why: Why | None
) -> None:
    worked, failed = Pace(PLAIN), Pace(PLAIN)
    worked.asked(100)
    worked.read(None, Status(State.RUNNING))
    failed.asked(100)
    failed.failed(100.5, Failure(Reason.TIMEOUT))
    assert worked.why_not(100 + age) is why
    assert failed.why_not(100 + age) is why


def test_a_least_interval_of_zero_asks_at_every_scrape() -> None:
    pace = Pace(Rules(min_interval=0, final_interval=600))
    pace.asked(100)
    assert pace.why_not(100) is None


def test_a_run_that_ended_for_good_is_read_again_only_after_the_final_interval() -> None:
    pace = Pace(PLAIN)
    pace.asked(0)
    pace.read(None, Status(State.SUCCEEDED, final=True))
    assert pace.why_not(599) is Why.FINAL
    assert pace.why_not(600) is None


def test_an_ended_slot_is_asked_like_any_other() -> None:
    pace = Pace(PLAIN)
    pace.asked(0)
    pace.read(None, Status(State.SUCCEEDED))
    assert pace.why_not(15) is None


def test_the_vendors_steps_grow_while_nothing_changes_and_begin_anew_when_it_does() -> None:
    pace, before, now, waits = Pace(STEPS), None, 0.0, []
    for percent in (5, 5, 5, 5, 5, 6, 6):
        status = Status(State.RUNNING, progress=percent / 100)
        pace.asked(now)
        pace.read(before, status)
        wait = next(seconds for seconds in range(200) if pace.why_not(now + seconds) is None)
        waits.append(wait + 1)  # due within a second is due
        before, now = status, now + wait
    assert waits == [15, 30, 60, 120, 120, 15, 30]


def test_a_scrape_a_moment_too_early_still_asks() -> None:
    pace = Pace(STEPS)
    pace.asked(0)
    pace.read(None, Status(State.RUNNING, progress=0.1))
    assert pace.why_not(13.9) is Why.PACING
    assert pace.why_not(14.1) is None


@pytest.mark.parametrize(
    ("failure", "wait"),
    [
        (Failure(Reason.RATE_LIMITED, status=429, retry_after=30), 30),
        (Failure(Reason.SERVER_ERROR, status=503, retry_after=30), 30),
        (Failure(Reason.RATE_LIMITED, status=429, retry_after=86_400), MAX_RETRY_AFTER),
        (Failure(Reason.RATE_LIMITED, status=429), 0),
        (Failure(Reason.SERVER_ERROR, status=500, retry_after=30), 0),
        (Failure(Reason.NOT_FOUND, status=404, retry_after=30), 0),
    ],
)
def test_retry_after_is_obeyed_on_429_and_503_and_bounded(failure: Failure, wait: float) -> None:
    pace = Pace(Rules(min_interval=0, final_interval=600))
    pace.asked(100)
    pace.failed(100, failure)
    assert pace.why_not(100 + wait) is None
    if wait:
        assert pace.why_not(100 + wait - 1.1) is Why.PACING


def test_what_a_vendor_asked_once_does_not_outlive_the_next_read() -> None:
    pace = Pace(Rules(min_interval=0, final_interval=600))
    pace.asked(0)
    pace.failed(0, Failure(Reason.RATE_LIMITED, status=429, retry_after=60))
    pace.asked(60)
    pace.read(None, Status(State.RUNNING))
    assert pace.why_not(60) is None


def test_a_final_run_that_fails_once_is_asked_again_soon() -> None:
    pace = Pace(PLAIN)
    pace.asked(0)
    pace.read(None, Status(State.SUCCEEDED, final=True))
    pace.asked(600)
    pace.failed(600, Failure(Reason.SERVER_ERROR, status=500))
    assert pace.why_not(610) is None


@given(
    least=st.floats(0, 60),
    final=st.booleans(),
    wait=st.none() | st.floats(0, 1e9),
    age=st.floats(0, 1e4),
)
def test_every_job_is_due_again_after_the_longest_rule(
    *, least: float, final: bool, wait: float | None, age: float
) -> None:
    pace = Pace(Rules(least, 600, (15, 30, 60, 120)))
    pace.asked(0)
    pace.read(None, Status(State.FAILED, final=final))
    pace.failed(0, Failure(Reason.RATE_LIMITED, retry_after=wait))
    if age >= MAX_RETRY_AFTER:
        assert pace.why_not(age) is None
    if age < least:
        assert pace.why_not(age) is not None
