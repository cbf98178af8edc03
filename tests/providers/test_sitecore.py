import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.model.job import Items, Kind, State, Status
from exporter.providers import PROVIDERS
from exporter.providers.sitecore import Sitecore
from tests.providers.conftest import Read, assert_sane, drive, response_of, stored

ID = "job_41B25"
QUEUED, STARTED, FINISHED = (
    datetime.fromisoformat(f"2026-05-16T10:0{minute}:00Z").timestamp() for minute in (0, 1, 5)
)
REPORTED = datetime.fromisoformat("2026-05-16T10:01:30.123456Z").timestamp()
WORDS = st.sampled_from(["Queued", "Running", "Completed", "Failed", "Canceling", "Canceled"])
COUNTS = st.integers(-5, 2**60) | st.sampled_from([2**53, 0, "7", True, None, 1.5])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def read(response: Response | Failure | str) -> Read:
    """One read; a text is the name of a stored response."""
    if isinstance(response, str):
        response = response_of(stored(f"sitecore/{response}.json"))
    return drive(Sitecore(Sitecore.Options()), {"id": ID}, {f"/authoring/publishing/v1/jobs/{ID}": response})


def outcome(response: Response) -> Status | Reason:
    try:
        return read(response).status
    except Failure as failure:
        return failure.reason


def job(status: object = "Running", **statistics: object) -> Response:
    xmc = {"additionalItemsSent": statistics.pop("additional", 0), "itemsSendingComplete": True}
    return response_of({"id": ID, "system": {"status": status}, "statistics": {**statistics, "xmc": xmc}})


def test_a_queued_job_has_no_statistics_yet() -> None:
    assert read("queued").status == Status(
        state=State.QUEUED,
        raw="Queued",
        run=ID,
        cancelable=True,
        queued_at=QUEUED,
        state_since=QUEUED,
        name="Publish Home and below",
    )


def test_zeros_of_a_queued_job_are_no_progress() -> None:
    status = read("queued_zeros").status
    assert (status.state, status.progress, status.items.total) == (State.QUEUED, None, 0)
    assert status.sending_complete is False


def test_while_items_are_still_being_sent_there_is_no_progress() -> None:
    status = read("running_sending").status
    assert (status.progress, status.sending_complete, status.items.total) == (None, False, 80)


def test_once_all_is_sent_progress_is_the_share_of_all_items() -> None:
    assert read("running_sent").status == Status(
        state=State.RUNNING,
        raw="Running",
        run=ID,
        progress=0.3,
        items=Items(
            total=100,
            sent=80,
            additional_sent=20,
            processed=30,
            failed=1,
            skipped=2,
            deleted=3,
            acknowledged=25,
        ),
        cancelable=True,
        sending_complete=True,
        queued_at=QUEUED,
        started_at=STARTED,
        reported_at=REPORTED,
        state_since=STARTED,
        name="Publish Home and below",
    )


@pytest.mark.parametrize(
    ("statistics", "items"),
    [
        ({"processedCount": 8, "totalCount": 10}, Items(total=10, processed=8)),
        ({"processedCount": "8", "totalCount": None}, Items(processed=8)),
        ({"totalCount": 10}, Items(total=10)),
        ({"itemsSent": 20, "processedCount": 8, "totalCount": 10}, Items(total=20, sent=20, processed=8)),
        ({"itemsSent": 20, "itemsProcessed": 0, "processedCount": 8}, Items(total=20, sent=20, processed=0)),
        ({"processedCount": -1, "totalCount": "many"}, Items()),
    ],
)
def test_counts_of_older_environments_are_read_where_the_others_are_missing(
    statistics: dict[str, object], items: Items
) -> None:
    status = read(response_of({"id": ID, "system": {"status": "Running"}, "statistics": statistics})).status
    # Whether all items are sent is not reported, so the total is not the denominator of a progress.
    assert (status.items, status.progress) == (items, None)


def test_a_completed_job_is_final_and_no_longer_cancelable() -> None:
    status = read("completed").status
    assert (status.state, status.final, status.progress) == (State.SUCCEEDED, True, 1.0)
    assert status.ended_at == status.state_since == FINISHED
    assert status.cancelable is None


def test_completed_with_failed_items_is_success_with_errors() -> None:
    status = read("completed_with_failures").status
    assert (status.state, status.raw, status.final) == (State.SUCCEEDED_WITH_ERRORS, "Completed", True)
    assert status.state_since == FINISHED


@pytest.mark.parametrize(
    ("name", "state", "final", "ended"),
    [
        ("failed", State.FAILED, True, FINISHED),
        ("canceling", State.CANCELING, False, None),
        ("canceled", State.CANCELED, True, FINISHED),
    ],
)
def test_other_ends(name: str, state: State, final: bool, ended: float | None) -> None:  # noqa: FBT001  a table
    status = read(name).status
    assert (status.state, status.final, status.ended_at, status.state_since) == (state, final, ended, ended)


@pytest.mark.parametrize(
    ("word", "state", "final"),
    [
        ("QUEUED", State.QUEUED, False),
        ("running", State.RUNNING, False),
        ("completed", State.SUCCEEDED, True),
        ("Cancelling", State.CANCELING, False),
        ("Cancelled", State.CANCELED, True),
        ("Paused", State.UNKNOWN, False),
    ],
)
def test_words_in_any_case_and_spelling(word: str, state: State, final: bool) -> None:  # noqa: FBT001  a table
    status = read(job(word)).status
    assert (status.state, status.raw, status.final) == (state, word, final)


