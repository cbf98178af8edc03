import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Kind, State, Status
from exporter.providers.base import Found
from exporter.providers.codearts import CodeArts, CodeArtsDiscover, CodeArtsOptions
from tests.providers.conftest import (
    DATA,
    Listed,
    assert_listed_or_refused,
    discover,
    mutated,
    response_of,
    stored,
)

PROJECT = "8d2a5c6002964721be537cdc6ce0297b"
KEYS = {"project_id": PROJECT}
TASK = "48c66c6002964721be537cdc6ce0297b"
STARTED = 1719390309.0
NOW = STARTED + 3600
PAGE = f"/v1/job/{PROJECT}/list?page_index={{}}&page_size=100"


def listed(response: Callable[[Request], Response | Failure] | Response | Failure, **keys: object) -> Listed:
    return discover(CodeArts(CodeArtsOptions()), {**KEYS, **keys}, response, now=NOW)


def tasks(*fields: Mapping[str, object]) -> Response:
    return response_of({"jobs": [{"id": TASK, **each} for each in fields], "total": len(fields)})


def told(**fields: object) -> Status | None:
    """How a task with these fields is said to stand."""
    (found,) = listed(tasks(fields)).found
    assert found.complete is (found.status is not None)
    return found.status


def reason_of(response: Callable[[Request], Response | Failure] | Response | Failure) -> Reason:
    with pytest.raises(Failure) as caught:
        listed(response)
    return caught.value.reason


def number_of(request: Request) -> int:
    query = parse_qs(urlsplit(request.path).query)
    assert query["page_size"] == ["100"]
    return int(query["page_index"][0])


def ids(first: int, count: int) -> list[dict[str, object]]:
    return [{"id": f"{each:032}", "last_build_status": "blue"} for each in range(first, first + count)]


# What a task is said to be


def test_tasks_are_slots_with_name_and_whole_status() -> None:
    got = listed(response_of(stored("codearts/listing/project.json")))
    assert got.paths == [PAGE.format(0)]
    assert [each.keys["build_no"] for each in got.found] == ["latest"] * 3
    assert {CodeArts.identify(each.keys)[1] for each in got.found} == {Kind.SLOT}
    assert [each.name for each in got.found] == ["Image of the web shop", "Checkout", "Search"]
    assert [each.complete for each in got.found] == [True] * 3
    assert [each.status for each in got.found] == [
        Status(
            State.SUCCEEDED,
            "blue",
            started_at=STARTED,
            ended_at=STARTED + 13,
            state_since=STARTED + 13,
            enabled=True,
        ),
        Status(State.RUNNING, "Running", started_at=STARTED, state_since=STARTED, enabled=False),
        Status(State.IDLE, "none"),
    ]


def test_the_envelope_of_the_other_calls_and_a_build_number_are_understood() -> None:
    (found,) = listed(response_of(stored("codearts/listing/enveloped.json"))).found
    assert found.status is not None
    assert (found.status.state, found.status.raw) == (State.FAILED, "timeout")
    assert (found.status.run, found.status.run_number, found.status.final) == ("9", 9, False)
    assert found.status.ended_at == STARTED + 13


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("red", State.FAILED),
        ("blue", State.SUCCEEDED),
        ("yellow", State.SUCCEEDED_WITH_ERRORS),
        ("timeout", State.FAILED),
        ("aborted", State.CANCELED),
        ("building", State.RUNNING),
        ("none", State.IDLE),
        ("superseded", State.UNKNOWN),
    ],
)
def test_every_word_of_a_listing_has_its_state(word: str, state: State) -> None:
    status = told(last_build_status=word)
    assert status is not None
    assert (status.state, status.raw) == (state, word)


@pytest.mark.parametrize(
    ("word", "phase", "finished", "state", "raw"),
    [
        ("building", "InQueue", False, State.QUEUED, "InQueue"),
        ("building", "Starting", None, State.QUEUED, "Starting"),
        ("building", "Finished", None, State.RUNNING, "building"),
        ("none", "InQueue", False, State.QUEUED, "InQueue"),
        ("red", "Running", False, State.RUNNING, "Running"),
        ("red", "Running", True, State.FAILED, "red"),
        ("red", None, None, State.FAILED, "red"),
        ("", "Running", None, State.RUNNING, "Running"),
    ],
)
def test_the_word_is_believed_unless_both_other_fields_say_that_a_run_goes_on(
    word: str, phase: str | None, finished: object, state: State, raw: str
) -> None:
    status = told(
        last_build_status=word,
        last_job_running_status=phase,
        is_finished=finished,
        last_build_time=STARTED * 1000,
        build_time=13000,
    )
    assert status is not None
    assert (status.state, status.raw) == (state, raw)
    assert (status.started_at is None) is (state is State.QUEUED)
    assert (status.ended_at is None) is (state is not State.FAILED)


