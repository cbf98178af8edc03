import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.history import History
from exporter.model.http import Response
from exporter.model.job import Category, Items, Kind, State
from exporter.providers.caps import Caps, CapsJob, CapsOptions
from tests.providers.conftest import assert_read_or_refused, drive, job, mutated, response_of, stored

KEYS = {
    "project_id": "5deff363-2bde-473e-8479-ea9ce1c4a6bc",
    "build_job_id": "da180f8a-6d2e-4c09-88e5-da8372be2936--promote",
    "locale": "en-US",
}
PATH = (
    "/v1/Projects/5deff363-2bde-473e-8479-ea9ce1c4a6bc/BuildJobs/"
    "da180f8a-6d2e-4c09-88e5-da8372be2936--promote/properties?locale=en-US"
)
NAMES = [
    "succeeded",
    "queued",
    "running_counts_as_text",
    "failed",
    "succeeded_with_failures",
    "broken_categories",
]
BODIES = [stored(f"caps/{name}.json") for name in NAMES]
STARTED = datetime(2015, 10, 20, 5, 38, 5, 724928, UTC).timestamp()
ENDED = datetime(2015, 10, 20, 5, 38, 13, 906458, UTC).timestamp()


def caps() -> Caps:
    return Caps(CapsOptions())


def test_the_documented_answer_tells_everything() -> None:
    read = drive(caps(), KEYS, response_of(stored("caps/succeeded.json")))
    status = read.status
    assert read.paths == [PATH]
    assert (status.state, status.raw, status.final) == (State.SUCCEEDED, "Succeeded", False)
    assert (status.started_at, status.ended_at, status.state_since) == (STARTED, ENDED, ENDED)
    assert status.progress == 1
    assert status.items == Items(total=10, succeeded=10, failed=0)
    assert status.categories == {"Outline": Category(3, 3, 0), "Article": Category(7, 7, 0)}
    assert (status.type, status.level, status.name) == ("Live", "DocSet", "")
    assert status.cancelable is False
    assert status.run == ""  # the start identifies the run


def test_a_running_job_with_counts_as_text_has_the_start_of_this_run_and_no_end() -> None:
    status = drive(caps(), KEYS, response_of(stored("caps/running_counts_as_text.json"))).status
    assert status.state is State.RUNNING
    assert status.progress == 0.4
    assert status.items == Items(total=10, succeeded=3, failed=1)
    assert status.categories["Article"] == Category(7, 0, 1)
    assert status.started_at == status.state_since == datetime(2015, 10, 20, 6, 0, 0, 123456, UTC).timestamp()
    assert status.ended_at is None
    assert status.cancelable is True


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Succeeded", State.SUCCEEDED),
        ("sUCCEEDED", State.SUCCEEDED),
        ("PartiallySucceeded", State.SUCCEEDED_WITH_ERRORS),
        ("Queued", State.QUEUED),
        ("Pending", State.QUEUED),
        ("NotStarted", State.QUEUED),
        ("Waiting", State.QUEUED),
        ("Running", State.RUNNING),
        ("InProgress", State.RUNNING),
        ("Processing", State.RUNNING),
        ("Building", State.RUNNING),
        ("Started", State.RUNNING),
        ("Failed", State.FAILED),
        ("Error", State.FAILED),
        ("Canceling", State.CANCELING),
        ("Cancelling", State.CANCELING),
        ("Canceled", State.CANCELED),
        ("Cancelled", State.CANCELED),
        ("Quarantined", State.UNKNOWN),
    ],
)
def test_every_word_has_its_state_and_stays_visible(word: str, state: State) -> None:
    status = drive(caps(), KEYS, response_of({"job_status": word})).status
    assert (status.state, status.raw) == (state, word)


@pytest.mark.parametrize("word", [None, "", " ", 5, True, ["Succeeded"], {}])
def test_a_response_without_a_word_for_the_state_is_not_understood(word: object) -> None:
    with pytest.raises(Failure, match="invalid_response: job_status is missing or is not text"):
        drive(caps(), KEYS, response_of({"job_status": word, "entity_id": "x--promote"}))