@pytest.mark.parametrize("system", [None, [], {}, {"status": None}, {"status": ""}, {"status": ["Running"]}])
def test_a_job_without_a_word_for_its_state_is_not_understood(system: object) -> None:
    with pytest.raises(Failure, match=r"invalid_response: system\.status is missing or is not text"):
        read(response_of({"id": ID, "name": "N", "system": system}))


def test_a_value_of_another_type_costs_that_value_and_is_noted() -> None:
    status = read(
        response_of(
            {
                "id": ID,
                "name": 5,
                "system": {"status": "Running", "queuedTime": "-", "startTime": "2026-05-16T10:01:00Z"},
                "statistics": {
                    "itemsSent": 10,
                    "itemsProcessed": "some",
                    "itemsFailed": 2,
                    "xmc": {"additionalItemsSent": [], "itemsSendingComplete": "yes"},
                },
                "permissions": 7,
            }
        )
    ).status
    # The total is not certain without the additional items.
    assert status.items == Items(sent=10, failed=2)
    assert (status.state, status.started_at, status.queued_at) == (State.RUNNING, STARTED, None)
    assert status.notes == (
        "system.queuedTime: the value is not a time",
        "statistics.xmc.additionalItemsSent: the value is not a whole number from 0",
        "statistics.itemsProcessed: the value is not a whole number from 0",
        "statistics.xmc.itemsSendingComplete: the value is not true or false",
        "permissions: the value is not an object",
        "name: the value is not text",
    )


@pytest.mark.parametrize("statistics", [None, {}, {"xmc": None}, {"itemsSent": None, "xmc": {}}])
def test_a_job_without_statistics_has_no_counts_and_no_notes(statistics: object) -> None:
    status = read(response_of({"id": ID, "system": {"status": "Running"}, "statistics": statistics})).status
    assert (status.state, status.items, status.notes) == (State.RUNNING, Items(), ())


@pytest.mark.parametrize(
    ("sent", "additional", "processed", "progress"),
    [
        (0, 0, 0, None),
        (10, 0, 5, 0.5),
        (10, None, 5, 0.5),
        (10, 5, 16, None),
        (None, 5, 5, None),
        (10, 0, None, None),
    ],
)
def test_a_share_that_means_nothing_is_not_shown(
    sent: int | None, additional: int | None, processed: int | None, progress: float | None
) -> None:
    status = read(job(itemsSent=sent, additional=additional, itemsProcessed=processed)).status
    assert status.progress == progress


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (400, Reason.CLIENT_ERROR),
        (401, Reason.UNAUTHORIZED),
        (403, Reason.FORBIDDEN),
        (404, Reason.NOT_FOUND),
        (409, Reason.CLIENT_ERROR),
        (500, Reason.SERVER_ERROR),
    ],
)
def test_problems_are_failures_by_their_status(code: int, reason: Reason) -> None:
    with pytest.raises(Failure) as caught:
        read(response_of(stored(f"sitecore/problem_{code}.json"), code))
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "body", [b"", b"Forbidden", b"[]", b"null", b"{}", stored("sitecore/problem_404.json")]
)
def test_an_answer_that_is_no_job_is_not_understood(body: bytes) -> None:
    with pytest.raises(Failure) as caught:
        read(response_of(body))
    assert caught.value.reason is Reason.INVALID_RESPONSE


def test_people_are_not_exported() -> None:
    assert "someone" not in repr(read("completed").status)


def test_a_job_is_a_run_and_its_id_is_encoded() -> None:
    assert PROVIDERS["sitecore"] is Sitecore
    assert Sitecore.identify({"id": ID}) == (ID, Kind.RUN)
    result = drive(Sitecore(Sitecore.Options()), {"id": "a/b?c"}, job())
    assert result.paths == ["/authoring/publishing/v1/jobs/a%2Fb%3Fc"]


@pytest.mark.parametrize("keys", [{}, {"id": ""}, {"id": ".."}, {"id": 7}, {"id": "a", "name": "b"}])
def test_odd_keys_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Sitecore.JobKeys(**keys)


@given(
    status=WORDS,
    system=st.fixed_dictionaries({}, optional=dict.fromkeys(["queuedTime", "startTime", "finishTime"], JSON)),
    counts=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["itemsSent", "itemsProcessed", "itemsFailed", "lastReportTime", "processedCount", "totalCount"],
            COUNTS | JSON,
        ),
    ),
    additional=COUNTS | JSON,
    name=JSON,
)
def test_no_field_however_odd_raises_or_invents(
    status: object, system: dict[str, object], counts: dict[str, object], additional: object, name: object
) -> None:
    xmc = {"additionalItemsSent": additional, "itemsSendingComplete": True, "itemsSkipped": additional}
    body = {"name": name, "system": {**system, "status": status}, "statistics": {**counts, "xmc": xmc}}
    assert_sane(read(response_of(body)).status)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["id", "name", "permissions", "statistics", "system"], JSON)
    )
)
def test_no_part_however_odd_does_more_than_fail(body: dict[str, object]) -> None:
    result = outcome(response_of(body))
    if isinstance(result, Status):
        assert_sane(result)
    else:
        assert result is Reason.INVALID_RESPONSE


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_however_odd_does_more_than_fail(body: bytes) -> None:
    result = outcome(response_of(body))
    if isinstance(result, Status):
        assert_sane(result)
    else:
        assert result is Reason.INVALID_RESPONSE