@pytest.mark.parametrize(
    ("phase", "finished"), [("Running", None), ("InQueue", None), (None, False), ("Finished", False)]
)
def test_a_task_whose_fields_contradict_a_result_is_read_by_itself(phase: object, finished: object) -> None:
    assert told(last_build_status="blue", last_job_running_status=phase, is_finished=finished) is None


@pytest.mark.parametrize("word", [None, "", " ", 7, "Finished"])
def test_a_task_of_which_the_state_is_not_told_is_read_by_itself(word: object) -> None:
    assert told(last_build_status=word, last_job_running_status="Finished", is_finished=True) is None


@pytest.mark.parametrize("stamp", [None, 0, -1, "soon", True, 10**18, [STARTED]])
def test_only_a_plausible_time_is_believed(stamp: object) -> None:
    status = told(last_build_status="red", last_build_time=stamp, build_time=13000)
    assert status is not None
    assert (status.state, status.started_at, status.ended_at) == (State.FAILED, None, None)


@pytest.mark.parametrize("task_id", [None, 7, "", "short", TASK + "0", TASK[:-1] + "/", TASK[:-1] + "é"])
def test_what_can_be_no_task_is_left_out(task_id: object) -> None:
    response = response_of(
        {"jobs": [{"id": task_id, "last_build_status": "red"}, None, 7, {"id": TASK}], "total": 4}
    )
    assert [each.keys["job_id"] for each in listed(response).found] == [TASK]


# newer_than


def names(newer_than: str, **fields: object) -> list[Found]:
    return listed(tasks({"last_build_time": STARTED * 1000, **fields}), newer_than=newer_than).found


def test_a_task_whose_newest_run_ended_too_long_ago_is_left_out() -> None:
    assert names("30m", last_build_status="blue") == []
    assert len(names("2h", last_build_status="blue")) == 1
    assert names("59m", last_build_status="blue", build_time=30_000) == []
    assert len(names("59m", last_build_status="blue", build_time=90_000)) == 1


@pytest.mark.parametrize("word", ["building", "none", "superseded", ""])
def test_a_task_whose_newest_run_has_not_ended_always_stays(word: str) -> None:
    assert len(names("1s", last_build_status=word)) == 1


def test_a_failed_task_stays_for_a_day() -> None:
    assert len(names("1s", last_build_status="red")) == 1
    day_later = discover(
        CodeArts(CodeArtsOptions()),
        {**KEYS, "newer_than": "1s"},
        tasks({"last_build_status": "red", "last_build_time": STARTED * 1000}),
        now=STARTED + 86401,
    )
    assert day_later.found == []


def test_an_end_that_nobody_tells_is_not_too_long_ago() -> None:
    assert len(listed(tasks({"last_build_status": "blue"}), newer_than="1s").found) == 1


# Pages


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (1, 1), (100, 1), (101, 2), (5000, 50)])
@pytest.mark.parametrize("tells_total", [True, False])
def test_all_pages_are_read_and_none_twice(total: int, pages: int, *, tells_total: bool) -> None:
    def page(request: Request) -> Response:
        first = number_of(request) * 100
        body: dict[str, Any] = {"jobs": ids(first, max(0, min(100, total - first)))}
        return response_of({**body, "total": total} if tells_total else body)

    got = listed(page)
    more = total > 0 and not tells_total  # then only an empty page is the end
    assert [number_of(request) for request in got.requests] == list(range(pages + more))
    assert len({each.keys["job_id"] for each in got.found}) == len(got.found) == total


def test_a_task_made_while_pages_are_turned_is_no_trouble() -> None:
    def page(request: Request) -> Response:
        turned = number_of(request)  # the new one has shifted all others by one
        return response_of({"jobs": ids(99 * turned, 100), "total": 199 + turned})

    got = listed(page)
    assert len(got.requests) == 2
    assert len({each.keys["job_id"] for each in got.found}) == len(got.found) == 199


def test_tasks_deleted_while_pages_are_turned_are_no_trouble() -> None:
    got = listed(
        lambda request: response_of({"jobs": ids(0, 0 if number_of(request) else 100), "total": 150})
    )
    assert (len(got.requests), len(got.found)) == (2, 100)
    assert got.end.incomplete == "it ended after 100 of 150 entries"


def test_pages_that_are_shorter_than_requested_are_all_read() -> None:
    def page(request: Request) -> Response:
        return response_of({"jobs": ids(20 * number_of(request), 20), "total": 60})

    got = listed(page)
    assert (len(got.requests), len(got.found), got.end.incomplete) == (3, 60, "")


@pytest.mark.parametrize(("status", "incomplete"), [(404, False), (416, False), (400, True), (422, True)])
def test_a_page_that_does_not_exist_is_the_end(status: int, *, incomplete: bool) -> None:
    def page(request: Request) -> Response:
        return response_of({}, status) if number_of(request) else response_of({"jobs": ids(0, 100)})

    got = listed(page)
    assert (len(got.found), bool(got.end.incomplete)) == (100, incomplete)
    assert str(status) in got.end.incomplete or not incomplete