def test_a_value_of_another_type_costs_that_value_and_is_noted() -> None:
    odd = {"job_progress": "half", "total_count": -1, "started_at": "-", "cancelable": "no", "name": ["x"]}
    body = {"job_status": "Succeeded", "failed_count": 0, "latest_blob_id": 1.5, **odd}
    status = drive(caps(), KEYS, response_of(body)).status
    assert (status.state, status.items) == (State.SUCCEEDED, Items(failed=0))
    assert status.notes == (
        "total_count: the value is not a whole number from 0",
        "started_at: the value is not a time",
        "latest_blob_id: the value is not text",
        "job_progress: the value is not a number from 0 to 1",
        "cancelable: the value is not true or false",
        "name: the value is not text",
    )


def test_success_with_failed_items_is_success_with_errors() -> None:
    status = drive(caps(), KEYS, response_of(stored("caps/succeeded_with_failures.json"))).status
    assert (status.state, status.raw) == (State.SUCCEEDED_WITH_ERRORS, "Succeeded")
    assert status.items.failed == 2


@pytest.mark.parametrize(
    "categories",
    [
        *('{"Outline":{"total_count":3,', "[" * 60_000, '{"A":{}}' + " " * 70_000, "[]", "7", 7),
        json.dumps({str(number): {"total_count": 1} for number in range(101)}),
    ],
)
def test_broken_or_huge_categories_lose_only_themselves(categories: object) -> None:
    body = {"job_status": "Succeeded", "total_count": 10, "categorized_count": categories}
    status = drive(caps(), KEYS, response_of(body)).status
    assert (status.state, status.items.total, status.categories) == (State.SUCCEEDED, 10, {})
    assert status.notes == ("categorized_count: the value is not a JSON object of at most 100 categories",)


def test_a_count_of_a_category_that_is_no_number_is_left_out() -> None:
    counts = '{"A": {"total_count": NaN, "successful_count": 1e999, "failed_count": 3}}'
    status = drive(caps(), KEYS, response_of({"job_status": "Failed", "categorized_count": counts})).status
    assert status.categories == {"A": Category(failed=3)}
    assert status.notes == ()


def test_categories_may_also_come_as_an_object() -> None:
    odd = {"Odd": 3, "Even": None, "Half": {"total_count": 0.5}}
    body = {"job_status": "Running", "categorized_count": {"Topic": {"total_count": "4"}, **odd}}
    status = drive(caps(), KEYS, response_of(body)).status
    assert status.categories == {"Topic": Category(total=4), "Half": Category()}
    assert status.notes == (
        "categorized_count.*: the value is not an object",
        "categorized_count.*.total_count: the value is not a whole number from 0",
    )


@pytest.mark.parametrize(("word", "state"), [("Queued", State.QUEUED), ("Running", State.RUNNING)])
def test_times_left_over_from_the_run_before_are_not_those_of_an_active_one(word: str, state: State) -> None:
    times = {"started_at": "2015-10-20T05:38:05Z", "ended_at": "2015-10-20T05:38:13Z"}
    status = drive(caps(), KEYS, response_of({"job_status": word, "job_progress": 1, **times})).status
    assert status.state is state
    assert (status.started_at, status.ended_at, status.state_since) == (None, None, None)
    assert status.progress == (None if state is State.QUEUED else 1)


def test_an_end_before_the_start_is_not_the_end_of_this_run() -> None:
    times = {"started_at": "2015-10-20T05:38:05Z", "ended_at": "2015-10-20T05:00:00Z"}
    status = drive(caps(), KEYS, response_of({"job_status": "Succeeded", **times})).status
    assert status.started_at is not None
    assert status.ended_at is None


def test_a_run_is_identified_by_its_start_or_else_by_its_blob_without_rounding() -> None:
    def run(**body: object) -> str:
        return drive(caps(), KEYS, response_of({"job_status": "Running", **body})).status.run

    assert run(latest_blob_id=8587562874004887117) == "8587562874004887117"
    assert run(latest_blob_id=8587562874004887117, started_at="2015-10-20T05:38:05Z") == ""
    assert run() == ""


