import re
from collections import defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Items, Kind, State, Status
from exporter.providers.codearts import CodeArts, CodeArtsJob, CodeArtsOptions
from tests.providers.conftest import DATA, assert_read_or_refused, drive, job, mutated, response_of, stored

JOB = "48c66c6002964721be537cdc6ce0297b"
STATUS = f"/v1/job/{JOB}/running-status"
RECORD = f"/v1/record/{JOB}/9/build-info-record"
INFO = f"/v1/job/{JOB}/9/build-info"
STARTED = 1_719_390_309.0
NOTHING = Response(404)
Responses = Mapping[str, Response | Failure]


def codearts() -> CodeArts:
    return CodeArts(CodeArtsOptions())


def file(name: str) -> Response:
    return response_of(stored(f"codearts/{name}.json"))


def ok(result: object) -> Response:
    return response_of({"result": result, "error": None, "status": "success"})


def newest(number: object = "9", word: object = "Finished", is_running: object = False) -> Response:  # noqa: FBT002  # the vendor's field
    return ok({"last_build_no": number, "last_build_status": word, "is_running": is_running})


def fixed(responses: Responses) -> Status:
    return drive(codearts(), {"job_id": JOB, "build_no": 9}, responses).status


def latest(responses: Responses) -> Status:
    return drive(codearts(), {"job_id": JOB}, responses).status


def reason_of(responses: Responses, build_no: object = 9) -> Reason:
    with pytest.raises(Failure) as caught:
        drive(codearts(), {"job_id": JOB, "build_no": build_no}, responses)
    return caught.value.reason


# A fixed number


@pytest.mark.parametrize(
    ("name", "state", "raw", "final"),
    [
        ("build_info_failure_array", State.FAILED, "FAILURE", True),
        ("build_info_success_object", State.SUCCEEDED, "SUCCESS", True),
        ("build_info_building", State.RUNNING, "building", False),
    ],
)
def test_build_info_is_read_where_there_is_no_record(
    name: str, state: State, raw: str, *, final: bool
) -> None:
    status = fixed({RECORD: NOTHING, INFO: file(name)})
    assert (status.state, status.raw, status.final) == (state, raw, final)
    assert (status.started_at, status.ended_at, status.progress) == (None, None, None)
    assert (status.run_number, status.items) == (9, Items())


@pytest.mark.parametrize(
    "info",
    [
        file("build_info_empty_array"),
        file("build_info_null"),
        ok({"building": False, "build_result": None}),
        ok({"building": "no", "build_result": 5}),
    ],
)
def test_a_run_without_a_word_for_its_state_is_not_understood(info: Response) -> None:
    assert reason_of({RECORD: NOTHING, INFO: info}) is Reason.INVALID_RESPONSE
    assert reason_of({STATUS: newest(word=""), RECORD: NOTHING, INFO: info}, "latest") is (
        Reason.INVALID_RESPONSE
    )


def test_a_value_of_another_type_costs_that_value_and_is_noted() -> None:
    record = {"job_running_status": 3, "state": "SUCCESS", "start_time": "soon", "build_time": [13000]}
    notes = (
        "build-info-record.job_running_status: the value is not text",
        "build-info-record.start_time: the value is not a whole number from 0",
        "build-info-record.build_time: the value is not a whole number from 0",
    )
    assert fixed({RECORD: ok(record)}) == Status(
        State.SUCCEEDED, raw="SUCCESS", final=True, run_number=9, notes=notes
    )
    status = latest({STATUS: newest(is_running="no"), RECORD: ok(record)})
    assert (status.state, status.run) == (State.SUCCEEDED, "9")
    assert status.notes == ("running-status.is_running: the value is not true or false", *notes)


@pytest.mark.parametrize("number", ["nine", -1, [9]])
def test_a_number_of_another_type_does_not_hide_an_active_run(number: object) -> None:
    status = latest({STATUS: newest(number, "InQueue")})
    assert (status.state, status.run_number) == (State.QUEUED, None)
    assert status.notes == ("running-status.last_build_no: the value is not a whole number from 0",)
    assert latest({STATUS: newest(number, is_running=True)}).state is State.RUNNING


@pytest.mark.parametrize(
    ("name", "state", "raw"),
    [
        ("record_success", State.SUCCEEDED, "SUCCESS"),
        ("record_failure", State.FAILED, "FAILURE"),
        ("record_timeout", State.FAILED, "timeout"),
        ("record_aborted", State.CANCELED, "ABORTED"),
    ],
)
def test_a_record_of_an_ended_run_tells_start_and_end_in_one_request(
    name: str, state: State, raw: str
) -> None:
    status = fixed({RECORD: file(name)})
    assert (status.state, status.raw, status.final) == (state, raw, True)
    assert (status.started_at, status.ended_at, status.state_since) == (STARTED, STARTED + 13, STARTED + 13)