@pytest.mark.parametrize("status", [400, 404, 416, 422])
def test_after_a_short_page_the_rejected_one_is_the_end(status: int) -> None:
    def page(request: Request) -> Response:
        return response_of({}, status) if number_of(request) else response_of({"jobs": ids(0, 3)})

    got = listed(page)
    assert (len(got.found), got.end.incomplete) == (3, "")


def test_a_task_without_an_id_is_skipped_and_counted() -> None:
    jobs = [*ids(0, 1), {"id": "x"}, {}, None]
    got = listed(response_of({"jobs": jobs, "total": 4}))
    assert (len(got.found), dict(got.end.skipped)) == (1, {"an entry has no valid id": 3})
    assert not got.end.incomplete


@pytest.mark.parametrize("total", [10**6, "1000000", 10**30, None, 0])
def test_a_page_that_comes_again_ends_the_listing(total: object) -> None:
    requests: list[Request] = []

    def page(request: Request) -> Response:
        requests.append(request)
        return response_of({"jobs": ids(0, 100), "total": total})

    assert reason_of(page) is Reason.INVALID_RESPONSE
    assert len(requests) == 2


def test_a_listing_that_grows_without_end_ends_after_500_pages() -> None:
    requests: list[Request] = []

    def page(request: Request) -> Response:
        requests.append(request)
        first = number_of(request) * 3
        return response_of({"jobs": ids(first, 3), "total": first + 1000})

    assert reason_of(page) is Reason.TOO_LARGE
    assert len(requests) == 500


# Failures


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", Reason.INVALID_RESPONSE),
        ([], Reason.INVALID_RESPONSE),
        ({}, Reason.INVALID_RESPONSE),
        ({"jobs": None}, Reason.INVALID_RESPONSE),
        ({"jobs": {}, "total": 1}, Reason.INVALID_RESPONSE),
        ({"status": "success", "result": None}, Reason.INVALID_RESPONSE),
        ({"status": "success", "result": {"total": 3}}, Reason.INVALID_RESPONSE),
        ({"status": "fail", "error": "secret"}, Reason.INVALID_RESPONSE),
        ({"error_code": "CB.00060200", "error_msg": "secret"}, Reason.CLIENT_ERROR),
        ({"error_code": "APIGW.0302", "error_msg": "secret"}, Reason.FORBIDDEN),
    ],
)
def test_an_answer_that_lists_nothing_is_a_failure(body: object, reason: Reason) -> None:
    with pytest.raises(Failure) as caught:
        listed(response_of(body))
    assert caught.value.reason is reason
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [{"jobs": None, "total": 0}, {"status": "success", "result": {"total": 0}}])
def test_a_project_without_tasks_is_no_failure(body: object) -> None:
    assert listed(response_of(body)).found == []


def test_a_page_that_cannot_be_had_ends_the_listing() -> None:
    def page(request: Request) -> Response:
        return Response(403) if number_of(request) else response_of({"jobs": ids(0, 100), "total": 150})

    assert reason_of(page) is Reason.FORBIDDEN


# Keys


@pytest.mark.parametrize(
    "project", ["", PROJECT[:-1], PROJECT + "0", "../" + PROJECT[3:], PROJECT[:-1] + "é"]
)
def test_a_project_id_is_32_letters_and_digits(project: str) -> None:
    with pytest.raises(ValidationError, match="must be 32 letters and digits"):
        CodeArtsDiscover.model_validate({"project_id": project})


def test_the_project_is_needed() -> None:
    with pytest.raises(ValidationError, match=re.compile("project_id.*required", re.DOTALL)):
        CodeArtsDiscover.model_validate({})


# Whatever comes

PAGES = [path.read_bytes() for path in sorted((DATA / "codearts/listing").glob("*.json"))]


@given(st.lists(mutated(PAGES) | st.binary(), min_size=1, max_size=3), st.sampled_from([None, "1h"]))
def test_odd_pages_give_tasks_that_can_be_read_or_a_failure(
    pages: list[bytes], newer_than: str | None
) -> None:
    assert_listed_or_refused(
        CodeArts(CodeArtsOptions()),
        {**KEYS, "newer_than": newer_than},
        lambda request: Response(200, pages[number_of(request) % len(pages)]),
        now=NOW,
    )


@given(st.integers(0, 250), st.integers(0, 250), st.none() | st.integers(-1, 10**6))
def test_pages_of_any_length_come_to_an_end(one: int, other: int, total: int | None) -> None:
    def page(request: Request) -> Response:
        number = number_of(request)
        return response_of({"jobs": ids(300 * (number % 7), one if number % 2 else other), "total": total})

    assert_listed_or_refused(CodeArts(CodeArtsOptions()), KEYS, page, now=NOW)


def test_no_person_is_in_what_is_found() -> None:
    body = stored("codearts/listing/project.json")
    assert "ada@" in json.dumps(json.loads(body))
    shown = repr(listed(response_of(body)).found)
    assert "ada@" not in shown
    assert "Ada" not in shown
