"""What is remembered of a job between reads."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.history import History
from exporter.model.job import RESULTS, Items, State, Status

SINCE = 1_000.0


def lived(*statuses: Status) -> History:
    """The history of a job read every ten seconds, first at 1010."""
    history = History(watched_since=SINCE)
    for number, status in enumerate(statuses, 1):
        history.observe(status, SINCE + 10 * number)
    return history


def counted(history: History) -> dict[str, int]:
    return {state.value: runs for state, runs in history.finished.items() if runs}


def test_a_run_that_ended_before_we_watched_dates_its_end_but_is_not_counted() -> None:
    history = lived(Status(State.SUCCEEDED, ended_at=900.0))
    assert history.last_success == 900.0
    assert history.last_failure is None
    assert counted(history) == {}


@pytest.mark.parametrize("result", RESULTS)
def test_a_run_seen_to_end_is_counted_once_however_often_it_is_read_again(result: State) -> None:
    ended = Status(result, started_at=1_005.0, ended_at=1_015.0)
    history = lived(Status(State.RUNNING, started_at=1_005.0), ended, ended, ended)
    assert counted(history) == {result.value: 1}


def test_a_run_seen_to_end_is_counted_although_the_vendors_clock_is_behind() -> None:
    history = lived(Status(State.RUNNING), Status(State.FAILED, ended_at=20.0))
    assert (counted(history), history.last_failure) == ({"failed": 1}, 20.0)


def test_an_end_without_a_time_is_dated_when_first_seen_and_stays_there() -> None:
    running, failed = Status(State.RUNNING), Status(State.FAILED)
    history = lived(running, failed, failed, failed)
    assert history.last_failure == 1_020.0
    assert history.state_since == 1_020.0
    assert counted(history) == {"failed": 1}


def test_an_end_time_that_comes_later_corrects_nothing_but_the_date() -> None:
    history = lived(Status(State.RUNNING), Status(State.SUCCEEDED), Status(State.SUCCEEDED, ended_at=1_025.0))
    assert history.last_success == 1_025.0
    assert counted(history) == {"succeeded": 1}


@pytest.mark.parametrize(
    ("shown", "later"),
    [
        (Status(State.SUCCEEDED, succeeded_at=900.0), Status(State.SUCCEEDED, succeeded_at=1_011.0)),
        (
            Status(State.SUCCEEDED_WITH_ERRORS, succeeded_at=900.0),
            Status(State.SUCCEEDED_WITH_ERRORS, succeeded_at=1_011.0),
        ),
        (Status(State.FAILED, failed_at=900.0), Status(State.FAILED, failed_at=1_011.0)),
    ],
)
def test_the_time_of_a_result_is_that_of_the_run_that_is_shown_with_it(shown: Status, later: Status) -> None:
    history = lived(shown)
    assert 900.0 in (history.last_success, history.last_failure)
    assert counted(history) == {}
    history = lived(shown, shown, later, later)
    assert 1_011.0 in (history.last_success, history.last_failure)
    assert counted(history) == {later.state.value: 1}


def test_a_slot_shows_run_after_run_in_the_same_state_and_each_is_counted() -> None:
    history = lived(
        Status(State.SUCCEEDED, run="a", ended_at=1_001.0),
        Status(State.SUCCEEDED, run="b", ended_at=1_011.0),
        Status(State.SUCCEEDED, run="c", ended_at=1_021.0),
    )
    assert counted(history) == {"succeeded": 2}
    assert history.last_success == 1_021.0


def test_runs_told_apart_by_number_alone_are_counted() -> None:
    history = lived(
        Status(State.FAILED, run_number=7),
        Status(State.FAILED, run_number=8),
        Status(State.FAILED, run_number=8),
    )
    assert counted(history) == {"failed": 1}
    assert history.last_failure == 1_020.0


def test_a_failure_stays_newest_while_the_slot_runs_again() -> None:
    history = lived(
        Status(State.FAILED, run="a", ended_at=1_005.0), Status(State.RUNNING, run="b"), Status(State.UNKNOWN)
    )
    assert (history.last_failure, history.last_success) == (1_005.0, None)


concluded = partial(Status, unseen_end=State.SUCCEEDED)


@pytest.mark.parametrize("active", [State.QUEUED, State.RUNNING, State.CANCELING])
@pytest.mark.parametrize("after", [State.IDLE, State.QUEUED, State.STOPPED, State.RUNNING])
def test_an_end_that_the_provider_concludes_is_counted_once(active: State, after: State) -> None:
    history = lived(Status(active), concluded(after), Status(after), Status(after))
    assert counted(history) == {"succeeded": 1}
    assert history.last_success == 1_020.0


def test_an_unseen_end_counts_as_what_the_provider_says() -> None:
    history = lived(Status(State.RUNNING), Status(State.IDLE, unseen_end=State.FAILED))
    assert (counted(history), history.last_failure) == ({"failed": 1}, 1_020.0)


def test_a_conclusion_that_is_certain_after_a_short_time_only_counts_nothing_after_a_long_one() -> None:
    for within, runs in ((9.9, {}), (10.0, {"succeeded": 1}), (None, {"succeeded": 1})):
        history = lived(
            Status(State.RUNNING), Status(State.RUNNING), concluded(State.IDLE, unseen_within=within)
        )
        assert counted(history) == runs


def test_the_time_between_two_reads_begins_with_the_request_of_the_first() -> None:
    ends = concluded(State.IDLE, unseen_within=2.0)
    for read_at, now, runs in ((1_000.0, 1_001.0, 1), (992.0, 1_001.0, 0), (1_000.0, 995.0, 0)):
        history = History(watched_since=SINCE)
        history.observe(Status(State.RUNNING), 1_000.0, read_at=read_at)
        history.observe(ends, now, read_at=now)
        assert history.finished[State.SUCCEEDED] == runs


def test_a_run_that_the_provider_concludes_to_be_over_is_followed_by_another_one() -> None:
    for within in (0.0, None):
        history = lived(
            Status(State.RUNNING, run="a", progress=0.5),
            concluded(State.RUNNING, run="a", progress=0.5, unseen_within=within),
        )
        assert (history.state_since, history.progress_changed) == (1_020.0, 1_020.0)


@pytest.mark.parametrize(
    "life",
    [
        (Status(State.RUNNING), Status(State.IDLE)),
        (Status(State.QUEUED), Status(State.IDLE)),
        (Status(State.QUEUED), Status(State.RUNNING)),
        (Status(State.RUNNING), Status(State.QUEUED)),
        (Status(State.RUNNING), Status(State.RUNNING, progress=0.5)),
        (Status(State.RUNNING, run="a"), Status(State.RUNNING, run="b")),
        (Status(State.RUNNING, run_number=1), Status(State.QUEUED, run_number=2)),
        (Status(State.RUNNING, started_at=1_000.0), Status(State.RUNNING, started_at=1_010.0)),
        (Status(State.RUNNING), Status(State.STOPPED), concluded(State.IDLE)),
        (Status(State.RUNNING), Status(State.UNKNOWN), concluded(State.IDLE)),
        (Status(State.IDLE), concluded(State.IDLE)),
        (concluded(State.IDLE),),
    ],
)
def test_nothing_has_succeeded_where_nobody_says_so(life: tuple[Status, ...]) -> None:
    history = lived(*life)
    assert (counted(history), history.last_success) == ({}, None)


@pytest.mark.parametrize(
    "between", [Status(State.UNKNOWN), Status(State.QUEUED, run="a"), Status(State.STOPPED)]
)
def test_a_run_that_is_told_again_after_something_else_is_still_one_run(between: Status) -> None:
    ended = Status(State.FAILED, run="a")
    history = lived(Status(State.RUNNING, run="a"), ended, between, ended)
    assert counted(history) == {"failed": 1}
    assert history.last_failure == 1_020.0


def test_a_word_nobody_knows_between_two_sights_of_an_end_makes_no_second_run() -> None:
    history = lived(Status(State.FAILED), Status(State.UNKNOWN), Status(State.FAILED))
    assert (counted(history), history.last_failure) == ({}, 1_010.0)


@pytest.mark.parametrize("result", [State.FAILED, State.SUCCEEDED_WITH_ERRORS])
def test_an_end_that_is_shown_again_after_the_job_was_disabled_makes_no_second_run(result: State) -> None:
    disabled = Status(State.STOPPED, enabled=False)
    history = lived(Status(State.RUNNING), Status(result), disabled, Status(result))
    assert counted(history) == {result.value: 1}


@pytest.mark.parametrize("between", [State.RUNNING, State.QUEUED, State.IDLE, State.STOPPED])
def test_the_same_end_after_another_state_is_a_new_run(between: State) -> None:
    history = lived(Status(State.FAILED), Status(between), Status(State.FAILED))
    assert (counted(history), history.last_failure) == ({"failed": 1}, 1_030.0)


def test_a_failure_that_is_shown_is_newer_than_the_success_that_was_shown_before() -> None:
    minute = 960.0  # of both ends, by a vendor whose times are of whole minutes
    history = lived(
        Status(State.IDLE, succeeded_at=minute),
        Status(State.RUNNING),
        Status(State.FAILED, ended_at=minute, failed_at=minute),
        Status(State.FAILED, ended_at=minute, failed_at=minute, enabled=False),
    )
    assert (history.last_success, history.last_failure) == (minute, 1_030.0)
    assert counted(history) == {"failed": 1}


def test_an_end_that_a_clock_ahead_dates_is_one_end_in_all_reads() -> None:
    history = lived(
        Status(State.RUNNING),
        Status(State.IDLE, succeeded_at=1_100.0),
        Status(State.QUEUED, succeeded_at=1_100.0),
        Status(State.IDLE, succeeded_at=1_100.0),
    )
    assert (counted(history), history.last_success) == ({"succeeded": 1}, 1_020.0)
    history.observe(Status(State.IDLE, succeeded_at=1_130.0), 1_060.0)
    assert (counted(history), history.last_success) == ({"succeeded": 2}, 1_060.0)


def test_a_guessed_end_gives_way_to_the_vendors_own_time_of_the_same_run() -> None:
    history = lived(Status(State.FAILED, run_number=9), Status(State.FAILED, run_number=9, ended_at=20.0))
    assert history.last_failure == 20.0


def test_a_failed_run_that_tells_of_an_earlier_success_dates_both() -> None:
    failed = Status(State.FAILED, run="b", ended_at=900.0, succeeded_at=800.0, failed_at=900.0)
    history = lived(failed)
    assert (history.last_success, history.last_failure, counted(history)) == (800.0, 900.0, {})
    history.observe(Status(State.FAILED, run="d", ended_at=1_040.0, succeeded_at=1_030.0), 1_050.0)
    assert (history.last_success, history.last_failure) == (1_030.0, 1_040.0)
    assert counted(history) == {"succeeded": 1, "failed": 1}


def test_a_vendors_clock_that_runs_ahead_hides_no_later_end() -> None:
    history = lived(
        Status(State.SUCCEEDED, run="a", ended_at=9e9, state_since=9e9),
        Status(State.SUCCEEDED, run="b", ended_at=1_015.0),
        Status(State.SUCCEEDED, run="c", ended_at=1_025.0),
    )
    assert history.last_success == 1_025.0
    assert lived(Status(State.RUNNING, state_since=9e9)).state_since == 1_010.0


def test_an_answer_that_leaves_progress_out_does_not_make_a_stuck_run_move() -> None:
    stuck, silent = Status(State.RUNNING, run="a", progress=0.5), Status(State.RUNNING, run="a")
    assert lived(stuck, silent, stuck).progress_changed == 1_010.0


def test_a_waiting_slot_that_tells_of_its_last_success_is_believed_over_our_clock() -> None:
    history = lived(
        Status(State.RUNNING),
        Status(State.IDLE, succeeded_at=1_015.0),
        Status(State.IDLE, succeeded_at=1_015.0),
        Status(State.IDLE, succeeded_at=1_035.0),
    )
    assert counted(history) == {"succeeded": 2}
    assert history.last_success == 1_035.0


def test_a_slot_that_waits_from_the_start_has_succeeded_only_when_it_says_so() -> None:
    assert lived(Status(State.IDLE)).last_success is None
    history = lived(Status(State.IDLE, succeeded_at=990.0))
    assert (history.last_success, counted(history)) == (990.0, {})


def test_the_vendors_time_of_a_state_is_believed_else_the_first_sight_of_it() -> None:
    assert lived(Status(State.RUNNING, state_since=700.0)).state_since == 700.0
    history = lived(Status(State.QUEUED), Status(State.RUNNING), Status(State.RUNNING))
    assert history.state_since == 1_020.0


def test_a_new_run_in_the_same_state_begins_its_state_anew() -> None:
    history = lived(Status(State.RUNNING, run="a"), Status(State.RUNNING, run="b"))
    assert history.state_since == 1_020.0


def test_progress_changes_when_step_ratio_or_a_count_changes_and_only_then() -> None:
    still = Status(State.RUNNING, step="one", progress=0.5, items=Items(total=4))
    assert lived(still, still, still).progress_changed == 1_010.0
    for moved in (
        Status(State.RUNNING, step="two", progress=0.5, items=Items(total=4)),
        Status(State.RUNNING, step="one", progress=0.6, items=Items(total=4)),
        Status(State.RUNNING, step="one", progress=0.5, items=Items(total=5)),
    ):
        assert lived(still, still, moved, moved).progress_changed == 1_030.0


def test_progress_begins_with_the_vendors_last_report_after_a_restart() -> None:
    assert lived(Status(State.RUNNING, progress=0.5, reported_at=640.0)).progress_changed == 640.0


def test_a_report_from_the_future_does_not_date_progress_after_now() -> None:
    assert lived(Status(State.RUNNING, progress=0.5, reported_at=9e9)).progress_changed == 1_010.0


def test_progress_is_unknown_where_the_vendor_tells_none() -> None:
    assert lived(Status(State.RUNNING)).progress_changed is None


def test_a_new_run_with_the_same_progress_has_moved() -> None:
    history = lived(
        Status(State.RUNNING, run="a", progress=0.0), Status(State.RUNNING, run="b", progress=0.0)
    )
    assert history.progress_changed == 1_020.0


times = st.none() | st.floats(1, 2_000)
statuses = st.builds(
    Status,
    state=st.sampled_from(State),
    run=st.sampled_from(["", "a", "b"]),
    run_number=st.none() | st.integers(1, 3),
    progress=st.none() | st.floats(0, 1),
    started_at=times,
    ended_at=times,
    succeeded_at=times,
    failed_at=times,
    state_since=times,
    unseen_end=st.none() | st.sampled_from(RESULTS),
    unseen_within=st.none() | st.floats(0, 2),
)


@given(st.lists(statuses, min_size=1, max_size=8))
def test_no_life_makes_a_count_fall_an_end_unknown_or_later_than_now(life: list[Status]) -> None:
    history = History(watched_since=SINCE)
    runs, told = 0, set[str]()
    for number, status in enumerate(life):
        now = SINCE + number
        history.observe(status, now)
        ends = {"success": history.last_success, "failure": history.last_failure}
        assert all(at is None or 0 < at <= now for at in ends.values())
        assert told <= {name for name, at in ends.items() if at is not None}
        assert 0 <= sum(history.finished.values()) - runs <= 3
        assert history.state_since <= now
        runs, told = sum(history.finished.values()), {name for name, at in ends.items() if at is not None}
    unchanged = sum(history.finished.values())
    history.observe(life[-1], SINCE + 100)
    assert sum(history.finished.values()) == unchanged


@pytest.mark.parametrize(
    "shown",
    [
        [
            Status(State.SUCCEEDED, started_at=1_011.0, ended_at=1_015.0),
            Status(State.FAILED, started_at=1_003.0),
        ],
        [Status(State.SUCCEEDED, ended_at=1_015.0), Status(State.FAILED, ended_at=1_005.0)],
        [Status(State.SUCCEEDED, run_number=8), Status(State.FAILED, run_number=7)],
        [Status(State.RUNNING, run_number=8), Status(State.FAILED, run_number=7)],
        [Status(State.RUNNING, started_at=1_011.0), Status(State.FAILED, ended_at=950.0)],
        [Status(State.QUEUED), Status(State.FAILED, ended_at=900.0)],
    ],
)
def test_an_earlier_run_that_is_shown_again_has_no_second_end(shown: list[Status]) -> None:
    first = Status(State.RUNNING, run_number=7, started_at=1_003.0)
    before = counted(lived(first, shown[0]))
    history = lived(first, *shown, shown[0], *shown)
    assert counted(history) == before


def test_a_number_that_begins_again_is_of_a_later_run() -> None:
    history = lived(
        Status(State.FAILED, run_number=7, ended_at=1_005.0),
        Status(State.FAILED, run_number=1, ended_at=1_015.0),
    )
    assert counted(history) == {"failed": 1}


def test_a_time_without_its_fraction_is_of_the_same_run() -> None:
    history = lived(
        Status(State.RUNNING),
        Status(State.FAILED, started_at=1_005.7),
        Status(State.FAILED, started_at=1_005.0),
    )
    assert counted(history) == {"failed": 1}


def test_an_end_of_whole_minutes_can_be_before_the_start_of_its_own_run() -> None:
    history = lived(Status(State.RUNNING, started_at=1_019.0), Status(State.FAILED, ended_at=960.0))
    assert (counted(history), history.last_failure) == ({"failed": 1}, 960.0)