def test_a_record_of_a_running_build_has_a_start_and_no_end() -> None:
    status = fixed({RECORD: file("record_running")})
    assert (status.state, status.raw, status.final) == (State.RUNNING, "Running", False)
    assert (status.started_at, status.ended_at, status.state_since) == (STARTED, None, STARTED)


def test_a_build_that_is_starting_is_queued_and_has_not_started() -> None:
    status = fixed({RECORD: file("record_starting")})
    assert (status.state, status.raw, status.started_at) == (State.QUEUED, "Starting", None)


def test_a_record_that_is_finished_and_says_no_more_leaves_the_result_to_build_info() -> None:
    record = ok({"job_running_status": "Finished", "start_time": 1719390309000, "build_time": 13000})
    status = fixed({RECORD: record, INFO: file("build_info_failure_array")})
    assert (status.state, status.raw, status.ended_at) == (State.FAILED, "FAILURE", STARTED + 13)
    status = fixed({RECORD: record, INFO: file("build_info_null")})
    assert (status.state, status.raw, status.final) == (State.UNKNOWN, "Finished", False)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("success", State.SUCCEEDED),
        ("blue", State.SUCCEEDED),
        ("red", State.FAILED),
        ("error", State.FAILED),
        ("TIMEOUT", State.FAILED),
        ("aborted", State.CANCELED),
        ("UNSTABLE", State.SUCCEEDED_WITH_ERRORS),
        ("NOT_BUILT", State.IDLE),
        ("none", State.IDLE),
        ("InQueue", State.QUEUED),
        ("SUPERSEDED", State.UNKNOWN),
    ],
)
def test_every_word_has_its_state_and_stays_visible(word: str, state: State) -> None:
    status = fixed({RECORD: NOTHING, INFO: ok({"building": False, "build_result": word})})
    assert (status.state, status.raw) == (state, word)


def test_a_word_nobody_knows_is_unknown_without_asking_again() -> None:
    status = fixed({RECORD: ok({"job_running_status": "Finished", "state": "SUPERSEDED"})})
    assert (status.state, status.raw, status.final) == (State.UNKNOWN, "SUPERSEDED", False)


def test_building_wins_over_the_result_of_the_run_before() -> None:
    status = fixed({RECORD: NOTHING, INFO: ok([{"building": True, "build_result": "SUCCESS"}])})
    assert (status.state, status.raw) == (State.RUNNING, "building")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("1719390309000", STARTED),
        (1719390309, STARTED),
        (None, None),
        (0, None),
        (-1, None),
        (10**18, None),
        (True, None),
        ("soon", None),
    ],
)
def test_only_a_plausible_start_is_believed(start: object, expected: float | None) -> None:
    record = {"job_running_status": "Finished", "state": "SUCCESS", "start_time": start, "build_time": 13000}
    status = fixed({RECORD: ok(record)})
    assert status.state is State.SUCCEEDED
    assert status.started_at == expected
    assert status.ended_at == (None if expected is None else expected + 13)


@pytest.mark.parametrize("duration", [None, 0, -5, 2**31, "x", True])
def test_only_a_plausible_duration_makes_an_end(duration: object) -> None:
    record = {"state": "SUCCESS", "start_time": 1719390309000, "build_time": duration, "cost_time": 13}
    status = fixed({RECORD: ok(record)})
    assert (status.state, status.started_at, status.ended_at) == (State.SUCCEEDED, STARTED, None)


# The newest


def test_the_newest_build_is_found_and_then_read() -> None:
    read = drive(
        codearts(),
        {"job_id": JOB},
        {STATUS: file("running_status_finished"), RECORD: file("record_failure")},
    )
    assert read.paths == [STATUS, RECORD]
    status = read.status
    assert (status.state, status.raw, status.final) == (State.FAILED, "FAILURE", False)
    assert (status.run, status.run_number, status.ended_at) == ("9", 9, STARTED + 13)


def test_the_newest_build_is_read_from_build_info_where_there_is_no_record() -> None:
    read = drive(
        codearts(),
        {"job_id": JOB, "build_no": "latest"},
        {STATUS: newest(9), RECORD: NOTHING, INFO: file("build_info_success_object")},
    )
    assert read.paths == [STATUS, RECORD, INFO]
    assert (read.status.state, read.status.run) == (State.SUCCEEDED, "9")


def test_a_running_task_is_running_since_its_record_says() -> None:
    status = latest({STATUS: file("running_status_running"), RECORD: file("record_running")})
    assert (status.state, status.raw, status.started_at) == (State.RUNNING, "Running", STARTED)


