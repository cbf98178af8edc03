"""Which found jobs are watched."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.choice import chosen
from exporter.model.job import State, Status
from exporter.providers.base import Found

NOW = 1_000_000.0
HOUR = 3600.0


@dataclass
class Remembered:
    status: Status | None
    state_since: float = NOW


def found(state: State = State.RUNNING, *, ended: float | None = None) -> Found:
    final = state in (State.SUCCEEDED, State.FAILED)
    return Found({}, Status(state, final=final, ended_at=None if ended is None else NOW - ended))


def names(
    listed: dict[str, Found],
    known: dict[str, Remembered] | None = None,
    newer_than: float | None = None,
    max_jobs: int = 100,
) -> list[str]:
    return list(chosen(listed, known or {}, newer_than=[newer_than], max_jobs=max_jobs, now=NOW)[0])


def test_runs_that_ended_too_long_ago_are_left_out_and_those_that_go_on_stay() -> None:
    listed = {
        "old": found(State.SUCCEEDED, ended=2 * HOUR),
        "new": found(State.SUCCEEDED, ended=HOUR / 2),
        "running": found(State.RUNNING),
        "undated": found(State.SUCCEEDED),
    }
    assert names(listed, newer_than=HOUR) == ["new", "running", "undated"]
    assert names(listed) == ["old", "new", "running", "undated"]


def test_the_time_of_a_result_is_the_end_of_a_run_that_has_no_other() -> None:
    succeeded = Status(State.SUCCEEDED, final=True, succeeded_at=NOW - 2 * HOUR, failed_at=NOW)
    failed = Status(State.FAILED, final=True, succeeded_at=NOW, failed_at=NOW - 30 * HOUR)
    listed = {"succeeded": Found({}, succeeded), "failed": Found({}, failed)}
    assert names(listed, newer_than=HOUR) == []
    assert names(listed, newer_than=3 * HOUR) == ["succeeded"]


def test_the_age_is_that_of_the_listing_that_found_a_run() -> None:
    listed = {name: found(State.SUCCEEDED, ended=2 * HOUR) for name in ("all", "new", "newer")}
    found_by = {"new": 1, "newer": 2}
    kept, _ = chosen(listed, {}, newer_than=[None, 3 * HOUR, HOUR], found_by=found_by, max_jobs=9, now=NOW)
    assert list(kept) == ["all", "new"]


def test_a_failed_run_stays_for_a_day_or_longer_where_the_window_is() -> None:
    listed = {"failed": found(State.FAILED, ended=20 * HOUR)}
    assert names(listed, newer_than=HOUR) == ["failed"]
    listed = {"failed": found(State.FAILED, ended=30 * HOUR)}
    assert names(listed, newer_than=HOUR) == []
    assert names(listed, newer_than=40 * HOUR) == ["failed"]


def test_a_failed_run_that_the_listing_forgets_stays_for_a_day_and_nothing_else_does() -> None:
    known = {
        "failed": Remembered(Status(State.FAILED, final=True, ended_at=NOW - 20 * HOUR)),
        "undated": Remembered(Status(State.FAILED, final=True), state_since=NOW - 20 * HOUR),
        "long ago": Remembered(Status(State.FAILED, final=True, ended_at=NOW - 30 * HOUR)),
        "slot": Remembered(Status(State.FAILED, ended_at=NOW)),
        "good": Remembered(Status(State.SUCCEEDED, final=True, ended_at=NOW)),
        "unread": Remembered(None),
    }
    assert names({}, known) == ["failed", "undated"]
    kept, _ = chosen({}, known, newer_than=[None], max_jobs=9, now=NOW)
    assert kept == {"failed": None, "undated": None}


def test_over_the_limit_what_ended_longest_ago_goes_first_and_is_counted() -> None:
    listed = {
        "ended long ago": found(State.SUCCEEDED, ended=9 * HOUR),
        "running": found(),
        "ended just now": found(State.SUCCEEDED, ended=1.0),
        "queued": found(State.QUEUED),
    }
    kept, dropped = chosen(listed, {}, newer_than=[None], max_jobs=3, now=NOW)
    assert list(kept) == ["running", "queued", "ended just now"]
    assert dropped == 1
    assert chosen(listed, {}, newer_than=[None], max_jobs=0, now=NOW) == ({}, 4)


@given(
    listed=st.dictionaries(
        st.text(max_size=3),
        st.builds(found, st.sampled_from(State), ended=st.none() | st.floats(-HOUR, 99 * HOUR)),
        max_size=30,
    ),
    newer_than=st.none() | st.floats(1, 99 * HOUR),
    max_jobs=st.integers(0, 40),
)
def test_whatever_is_listed_nothing_that_goes_on_is_lost_below_the_limit(
    listed: dict[str, Found], newer_than: float | None, max_jobs: int
) -> None:
    kept, dropped = chosen(listed, {}, newer_than=[newer_than], max_jobs=max_jobs, now=NOW)
    assert len(kept) <= max_jobs
    assert kept.keys() <= listed.keys()
    going_on = {name for name, each in listed.items() if each.status is not None and not each.status.final}
    assert len(going_on - kept.keys()) <= dropped
    if not dropped:
        assert going_on <= kept.keys()
        assert {
            name for name, each in listed.items() if each.status and (each.status.ended_at or NOW) > NOW - 1
        } <= kept.keys()
