"""What people are shown of one job, of the reads that a test makes."""

from typing import Any

import msgspec
import pytest

from exporter.collector.outages import Outages
from exporter.collector.plan import Plan
from exporter.collector.record import MAX_CHANGES, JobRecord
from exporter.metrics import JOB_METRICS
from exporter.metrics.exposition import Page
from exporter.model.failure import Failure, Reason
from exporter.model.job import Expect, Items, Job, Kind, State, Status
from exporter.model.pacing import Rules
from exporter.upstream.reading import Outcome
from exporter.views import LABELS, SHAPES, STATES, UNREAD, UNREADABLE, JobReport, problem, report, reports
from exporter.views.report import REPORTS_PER_TURN
from tests.clock import FakeClock

NOW = 1.8e9
EXPECT = Expect(start_within=60, run_within=600)


def record(clock: FakeClock, **job: Any) -> JobRecord:
    upstream: Any = object()  # nothing asks it
    known = Job("docs", "a/b", Kind.SLOT, "caps", {"id": "a/b"}, labels={"squad": "x"}, expect=EXPECT)
    made = Job(**{**{name: getattr(known, name) for name in Job.__slots__}, **job})
    plan = Plan("docs", "origin", upstream, [made], Rules(10, 600), {}, 1, lambda _keys, _name: made)
    return JobRecord(made, plan, Page(JOB_METRICS), Outages("docs"), clock)


def read(of: JobRecord, clock: FakeClock, result: Status | Failure) -> JobReport:
    if isinstance(result, Failure):
        of.remember(Outcome(None, result, clock.time(), 0.1))
    else:
        of.remember(Outcome(result, None, clock.time(), 0.1))
    return report(of)


def test_a_job_that_was_never_read_is_shown_as_that() -> None:
    shown = report(record(FakeClock(epoch=NOW), name="Docs"))
    assert (shown.title, shown.state, shown.read_at, shown.labels) == ("Docs", UNREAD, None, {"squad": "x"})
    assert not shown.is_late(10**12)


def test_a_run_in_progress_is_measured_from_its_start_against_what_is_expected() -> None:
    clock = FakeClock(epoch=NOW)
    began = NOW - 500
    status = Status(State.RUNNING, raw="BUSY", started_at=began, items=Items(total=9, succeeded=2, failed=1))
    shown = read(record(clock), clock, status)
    assert (shown.state, shown.word, shown.since, shown.expected_seconds) == (
        "running",
        "BUSY",
        began,
        600,
    )
    assert (shown.items.total, shown.items_done) == (9, 3)
    assert (shown.is_late(NOW + 100), shown.is_late(NOW + 101)) == (False, True)


@pytest.mark.parametrize(
    ("status", "since", "expected"),
    [
        (Status(State.QUEUED, queued_at=5.0), 5.0, 60),
        (Status(State.CANCELING, started_at=5.0), 5.0, 600),
        (Status(State.SUCCEEDED, state_since=7.0, started_at=5.0), 7.0, None),
    ],
)
def test_each_state_has_its_own_start_and_expectation(
    status: Status, since: float, expected: float | None
) -> None:
    clock = FakeClock(epoch=NOW)
    shown = read(record(clock), clock, status)
    assert (shown.since, shown.expected_seconds) == (since, expected)


def test_a_failed_read_shows_why_and_since_when_and_nothing_old() -> None:
    clock = FakeClock(epoch=NOW)
    job = record(clock)
    read(job, clock, Status(State.SUCCEEDED, raw="OK", progress=1.0, ended_at=clock.time()))
    clock.turn(60)
    began = clock.time()
    read(job, clock, Failure(Reason.FORBIDDEN, "HTTP status 403"))
    clock.turn(60)
    shown = read(job, clock, Failure(Reason.FORBIDDEN, "HTTP status 403"))
    assert (shown.state, shown.word, shown.progress, shown.since) == (UNREADABLE, "", None, began)
    assert shown.last_success == began - 60
    assert shown.problem == problem(Reason.FORBIDDEN, "HTTP status 403")
    assert shown.problem.docs.endswith("docs/on-call/reasons.md#forbidden")


def test_changes_of_state_are_remembered_and_the_newest_stay() -> None:
    clock = FakeClock(epoch=NOW)
    job = record(clock)
    for number in range(2 * MAX_CHANGES):
        clock.turn(10)
        for _ in range(2):  # the same state again is no change
            read(job, clock, Status(State.QUEUED if number % 2 else State.RUNNING))
    assert len(job.changes) == MAX_CHANGES
    assert [change.at for change in job.changes] == sorted({change.at for change in job.changes})
    assert job.changes[-1].state is State.QUEUED
    read(job, clock, Failure(Reason.DNS))
    read(job, clock, Failure(Reason.TLS))
    assert [change.reason for change in job.changes[-2:]] == [Reason.DNS, Reason.TLS]


def test_changes_are_not_in_the_future_after_the_clock_was_set_back() -> None:
    clock = FakeClock(epoch=NOW)
    job = record(clock)
    read(job, clock, Status(State.RUNNING))
    clock.epoch -= 3600
    job.cap_times()
    assert job.changes[-1].at <= clock.time()


async def test_many_jobs_are_reported_in_order_in_several_turns() -> None:
    clock = FakeClock(epoch=NOW)
    jobs = [record(clock, id=str(number)) for number in range(REPORTS_PER_TURN + 1)]
    assert [each.job_id for each in await reports(jobs)] == [job.job.id for job in jobs]


def test_a_report_is_the_same_after_a_way_through_json() -> None:
    clock = FakeClock(epoch=NOW)
    for result in (Status(State.RUNNING, items=Items(total=3), progress=0.5), Failure(Reason.DNS, "no <b>")):
        shown = read(record(clock), clock, result)
        assert msgspec.json.decode(msgspec.json.encode(shown), type=JobReport) == shown


def test_every_state_has_a_word_and_a_sign_of_its_own() -> None:
    assert set(STATES) == {*State, UNREAD, UNREADABLE} == set(SHAPES) == set(LABELS)
    assert len({*SHAPES.values()}) == len({*LABELS.values()}) == len(STATES)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence_a_next_step_and_a_section_in_the_docs(reason: Reason) -> None:
    words = problem(reason)
    assert words.sentence.endswith(".")
    assert words.next_step.endswith(".")
    assert words.docs.endswith(f"docs/on-call/reasons.md#{reason}")