@pytest.mark.parametrize("record", ["record_success", "record_starting"])
def test_is_running_wins_over_a_record_of_another_moment(record: str) -> None:
    status = latest({STATUS: file("running_status_running"), RECORD: file(record)})
    assert (status.state, status.ended_at) == (State.RUNNING, None)
    assert status.raw == ("Starting" if record == "record_starting" else "Running")


def test_a_queued_task_is_queued_although_build_info_knows_nothing_yet() -> None:
    info = ok({"building": False, "build_result": None})
    status = latest({STATUS: file("running_status_in_queue"), RECORD: NOTHING, INFO: info})
    assert (status.state, status.raw, status.run_number) == (State.QUEUED, "InQueue", 9)


def test_a_queued_task_is_queued_although_its_run_is_not_to_be_found_yet() -> None:
    status = latest({STATUS: newest(word="InQueue"), RECORD: NOTHING, INFO: NOTHING})
    assert (status.state, status.raw, status.run_number) == (State.QUEUED, "InQueue", 9)


def test_an_ended_run_that_is_not_to_be_found_is_not_found() -> None:
    with pytest.raises(Failure) as caught:
        latest({STATUS: newest(), RECORD: NOTHING, INFO: NOTHING})
    assert caught.value.reason is Reason.NOT_FOUND


def test_finished_alone_does_not_say_how() -> None:
    info = ok({"building": False, "build_result": None})
    status = latest({STATUS: newest(), RECORD: NOTHING, INFO: info})
    assert (status.state, status.raw) == (State.UNKNOWN, "Finished")


def test_a_task_that_never_ran_is_idle_and_nothing_more_is_asked() -> None:
    read = drive(codearts(), {"job_id": JOB}, {STATUS: file("running_status_never_ran")})
    assert read.paths == [STATUS]
    assert (read.status.state, read.status.raw, read.status.run_number) == (State.IDLE, "none", None)


@pytest.mark.parametrize("number", [None, "", " ", 0, "0"])
def test_no_number_is_no_run(number: object) -> None:
    assert latest({STATUS: newest(number, "none")}).state is State.IDLE
    assert latest({STATUS: newest(number, "InQueue")}).state is State.QUEUED
    assert latest({STATUS: newest(number, "", is_running=True)}).state is State.RUNNING


@pytest.mark.parametrize("result", [None, [], {}, [None]])
def test_a_task_of_which_nothing_is_told_has_not_run(result: object) -> None:
    assert latest({STATUS: ok(result)}).state is State.IDLE


@pytest.mark.parametrize("number", ["nine", -1, 1.5, True, [9]])
def test_a_number_that_is_none_is_invalid(number: object) -> None:
    assert reason_of({STATUS: newest(number)}, "latest") is Reason.INVALID_RESPONSE


# Failures


@pytest.mark.parametrize("status", [301, 400, 403, 404, 500])
def test_a_record_that_cannot_be_read_is_done_without(status: int) -> None:
    assert fixed({RECORD: Response(status), INFO: file("build_info_success_object")}).state is State.SUCCEEDED


@pytest.mark.parametrize("body", [b"<html>", b"[]", stored("codearts/call_failed.json")])
def test_a_record_that_makes_no_sense_is_done_without(body: bytes) -> None:
    assert (
        fixed({RECORD: response_of(body), INFO: file("build_info_success_object")}).state is State.SUCCEEDED
    )


@pytest.mark.parametrize(
    "fault",
    [Failure(Reason.TIMEOUT), Failure(Reason.RATE_LIMITED, status=429), Failure(Reason.UNAUTHORIZED)],
)
def test_what_the_next_request_would_only_meet_again_ends_the_read(fault: Failure) -> None:
    requests: list[Request] = []
    with pytest.raises(Failure) as caught:
        drive(codearts(), {"job_id": JOB, "build_no": 9}, fault, requests=requests)
    assert caught.value is fault
    assert [request.path for request in requests] == [RECORD]