def ends(*bodies: dict[str, object]) -> dict[State, int]:
    """How many runs end if these responses follow each other."""
    history = History(watched_since=0.0)
    for number, body in enumerate(bodies):
        history.observe(drive(caps(), KEYS, response_of(body)).status, 1_800_000_000.0 + number)
    return {state: runs for state, runs in history.finished.items() if runs}


DONE: dict[str, object] = {
    "job_status": "Succeeded",
    "latest_blob_id": "8587562874004887117",
    "started_at": "2015-10-20T05:38:05.7334Z",
    "ended_at": "2015-10-20T05:38:13Z",
}


@pytest.mark.parametrize(
    "change",
    [
        {"started_at": "2015-10-20T05:38:05.7334000+00:00"},
        {"started_at": None},
        {"latest_blob_id": "8587562874004880000"},
        {"latest_blob_id": None},
        {"ended_at": None},
        {"ended_at": "2015-10-20T05:38:14Z"},
    ],
)
def test_a_field_that_changes_after_the_end_is_no_second_end(change: dict[str, object]) -> None:
    assert ends(DONE, DONE | change, DONE) == {}


def test_a_new_start_with_a_result_is_the_end_of_another_run() -> None:
    newer = {"started_at": "2015-10-20T06:00:00Z", "ended_at": "2015-10-20T06:01:00Z"}
    assert ends(DONE, DONE | newer) == {State.SUCCEEDED: 1}


def test_a_run_that_gives_way_to_another_without_a_result_has_no_end() -> None:
    running = {"job_status": "Running", "ended_at": None}
    assert ends(DONE | running, DONE | running | {"started_at": "2015-10-20T06:00:00Z"}) == {}


@pytest.mark.parametrize("name", NAMES)
def test_no_person_and_no_message_is_in_any_status(name: str) -> None:
    shown = repr(drive(caps(), KEYS, response_of(stored(f"caps/{name}.json"))).status)
    assert "example.com" not in shown
    assert "seconds" not in shown


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'"Succeeded"', b'{"error":"no"}', b"\xff\xfe"]
)
def test_an_answer_that_describes_no_build_job_is_invalid(body: bytes) -> None:
    with pytest.raises(Failure) as caught:
        drive(caps(), KEYS, response_of(body))
    assert caught.value.reason is Reason.INVALID_RESPONSE


def test_an_http_error_goes_on_as_it_is() -> None:
    with pytest.raises(Failure) as caught:
        drive(caps(), KEYS, response_of(b"<html>", 503))
    assert caught.value.reason is Reason.SERVER_ERROR


def test_a_docset_is_a_slot_named_by_its_three_keys() -> None:
    made = job(caps(), KEYS)
    assert made.id == f"{KEYS['project_id']}/{KEYS['build_job_id']}/en-US"
    assert made.kind is Kind.SLOT


@pytest.mark.parametrize("missing", list(KEYS))
def test_all_three_keys_are_required(missing: str) -> None:
    with pytest.raises(ValidationError):
        CapsJob(**{name: value for name, value in KEYS.items() if name != missing})


@given(st.text(min_size=1).filter(lambda value: value.isprintable() and value not in (".", "..")))
def test_keys_are_encoded_whole_so_that_none_changes_the_path(value: str) -> None:
    keys = dict.fromkeys(KEYS, value)
    (requested,) = drive(caps(), keys, response_of({"job_status": "Succeeded"})).paths
    url = urlsplit(requested)
    segments = url.path.split("/")
    assert [unquote(segments[3]), unquote(segments[5])] == [value, value]
    assert len(segments) == 7
    assert parse_qs(url.query, keep_blank_values=True) == {"locale": [value]}
    assert requested.isascii()


@given(mutated(BODIES))
@example(json.dumps({"job_status": "Running", "latest_blob_id": 10**90, "started_at": "x" * 90}).encode())
def test_an_answer_however_odd_gives_a_sane_status_or_a_failure(body: bytes) -> None:
    assert_read_or_refused(caps(), KEYS, Response(200, body))


@given(st.binary())
def test_bytes_of_any_kind_give_a_sane_status_or_a_failure(body: bytes) -> None:
    assert_read_or_refused(caps(), KEYS, Response(200, body))
