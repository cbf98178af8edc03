import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.model.job import Kind, State, Status
from exporter.providers import PROVIDERS
from exporter.providers.itwin import ITwin
from exporter.providers.values import text
from tests.providers.conftest import Read, assert_sane, drive, response_of, stored

ID = "cc3d35cc-416a-4262-9714-b359da70b419"
KEYS = {"id": ID}
V1 = "realitydataanalysis"
V2 = "reality-modeling"
SERVICES = {
    "contextcapture": "v1",
    "realitydataanalysis": "v1",
    "realityconversion": "v1",
    "reality-modeling": "v2",
    "reality-analysis": "v2",
    "reality-conversion": "v2",
}
TIMEOUT = Failure(Reason.TIMEOUT)
WORDS = st.sampled_from(
    ["unsubmitted", "Queued", "pending", "active", "Over", "completed", "success", "failed", "Cancelled", "?"]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def at(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def itwin(service: str = V1) -> ITwin:
    return ITwin(ITwin.Options.model_validate({"service": service}))


def read(
    progress: Response | Failure | str,
    job: Response | Failure | str,
    *,
    service: str = V1,
    previous: Status | None = None,
) -> Read:
    """One read, given both responses; a text is the name of a stored one."""
    progress, job = (
        response_of(stored(f"itwin/{each}.json")) if isinstance(each, str) else each
        for each in (progress, job)
    )
    path = f"/{service}/jobs/{ID}"
    return drive(itwin(service), KEYS, {f"{path}/progress": progress, path: job}, previous=previous)


def outcome(progress: Response, job: Response) -> Status | Reason:
    try:
        return read(progress, job).status
    except Failure as failure:
        return failure.reason


def progress(state: str, percentage: float = 50, step: str = "") -> Response:
    return response_of({"progress": {"percentage": percentage, "state": state, "step": step}})


def details(state: str, **times: str) -> Response:
    return response_of({"job": {"name": "N", "type": "T", "state": state, "executionInfo": times}})


def test_the_answer_of_the_vendors_page() -> None:
    result = read("progress", "job_v1_active")
    assert result.status == Status(
        state=State.RUNNING,
        raw="active",
        run=ID,
        step="Prepare_Production",
        progress=0.56,
        queued_at=at("2025-03-06T09:42:33Z"),
        started_at=at("2025-03-06T09:45:00Z"),
        state_since=at("2025-03-06T09:45:00Z"),
        name="Cracks of bridge 12",
        type="objects2D",
    )
    assert result.paths == [f"/{V1}/jobs/{ID}/progress", f"/{V1}/jobs/{ID}"]


@pytest.mark.parametrize(("service", "version"), SERVICES.items())
def test_each_service_is_asked_for_its_version(service: str, version: str) -> None:
    result = read("progress", "job_v1_active", service=service)
    accept = ("Accept", f"application/vnd.bentley.itwin-platform.{version}+json")
    assert [request.headers for request in result.requests] == [(accept,), (accept,)]
    assert [path.split("/")[1] for path in result.paths] == [service, service]


def test_contextcapture_wraps_its_progress_otherwise() -> None:
    status = read("progress_contextcapture", "job_v1_active", service="contextcapture").status
    assert (status.state, status.progress, status.step) == (State.RUNNING, 0.35, "Run_Production")


def test_over_is_told_by_the_job_itself() -> None:
    status = read("progress_contextcapture_over", "job_v1_success", service="contextcapture").status
    assert status == Status(
        state=State.SUCCEEDED,
        raw="success",
        final=True,
        run=ID,
        step="Run_Production",
        progress=1.0,
        queued_at=at("2025-03-06T09:42:33Z"),
        started_at=at("2025-03-06T09:45:00Z"),
        ended_at=at("2025-03-06T10:45:00Z"),
        state_since=at("2025-03-06T10:45:00Z"),
        name="Cracks of bridge 12",
        type="objects2D",
    )


@pytest.mark.parametrize("word", ["Over", "over", "Completed"])
def test_over_is_no_success_by_itself(word: str) -> None:
    assert read(progress(word), details("failed")).status.state is State.FAILED
    assert read(progress(word), details("")).status.state is State.UNKNOWN
    assert read(progress(word), details(word)).status == replace(
        read(progress(word), details("")).status, raw=word
    )
    assert not read(progress(word), details(word)).status.final
    assert read(response_of(status=404), details(word)).status.state is State.UNKNOWN


def test_over_without_the_job_itself_is_a_failed_read() -> None:
    with pytest.raises(Failure) as caught:
        read(progress("Over"), TIMEOUT, previous=Status(State.RUNNING, raw="Active", name="N"))
    assert caught.value.reason is Reason.TIMEOUT


def test_a_newer_service_tells_no_step() -> None:
    status = read("progress_v2", "job_v2_active", service=V2).status
    assert (status.state, status.raw, status.step, status.progress) == (State.RUNNING, "Active", "", 0.05)
    assert status.queued_at == at("2026-04-01T09:56:14Z")
    assert status.started_at == status.state_since == at("2026-04-01T09:58:00Z")
    assert (status.name, status.type) == ("Images of tower 3", "FillImageProperties")


def test_a_queued_job_waits_since_it_was_made() -> None:
    status = read(progress("Queued", 0), "job_v2_queued", service=V2).status
    assert status.state is State.QUEUED
    assert status.queued_at == status.state_since == at("2026-04-01T09:56:14Z")
    assert status.started_at is status.ended_at is None


@pytest.mark.parametrize(
    ("word", "state", "final"),
    [
        ("unsubmitted", State.IDLE, False),
        ("Unsubmitted", State.IDLE, False),
        ("Queued", State.QUEUED, False),
        ("pending", State.QUEUED, False),
        ("active", State.RUNNING, False),
        ("Active", State.RUNNING, False),
        ("success", State.SUCCEEDED, True),
        ("Success", State.SUCCEEDED, True),
        ("failed", State.FAILED, True),
        ("cancelled", State.CANCELED, True),
        ("Canceled", State.CANCELED, True),
        ("TerminatingOnCancel", State.CANCELING, False),
        ("TerminatingOnFailure", State.FAILED, False),
        ("Hibernating", State.UNKNOWN, False),
    ],
)
def test_every_word_has_its_state(word: str, state: State, final: bool) -> None:  # noqa: FBT001  a table
    for status in (
        read(progress(word), details(word)).status,
        read(response_of(status=404), details(word)).status,
    ):
        assert (status.state, status.raw, status.final) == (state, word, final)


def test_a_job_not_handed_in_was_not_queued() -> None:
    status = read(
        progress("unsubmitted"), details("unsubmitted", createdDateTime="2026-04-01T09:56:14Z")
    ).status
    assert status.queued_at is status.state_since is None


def test_without_progress_the_job_itself_is_read() -> None:
    result = read(response_of(stored("itwin/error_404.json"), 404), "job_v2_failed", service=V2)
    assert result.status == Status(
        state=State.FAILED,
        raw="Failed",
        final=True,
        run=ID,
        queued_at=at("2026-04-01T09:56:14Z"),
        started_at=at("2026-04-01T09:58:00Z"),
        ended_at=at("2026-04-01T10:08:00Z"),
        state_since=at("2026-04-01T10:08:00Z"),
        name="Images of tower 3",
        type="FillImageProperties",
    )


def test_without_progress_an_active_job_is_still_running() -> None:
    status = read(response_of(status=404), "job_v1_active").status
    assert (status.state, status.progress, status.final) == (State.RUNNING, None, False)


def test_only_the_jobs_own_404_is_not_found() -> None:
    with pytest.raises(Failure) as caught:
        read(response_of(status=404), response_of(stored("itwin/error_404.json"), 404))
    assert caught.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize(("code", "reason"), [(401, Reason.UNAUTHORIZED), (429, Reason.RATE_LIMITED)])
def test_other_errors_of_the_page_are_failures(code: int, reason: Reason) -> None:
    with pytest.raises(Failure) as caught:
        read(response_of(stored(f"itwin/error_{code}.json"), code), "job_v1_active")
    assert caught.value.reason is reason


def test_while_only_the_progress_changes_one_request_is_enough() -> None:
    first = read("progress", "job_v1_active").status
    second = read(progress("active", 70, "Run_Production"), TIMEOUT, previous=first)
    assert second.paths == [f"/{V1}/jobs/{ID}/progress"]
    assert second.status == replace(first, progress=0.7, step="Run_Production")


def test_the_end_is_read_once_with_its_time() -> None:
    running = read("progress", "job_v1_active").status
    ended = read(progress("success", 100), "job_v1_success", previous=running)
    assert len(ended.requests) == 2
    assert (ended.status.final, ended.status.ended_at) == (True, at("2025-03-06T10:45:00Z"))
    again = read(progress("success", 100), TIMEOUT, previous=ended.status)
    assert len(again.requests) == 1
    assert again.status == ended.status


def test_a_second_read_that_fails_does_not_lose_the_status() -> None:
    running = read("progress", "job_v1_active").status
    status = read(progress("failed", 80), TIMEOUT, previous=running).status
    assert (status.state, status.final, status.ended_at) == (State.FAILED, False, None)
    assert (status.name, status.started_at) == (running.name, running.started_at)
    settled = read(progress("failed", 80), "job_v2_failed", previous=status).status
    assert (settled.final, settled.ended_at) == (True, at("2026-04-01T10:08:00Z"))


@pytest.mark.parametrize("code", [404, 403])
def test_an_end_whose_time_cannot_be_had_is_final(code: int) -> None:
    status = read(progress("success", 100), response_of(status=code)).status
    assert (status.state, status.final, status.ended_at) == (State.SUCCEEDED, True, None)


def test_a_job_that_lags_behind_its_progress_is_read_again() -> None:
    lagging = read(progress("success", 100), "job_v1_active").status
    assert (lagging.state, lagging.final, lagging.ended_at) == (State.SUCCEEDED, False, None)
    assert read(progress("success", 100), "job_v1_success", previous=lagging).status.final


def test_a_job_that_runs_ahead_of_its_progress_has_no_end_yet() -> None:
    status = read("progress", "job_v1_success").status
    assert (status.state, status.ended_at, status.final) == (State.RUNNING, None, False)


def test_a_failure_under_way_becomes_final_when_the_job_is_over() -> None:
    under_way = read(progress("TerminatingOnFailure"), "job_v2_active", service=V2).status
    over = read(progress("Failed"), "job_v2_failed", service=V2, previous=under_way).status
    assert (over.state, over.final, over.ended_at) == (State.FAILED, True, at("2026-04-01T10:08:00Z"))


def test_a_value_of_another_type_costs_that_value_and_is_noted_as_long_as_it_is_there() -> None:
    odd = response_of({"progress": {"percentage": "half", "state": "active", "step": 5}})
    job = {"state": "active", "name": ["N"], "type": "T", "executionInfo": {"startedDateTime": "soon"}}
    first = read(odd, response_of({"job": job})).status
    assert (first.state, first.progress, first.name, first.type) == (State.RUNNING, None, "", "T")
    of_job = (
        "job.executionInfo.startedDateTime: the value is not a time",
        "job.name: the value is not text",
    )
    of_progress = (
        "progress.step: the value is not text",
        "progress.percentage: the value is not a number from 0 to 100",
    )
    assert first.notes == (*of_job, *of_progress)
    second = read(progress("active", 60), TIMEOUT, previous=first).status
    assert (second.progress, second.notes) == (0.6, of_job)
    times = read(progress("active"), response_of({"job": {"executionInformation": []}})).status
    assert times.notes == ("job.executionInformation: the value is not an object",)


def test_a_job_of_which_only_the_progress_can_be_read_is_noted_once() -> None:
    denied = read("progress", response_of(status=403)).status
    assert denied.notes == ("job: not read (forbidden)",)
    odd = read("progress", response_of({"job": "x"}), previous=read("progress", TIMEOUT).status).status
    assert (odd.state, odd.progress) == (State.RUNNING, denied.progress)
    assert odd.notes == ("job: not read (invalid_response: the response has no job)",)
    assert read("progress", "job_v1_active", previous=odd).status.notes == ()


@pytest.mark.parametrize("word", [None, "", 5, ["active"]])
def test_the_job_has_the_state_where_the_progress_has_no_word_for_it(word: object) -> None:
    odd = response_of({"progress": {"percentage": 50, "state": word}})
    status = read(odd, details("active")).status
    assert (status.state, status.raw, status.progress) == (State.RUNNING, "active", 0.5)
    assert outcome(odd, response_of({"job": {"name": "N", "state": word}})) is Reason.INVALID_RESPONSE
    assert outcome(response_of(status=404), response_of({"job": {"state": word}})) is Reason.INVALID_RESPONSE


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"progress": null}', b'{"progress": []}'])
def test_an_answer_without_progress_is_not_understood(body: bytes) -> None:
    with pytest.raises(Failure) as caught:
        read(response_of(body), "job_v1_active")
    assert caught.value.reason is Reason.INVALID_RESPONSE


@pytest.mark.parametrize(("percentage", "expected"), [(0, 0.0), ("56", 0.56), (101, None), (None, None)])
def test_percentage_is_a_share_of_a_hundred(percentage: object, expected: float | None) -> None:
    body = {"progress": {"percentage": percentage, "state": "active"}}
    assert read(response_of(body), "job_v1_active").status.progress == expected


def test_people_are_not_exported() -> None:
    assert "surveyor" not in repr(read("progress", "job_v1_active").status)


def test_a_job_is_a_run_and_its_id_is_encoded() -> None:
    assert PROVIDERS["itwin"] is ITwin
    assert ITwin.identify(KEYS) == (ID, Kind.RUN)
    result = drive(
        itwin(),
        {"id": "a/b?c"},
        {
            f"/{V1}/jobs/a%2Fb%3Fc/progress": response_of(status=404),
            f"/{V1}/jobs/a%2Fb%3Fc": details("active"),
        },
    )
    assert result.status.state is State.RUNNING


def test_the_vendors_pace_is_kept() -> None:
    assert ITwin.poll_steps == (15, 30, 60, 120)
    assert ITwin.rate_limit_scope == "system"


@pytest.mark.parametrize("options", [{}, {"service": "realitymodeling"}, {"service": V1, "more": 1}])
def test_only_the_six_services_are_taken(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ITwin.Options(**options)


@given(
    state=WORDS | JSON,
    job_state=WORDS | JSON,
    wild=st.fixed_dictionaries({}, optional=dict.fromkeys(["percentage", "step", "name", "type"], JSON)),
    times=JSON
    | st.dictionaries(st.sampled_from(["submittedDateTime", "startedDateTime", "endedDateTime"]), JSON),
    missing=st.booleans(),
)
def test_no_field_however_odd_raises_or_invents(
    state: object,
    job_state: object,
    wild: dict[str, object],
    times: object,
    missing: bool,  # noqa: FBT001
) -> None:
    first = response_of(status=404) if missing else response_of({"progress": {**wild, "state": state}})
    second = response_of({"job": {**wild, "state": job_state, "executionInfo": times}})
    result = outcome(first, second)
    if isinstance(result, Status):
        assert_sane(result)
    else:
        # Only the state is indispensable.
        assert result is Reason.INVALID_RESPONSE
        assert not text(job_state)
        assert missing or not text(state)


@given(first=st.binary() | JSON.map(lambda value: json.dumps(value).encode()), second=st.binary() | JSON)
def test_no_body_however_odd_does_more_than_fail(first: bytes, second: object) -> None:
    result = outcome(response_of(first), response_of(second))
    if isinstance(result, Status):
        assert_sane(result)
    else:
        assert result is Reason.INVALID_RESPONSE