@pytest.mark.parametrize(
    ("body", "reason", "said"),
    [
        ({"result": None, "error": "no such task", "status": "fail"}, Reason.INVALID_RESPONSE, ""),
        ({"result": [], "error": "no such task", "status": "success"}, Reason.INVALID_RESPONSE, ""),
        ({"result": {}, "error": None, "status": "ERROR"}, Reason.INVALID_RESPONSE, ""),
        ({"error_code": "CB.00060201", "error_msg": "x"}, Reason.CLIENT_ERROR, "CB.00060201"),
        ({"error_code": "APIGW.0101", "error_msg": "x"}, Reason.NOT_FOUND, "APIGW.0101"),
        ({"errorCode": "APIGW.0301", "errorMsg": "x"}, Reason.UNAUTHORIZED, "APIGW.0301"),
        ({"error": {"code": "APIGW.0302"}, "status": "fail"}, Reason.FORBIDDEN, "APIGW.0302"),
        ({"code": "APIGW.0308", "message": "x"}, Reason.RATE_LIMITED, "APIGW.0308"),
        ({"error_code": "AB.1234 and a secret", "status": "fail"}, Reason.INVALID_RESPONSE, ""),
        ({}, Reason.INVALID_RESPONSE, ""),
        ({"result": "SUCCESS", "status": "success"}, Reason.INVALID_RESPONSE, ""),
    ],
)
def test_a_failure_under_http_200_is_a_failure(body: object, reason: Reason, said: str) -> None:
    with pytest.raises(Failure) as caught:
        drive(codearts(), {"job_id": JOB}, {STATUS: response_of(body)})
    assert caught.value.reason is reason
    assert said in caught.value.detail
    assert "secret" not in str(caught.value)
    assert "no such task" not in str(caught.value)


def test_a_call_that_worked_needs_no_outer_status() -> None:
    info = response_of({"result": {"building": False, "build_result": "SUCCESS"}})
    assert fixed({RECORD: NOTHING, INFO: info}).state is State.SUCCEEDED


def test_a_build_that_does_not_exist_is_not_found() -> None:
    assert reason_of({RECORD: NOTHING, INFO: NOTHING}) is Reason.NOT_FOUND
    assert reason_of({STATUS: NOTHING}, "latest") is Reason.NOT_FOUND


# Keys


def test_latest_is_a_slot_and_a_number_a_run() -> None:
    slot, run = job(codearts(), {"job_id": JOB}), job(codearts(), {"job_id": JOB, "build_no": 9})
    assert (slot.id, slot.kind) == (JOB, Kind.SLOT)
    assert (run.id, run.kind) == (f"{JOB}/9", Kind.RUN)
    assert job(codearts(), {"job_id": JOB, "build_no": "9"}) == run


@pytest.mark.parametrize("build_no", [0, -1, "0", "007", "newest", "", 1.0, True, None, "9\n", "٩", 10**10])
def test_other_build_numbers_are_refused(build_no: object) -> None:
    with pytest.raises(ValidationError, match=re.escape("must be latest or a build number, 1 or greater")):
        CodeArtsJob.model_validate({"job_id": JOB, "build_no": build_no})


@pytest.mark.parametrize("job_id", ["", JOB[:-1], JOB + "0", JOB[:-1] + "-", JOB + "\n", "../" + JOB[3:]])
def test_a_job_id_is_32_letters_and_digits(job_id: str) -> None:
    with pytest.raises(ValidationError, match="must be 32 letters and digits"):
        CodeArtsJob(job_id=job_id)


def test_the_rate_limit_is_that_of_the_whole_system() -> None:
    assert CodeArts.rate_limit_scope == "system"


# Whatever comes

STATUSES = [path.read_bytes() for path in sorted((DATA / "codearts").glob("running_status_*.json"))]
RECORDS = [path.read_bytes() for path in sorted((DATA / "codearts").glob("record_*.json"))]
INFOS = [path.read_bytes() for path in sorted((DATA / "codearts").glob("build_info_*.json"))]


@given(mutated(RECORDS), mutated(INFOS))
def test_an_odd_record_or_build_info_gives_a_sane_status_or_a_failure(record: bytes, info: bytes) -> None:
    responses = {RECORD: Response(200, record), INFO: Response(200, info)}
    assert_read_or_refused(codearts(), {"job_id": JOB, "build_no": 9}, responses)
    assert_read_or_refused(codearts(), {"job_id": JOB}, {STATUS: newest(), **responses})


@given(mutated(STATUSES))
def test_an_odd_running_status_gives_a_sane_status_or_a_failure(status: bytes) -> None:
    responses = defaultdict(lambda: file("record_success"), {STATUS: Response(200, status)})
    assert_read_or_refused(codearts(), {"job_id": JOB}, responses)


@given(st.binary())
def test_bytes_of_any_kind_give_a_sane_status_or_a_failure(body: bytes) -> None:
    assert_read_or_refused(codearts(), {"job_id": JOB}, Response(200, body))
    assert_read_or_refused(codearts(), {"job_id": JOB, "build_no": 9}, Response(200, body))


@pytest.mark.parametrize("name", sorted(path.name for path in (DATA / "codearts").glob("*.json")))
def test_no_person_is_in_any_status_or_failure(name: str) -> None:
    try:
        shown = repr(
            drive(codearts(), {"job_id": JOB, "build_no": 9}, response_of(stored(f"codearts/{name}")))
        )
    except Failure as failure:
        shown = str(failure)
    assert "example.com" not in shown
    assert "Ada" not in shown
