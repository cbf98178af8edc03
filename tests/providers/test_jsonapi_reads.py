"""Reads of the provider `json` that need more than one response of status 200 with a run in it."""

from typing import Any

import pytest
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.model.job import State
from exporter.providers.json.job_api import JsonApi, JsonOptions
from tests.providers.conftest import discover, drive, response_of

NOW = 1_772_366_400.0
RUN = {"s": "running", "n": 3, "tasks": "not these"}
TASKS = {"tasks": [{"s": "ok"}, {"s": "bad"}, {"s": "ok"}]}
ALSO = {
    "also": {"tasks": {"path": "/jobs/{id}/tasks", "error": "errors"}},
    "items": "n",
    "items_failed": "length(tasks.tasks[?s == 'bad'])",
}
NEWEST = {"kind": "slot", "root": "runs[0]", "missing": "idle"}


def made(**read: Any) -> JsonApi:
    return JsonApi(JsonOptions.model_validate({"read": {"path": "/jobs/{id}", "state": "s", **read}}))


def read(responses: Any, **options: Any) -> Any:
    return drive(made(**options), {"id": "1"}, responses)


def test_the_response_of_a_further_request_is_beside_the_fields_of_the_job() -> None:
    responses = {"/jobs/1": response_of({"job": RUN}), "/jobs/1/tasks": response_of(TASKS)}
    result = read(responses, root="job", **ALSO)
    assert result.paths == list(responses)
    assert (result.status.state, result.status.items.total, result.status.items.failed) == (
        State.RUNNING,
        3,
        1,
    )


@pytest.mark.parametrize("reason", [Reason.NOT_FOUND, Reason.FORBIDDEN])
def test_a_further_response_that_is_not_there_costs_its_values_alone(reason: Reason) -> None:
    found = read({"/jobs/1": response_of(RUN), "/jobs/1/tasks": Failure(reason)}, **ALSO).status
    assert (found.state, found.items.total, found.items.failed) == (State.RUNNING, 3, None)
    assert found.notes == (f"also.tasks: {reason}",)


@pytest.mark.parametrize("answer", [Failure(Reason.TIMEOUT), response_of({"errors": [1]}), response_of(b"x")])
def test_a_further_request_that_fails_for_the_moment_fails_the_read(answer: Response | Failure) -> None:
    with pytest.raises(Failure):
        read({"/jobs/1": response_of(RUN), "/jobs/1/tasks": answer}, **ALSO)


def test_further_responses_need_an_object_to_go_to() -> None:
    with pytest.raises(Failure, match="is not an object"):
        read(response_of(["running"]), **{**ALSO, "state": "[0]"})


def test_the_keys_of_a_further_request_are_keys_of_the_job() -> None:
    provider = made(also={"log": {"path": "/logs/{log}"}})
    assert provider.key_names() == ("id", "log")


@pytest.mark.parametrize(
    "answer",
    [
        response_of({"runs": []}),
        response_of({"runs": None}),
        response_of({}),
        response_of(b"", 204),
        response_of({"runs": [{"s": None}]}),
    ],
)
def test_a_slot_without_a_run_has_the_configured_state(answer: Response) -> None:
    assert read(answer, **NEWEST).status.state is State.IDLE
    with pytest.raises(Failure):
        read(answer, **{**NEWEST, "missing": None})


def test_a_slot_with_a_run_has_the_state_of_the_run() -> None:
    assert read(response_of({"runs": [{"s": "failed"}]}), **NEWEST).status.state is State.FAILED
    with pytest.raises(Failure, match="state: the value is not text"):
        read(response_of({"runs": [{"s": []}]}), **NEWEST)


def test_an_error_is_no_missing_run() -> None:
    with pytest.raises(Failure, match="error: the expression found something"):
        read(response_of({"error": "down"}), **NEWEST, error="error")
    with pytest.raises(Failure):
        read(response_of(b"<html>"), **NEWEST)


def test_an_accepted_status_is_read_as_a_response() -> None:
    result = read(response_of({"runs": []}, 404), **NEWEST, accept=[404, 409])
    assert result.status.state is State.IDLE
    assert result.requests[0].expect == {404, 409}


@pytest.mark.parametrize("status", [200, 304, 401, 407, 429, 600])
def test_no_status_of_a_stored_response_the_credential_or_the_rate_limit_is_accepted(status: int) -> None:
    with pytest.raises(ValidationError, match="not a status that can be accepted"):
        made(accept=[status])


@pytest.mark.parametrize(
    "odd", [{"missing": "idle"}, {"kind": "slot", "missing": "failed"}, {"kind": "slot", "final": ["failed"]}]
)
def test_a_missing_run_is_of_a_slot_and_no_result(odd: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**odd)


def test_a_listing_may_leave_what_has_not_ended_to_its_own_read() -> None:
    jobs = {"jobs": [{"id": "1", "s": "running"}, {"id": "2", "s": "queued"}, {"id": "3", "s": "failed"}]}
    keys = {"path": "/jobs", "items": "jobs", "keys": {"id": "id"}, "state": "s"}
    for read_active, complete in ((True, [False, False, True]), (False, [True, True, True])):
        found = discover(made(), {**keys, "read_active": read_active}, response_of(jobs), now=NOW).found
        assert [each.complete for each in found] == complete
        assert [each.status and each.status.state for each in found] == ["running", "queued", "failed"]


LISTED = {"path": "/jobs", "items": "jobs", "keys": {"id": "id"}}
ENTRIES = response_of({"jobs": [{"id": "1", "s": "failed"}, {"id": "2"}]})


def test_a_listing_has_the_states_that_read_finds_in_its_entries() -> None:
    one, two = discover(made(), LISTED, ENTRIES, now=NOW).found
    assert (one.complete, one.status and one.status.state) == (True, State.FAILED)
    assert (two.complete, two.status, two.failure) == (False, None, None)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({}, {"state": None}),
        ({}, {"interval": "1m"}),
        ({"kind": "slot", "root": "runs[0]"}, {}),
        ({"kind": "slot", "missing": "idle", "state": "last.s"}, {}),
        ({"state": "s || 'idle'"}, {}),
        ({"state": "abs('x')"}, {}),
    ],
)
def test_a_state_that_need_not_be_that_of_the_job_is_not_taken_from_an_entry(
    options: dict[str, Any], keys: dict[str, Any]
) -> None:
    found = discover(made(**options), {**LISTED, **keys}, ENTRIES, now=NOW).found
    assert [(each.complete, each.status) for each in found] == [(False, None)] * 2
