from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Items, Kind, State, Status
from exporter.providers.crafter.studio import Crafter, CrafterOptions
from tests.providers.conftest import DATA, assert_read_or_refused, drive, job, mutated, response_of, stored

KEYS = {"site_id": "my-site"}
V1 = "/api/1/services/api/1/publish/status.json?site_id=my-site"
V2 = "/api/2/publish/status?siteId=my-site"
PACKAGES = "/api/2/publish/packages?siteId=my-site&states={}&offset=0&limit=200"
COMPLETED, WAITING = PACKAGES.format("COMPLETED"), PACKAGES.format("READY_FOR_LIVE%2CPROCESSING")
NOON = datetime(2019, 1, 9, 12, 34, tzinfo=UTC).timestamp()
NAMES = sorted(path.stem for path in (DATA / "crafter").glob("*.json"))
MOVED = response_of(stored("crafter/v1_moved_301.json"), 301, location="/studio/api/2/publish/status")
NO_SITE_V1 = Response(404, stored("crafter/v1_error_404.json"))
NO_SITE_V2 = Response(404, stored("crafter/v2_site_not_found.json"))
HTML_404 = Response(404, b"<html>Not Found</html>")
Responses = Mapping[str, Response | Failure]


def site(state: State, raw: str = "", **more: Any) -> Status:
    """A status of a site."""
    return Status(state, raw, **more)


def auto() -> Crafter:
    return Crafter(CrafterOptions())


def file(name: str) -> Response:
    return response_of(stored(f"crafter/{name}.json"))


def v1(name: str) -> Status:
    return drive(Crafter(CrafterOptions(api="v1")), KEYS, {V1: file(name)}).status


def v2(**fields: object) -> Status:
    body = {"response": {"code": 0}, "publishingStatus": {"enabled": True, "status": "ready", **fields}}
    return drive(Crafter(CrafterOptions(api="v2")), KEYS, {V2: response_of(body)}).status


def read_v2(name: str) -> Status:
    return drive(Crafter(CrafterOptions(api="v2")), KEYS, {V2: file(name)}).status


def failure(provider: Crafter, responses: Responses | Response, requested: list[str]) -> Failure:
    """The failure of a read that requests these paths."""
    requests: list[Request] = []
    with pytest.raises(Failure) as caught:
        drive(provider, KEYS, responses, requests=requests)
    assert [request.path for request in requests] == requested
    return caught.value


# Version 1


@pytest.mark.parametrize(
    ("name", "state", "raw"),
    [
        ("never_published", State.IDLE, "idle"),
        ("after_publishing_as_documented", State.IDLE, "idle"),
        ("during_publishing_as_documented", State.RUNNING, "busy"),
        ("failed_as_documented", State.FAILED, "stopped"),
        ("stopped_as_documented", State.STOPPED, "stopped"),
        ("queued", State.QUEUED, "queued"),
        ("null_status", State.IDLE, ""),
    ],
)
def test_an_answer_without_a_time_tells_its_state_alone(name: str, state: State, raw: str) -> None:
    assert v1(f"v1_{name}") == site(state=state, raw=raw)


def test_a_site_at_rest_tells_when_it_last_succeeded() -> None:
    assert v1("v1_after_publishing") == site(
        State.IDLE, "idle", ended_at=NOON, reported_at=NOON, state_since=NOON, succeeded_at=NOON
    )
    assert v1("v1_after_package").succeeded_at == NOON + 56


def test_a_site_being_published_tells_since_when() -> None:
    assert v1("v1_during_publishing") == site(State.RUNNING, "busy", started_at=NOON, reported_at=NOON)
    assert v1("v1_publishing_package").started_at == NOON + 56


def test_a_site_runs_since_the_first_item_or_package_that_was_read() -> None:
    def started(message: str, previous: Status | None) -> float | None:
        response = response_of({"status": "busy", "message": f"Currently publishing {message}"})
        return drive(auto(), KEYS, response, previous=previous).status.started_at

    running, idle = v1("v1_during_publishing"), v1("v1_after_publishing")
    assert started("item: /b on 2019-01-09T12:40Z", running) == NOON
    assert started("item: /b on 2019-01-09T12:40Z", idle) == NOON + 360
    assert started("item: /b on 2019-01-09T12:40Z", site(State.RUNNING)) == NOON + 360
    assert started("package: 8 on 2019-01-09T12:40:00Z", running) == NOON
    first = "package: 8 on 2019-01-09T12:39:00Z. Item 7 of 9 is being published"
    later = "package: 9 on 2019-01-09T12:40:00Z. Item 1 of 9 is being published"
    response = response_of({"status": "publishing", "message": f"Currently publishing {first}"})
    assert started(later, drive(auto(), KEYS, response).status) == NOON + 360


def test_an_item_of_a_package_is_progress_until_all_are_prepared() -> None:
    shown = []
    for item in (1, 50, 200):
        message = (
            f"Currently publishing package: 8 on 2019-01-09T12:40:00Z. Item {item} of 200 is being published"
        )
        status = v2(status="publishing", message=message)
        shown.append((status.items.total, status.items.processed, status.progress))
    assert shown == [(200, 1, 0.005), (200, 50, 0.25), (200, 200, None)]


@pytest.mark.parametrize(
    ("message", "enabled", "state"),
    [
        ("Last successful publish was for package: 8 on 2019-01-09T12:34Z with 2 items", True, State.IDLE),
        (
            "Last successful publish was for package: 8 on 2019-01-09T12:34Z with 2 items",
            False,
            State.STOPPED,
        ),
        ("Stopped while trying to publish item: /a on 2019-01-09T12:34Z", False, State.FAILED),
        ("Publishing is disabled due to errors. Check logs for error details", False, State.FAILED),
        ("Currently publishing item: /a on 2019-01-09T12:34Z", False, State.RUNNING),
        ("Items are queued for publishing", True, State.QUEUED),
        ("Publishing was stopped by user ada on 2019-01-09T12:34Z", None, State.STOPPED),
        ("User ada disabled publishing for site on 2019-01-09T12:34Z", False, State.STOPPED),
        ("Ready", True, State.IDLE),
        ("Ready for what?", True, State.UNKNOWN),
        ("", True, State.IDLE),
        (None, False, State.STOPPED),
        (None, None, State.UNKNOWN),
    ],
)
def test_a_site_without_a_word_has_the_state_of_its_message(
    message: str | None, state: State, *, enabled: bool | None
) -> None:
    assert v2(status=None, message=message, enabled=enabled).state is state


def test_a_failure_that_is_written_twice_is_one_and_none_is_before_its_start() -> None:
    def failed(moment: str, previous: Status) -> float | None:
        response = response_of(
            {"status": "stopped", "message": f"Stopped while trying to publish item: on {moment}"}
        )
        return drive(auto(), KEYS, response, previous=previous).status.failed_at

    first = v1("v1_failed")
    assert failed("2019-01-09T12:34:09Z", first) == NOON
    assert failed("2019-01-09T12:36:09Z", first) == NOON + 129
    assert failed("2019-01-09T12:34Z", v1("v1_publishing_package")) == NOON + 56


@pytest.mark.parametrize(
    ("name", "moment"), [("v1_failed", NOON), ("v1_failed_server_wording", NOON - 3600 + 56)]
)
def test_a_failure_is_told_from_a_stop_in_both_wordings_and_time_forms(name: str, moment: float) -> None:
    assert v1(name) == site(
        State.FAILED, "stopped", ended_at=moment, reported_at=moment, state_since=moment, failed_at=moment
    )


@pytest.mark.parametrize(("name", "moment"), [("v1_stopped", NOON), ("v1_disabled", NOON + 56)])
def test_a_site_stopped_by_somebody_has_not_failed(name: str, moment: float) -> None:
    assert v1(name) == site(State.STOPPED, "stopped", reported_at=moment, state_since=moment)


def test_a_site_that_was_started_again_is_idle_and_has_not_succeeded_by_that() -> None:
    assert v1("v1_started") == site(State.IDLE, "started", reported_at=NOON + 56, state_since=NOON + 56)


def test_the_time_of_a_message_is_its_last_one_not_one_of_the_path() -> None:
    message = "Currently publishing item: /site/news/on 2001-01-01T00:00Z/a.xml on 2019-01-09T12:34Z"
    assert v2(status="publishing", message=message).started_at == NOON
    assert (
        v2(status="publishing", message="Currently publishing item: /2001-01-01T00:00Z/a").started_at is None
    )


def test_a_path_or_a_user_cannot_make_a_success_or_a_failure() -> None:
    item = "Currently publishing item: /last successful/failed while on 2019-01-09T12:34Z"
    assert v2(status="publishing", message=item).succeeded_at is None
    user = "User failed while stopped the site on 2019-01-09T12:34Z"
    assert v2(status="stopped", message=user).state is State.STOPPED


def test_a_queued_site_that_tells_of_its_last_success_was_not_queued_then() -> None:
    message = "Last successful publish was for item: /a on 2019-01-09T12:34Z"
    status = v2(status="queued", message=message)
    assert (status.state, status.succeeded_at, status.queued_at) == (State.QUEUED, NOON, None)
    status = v2(status="queued", message="Items queued for publishing on 2019-01-09T12:34Z")
    assert (status.queued_at, status.succeeded_at) == (NOON, None)


# Version 2


@pytest.mark.parametrize(
    ("name", "state", "raw", "enabled"),
    [
        ("v2_3_1_ready", State.IDLE, "ready", True),
        ("v2_4_0_ready", State.IDLE, "ready", True),
        ("v2_4_0_disabled", State.STOPPED, "ready", False),
        ("v2_4_0_processing", State.RUNNING, "processing", True),
        ("v2_4_0_publishing", State.RUNNING, "publishing", True),
        ("v2_4_0_ready_with_errors", State.SUCCEEDED_WITH_ERRORS, "readyWithErrors", True),
        ("v2_4_0_error", State.FAILED, "error", False),
        ("v2_4_2_queued", State.QUEUED, "queued", True),
        ("v2_null_status", State.IDLE, "", True),
    ],
)
def test_every_answer_of_version_2_has_its_state(name: str, state: State, raw: str, *, enabled: bool) -> None:
    status = read_v2(name)
    assert (status.state, status.raw, status.enabled, status.final) == (state, raw, enabled, False)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("idle", State.IDLE),
        ("started", State.IDLE),
        ("READY", State.IDLE),
        ("busy", State.RUNNING),
        ("stopped", State.STOPPED),
        ("paused", State.UNKNOWN),
    ],
)
def test_every_word_has_its_state_in_any_case(word: str, state: State) -> None:
    assert (v2(status=word).state, v2(status=word).raw) == (state, word)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("ready", State.STOPPED),
        ("queued", State.STOPPED),
        ("readyWithErrors", State.STOPPED),
        ("publishing", State.RUNNING),
        ("error", State.FAILED),
        ("paused", State.UNKNOWN),
    ],
)
def test_publishing_switched_off_is_stopped_whatever_is_queued(word: str, state: State) -> None:
    assert v2(status=word, enabled=False).state is state


def counted(processed: object, total: object, word: str = "publishing", **more: object) -> Status:
    fields = {"status": word, "submissionId": "7f3a", "numberOfItems": processed, "totalItems": total}
    return v2(**{**fields, **more})


def test_a_package_being_published_tells_its_items_and_its_share_and_names_no_run() -> None:
    status = read_v2("v2_4_0_publishing")
    assert (status.run, status.items, status.progress) == ("", Items(total=40, processed=12), 0.3)


@pytest.mark.parametrize("word", ["queued", "stopped", "ready", "readyWithErrors", "paused", None])
def test_a_counter_is_that_of_a_cycle_that_runs_whatever_was_written_meanwhile(word: str | None) -> None:
    status = counted(3, 40, status=word, enabled=False)
    assert (status.state, status.raw, status.enabled) == (State.RUNNING, word or "", False)
    assert counted(3, 40, "error").state is State.FAILED


def test_the_counter_that_starts_again_never_shows_all_done_too_early() -> None:
    shown = [counted(processed, 40, "processing").progress for processed in (0, 20, 40)]
    # With a staging target the counter runs to twice the total.
    for processed in (0, 20, 40, 60, 79, 80):
        status = counted(processed, 40)
        assert status.items == Items(total=40, processed=min(processed, 40))
        shown.append(status.progress)
    assert shown == [None, None, None, 0, 0.5, None, 0.75, 0.9875, None]


@pytest.mark.parametrize(
    ("processed", "total", "progress"),
    [(1, None, None), (None, 2, None), (5, 2, None), (1, 0, None), ("1", "4", 0.25), (True, 2, None)],
)
def test_a_share_needs_two_counts_that_fit(processed: object, total: object, progress: float | None) -> None:
    assert counted(processed, total).progress == progress


def task(state: str = "IN_PROGRESS", **fields: object) -> Status:
    """The status of a site after 4.2, whose task prepares 40 items and has published 10."""
    stages = [
        {"name": "prepare", "state": "COMPLETED", "processed": 40, "total": 40},
        {"name": "publish", "state": "IN_PROGRESS", "processed": 10, "total": 40},
    ]
    shown = {"taskId": {"siteId": "my-site", "packageId": 41}, "state": state, "stages": stages, **fields}
    body = {"enabled": True, "published": True, "currentTask": shown}
    responses = {V2: response_of({"response": {"code": 0}, "publishingStatus": body})}
    return drive(Crafter(CrafterOptions(api="v2")), KEYS, responses).status


def test_a_task_has_a_step_a_start_items_and_progress() -> None:
    status = task(startTime="2019-01-09T12:34:00Z", endTime=None)
    assert (status.state, status.raw, status.step) == (State.RUNNING, "IN_PROGRESS", "publish")
    assert (status.started_at, status.run, status.progress) == (NOON, "41", 0.25)
    assert status.items == Items(total=40, processed=10)


def test_a_task_has_progress_in_its_last_stage_alone() -> None:
    first = {"name": "prepare", "state": "IN_PROGRESS", "processed": 10, "total": 40}
    status = task(stages=[first, {"name": "publish", "state": "PENDING", "processed": 0, "total": 40}])
    assert (status.step, status.progress, status.items.processed) == ("prepare", None, 10)


@pytest.mark.parametrize("stages", [None, "x", [], [None, 1], [{"state": 5}]])
def test_a_task_whose_stages_cannot_be_read_has_its_state(stages: object) -> None:
    status = task(stages=stages)
    assert (status.state, status.step, status.progress) == (State.RUNNING, "", None)


@pytest.mark.parametrize(
    ("enabled", "state"), [(True, State.IDLE), (None, State.IDLE), (False, State.STOPPED)]
)
def test_a_site_without_a_task_rests_or_is_stopped(state: State, *, enabled: bool | None) -> None:
    body = {"enabled": enabled, "published": True, "currentTask": None}
    response = response_of({"response": {"code": 0}, "publishingStatus": body})
    assert drive(Crafter(CrafterOptions(api="v2")), KEYS, {V2: response}).status.state is state


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"enabled": True},
        {"status": 5},
        {"status": ["ready"]},
        {"currentTask": []},
        {"currentTask": "x"},
        {"currentTask": {"stages": []}},
        {"currentTask": {"state": 5}},
    ],
)
def test_a_response_of_another_shape_is_invalid(body: object) -> None:
    response = response_of({"response": {"code": 0}, "publishingStatus": body})
    caught = failure(Crafter(CrafterOptions(api="v2")), {V2: response}, [V2])
    assert caught.reason is Reason.INVALID_RESPONSE


def test_a_value_of_a_wrong_type_is_left_out_and_noted() -> None:
    odd = {"enabled": "yes", "totalItems": "many", "numberOfItems": -1, "publishingTarget": []}
    status = v2(status="publishing", submissionId="a", **odd)
    assert (status.state, status.items, status.enabled) == (State.RUNNING, Items(), None)
    assert status.notes == (
        "enabled: the value is not true or false",
        "totalItems: the value is not a whole number from 0",
        "numberOfItems: the value is not a whole number from 0",
        "publishingTarget: the value is not text",
    )
    assert v2(message=5).notes == ("message: the value is not text",)
    stage = {"name": "publish", "state": "IN_PROGRESS", "total": {}, "processed": True}
    status = task(taskId={"packageId": "x"}, startTime="soon", stages=[stage, None])
    assert (status.state, status.items, status.started_at) == (State.RUNNING, Items(), None)
    assert status.notes == (
        "currentTask.stages.*.total: the value is not a whole number from 0",
        "currentTask.stages.*.processed: the value is not a whole number from 0",
        "currentTask.taskId.packageId: the value is not a number",
        "currentTask.startTime: the value is not a time",
    )
    too_many = [{"state": "RUNNING"}] * 101
    for stages in ("x", too_many):
        assert task(stages=stages).notes == ("currentTask.stages: the value is not a list of at most 100",)


def test_a_publish_whose_server_was_killed_is_lost_and_the_log_names_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider, previous, states = Crafter(CrafterOptions(api="v2")), counted(3, 40), []
    body = {"status": "publishing", "submissionId": None, "numberOfItems": 0, "totalItems": 0}
    response = response_of({"response": {"code": 0}, "publishingStatus": body})
    for _ in range(4):
        previous = drive(provider, KEYS, {V2: response}, previous=previous).status
        states.append(previous.state)
    assert states == [State.RUNNING, State.IDLE, State.IDLE, State.IDLE]
    assert [record.getMessage() for record in caplog.records] == ["a publish was lost with its server"]


def packages(*ids: object, **fields: object) -> Response:
    shown = [{"id": each, "state": "COMPLETED"} for each in ids]
    return response_of({"response": {"code": 0}, "packages": shown, "total": len(ids), **fields})


@pytest.mark.parametrize(
    ("waiting", "completed", "certain"),
    [
        (packages(), packages("x", "7f3a"), True),
        (packages("y"), packages("x", "7f3a", total=900), True),
        (packages(), packages("x", None), False),
        (packages(), packages("7f3a-2"), False),
        (packages(), packages(), False),
        # Another part of the package waits, or cannot be excluded to wait.
        (packages("7f3a"), None, False),
        (packages("y", total=2), None, False),
    ],
)
def test_a_cycle_that_is_over_has_succeeded_for_certain_where_its_whole_package_is_completed(
    waiting: Response, completed: Response | None, *, certain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    provider, responses = Crafter(CrafterOptions(api="v2")), {V2: file("v2_4_0_ready"), WAITING: waiting}
    responses |= {} if completed is None else {COMPLETED: completed}
    read = drive(provider, KEYS, responses, previous=counted(3, 40))
    assert read.paths == list(responses)
    assert (read.status.state, read.status.unseen_end) == (State.IDLE, State.SUCCEEDED)
    assert (read.status.unseen_within is None) is certain
    assert drive(provider, KEYS, responses, previous=read.status).paths == [V2]
    assert not caplog.records


@pytest.mark.parametrize(
    "answer",
    [
        response_of({"response": {"code": 2001}}),
        packages(packages=None),
        packages(packages={"id": "7f3a"}),
        Response(200, b"<html>"),
        Response(200, b"[]"),
        Response(401),
        Response(403),
        Response(404),
    ],
)
@pytest.mark.parametrize("failing", [WAITING, COMPLETED])
def test_packages_that_cannot_be_read_cost_no_status_and_are_logged_once(
    failing: str, answer: Response | Failure, caplog: pytest.LogCaptureFixture
) -> None:
    provider = Crafter(CrafterOptions(api="v2"))
    responses = {V2: file("v2_4_0_ready"), WAITING: packages(), failing: answer}
    for _ in range(2):
        read = drive(provider, KEYS, responses, previous=counted(3, 40))
        assert (read.status.state, read.status.unseen_within) == (State.IDLE, 1.5)
        assert drive(provider, KEYS, responses, previous=read.status).paths == [V2]
    assert [record.getMessage() for record in caplog.records] == ["cannot read which packages are published"]


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.CONNECT, Reason.SERVER_ERROR])
def test_packages_that_cannot_be_read_for_the_moment_are_requested_once_again(
    reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    provider, rest, failing = Crafter(CrafterOptions(api="v2")), file("v2_4_0_ready"), Failure(reason)
    listed = packages("7f3a")
    for answer in (listed, failing, listed):
        with pytest.raises(Failure) as caught:
            drive(provider, KEYS, {V2: rest, WAITING: failing}, previous=counted(3, 40))
        assert caught.value.reason is reason
        responses = {V2: rest, WAITING: packages(), COMPLETED: answer}
        status = drive(provider, KEYS, responses, previous=counted(3, 40)).status
        assert (status.unseen_within is None) is (answer is listed)
    assert len(caplog.records) == 1


def test_a_rate_limit_of_packages_is_one_of_the_read() -> None:
    limited = Failure(Reason.RATE_LIMITED, retry_after=7)
    with pytest.raises(Failure) as caught:
        drive(
            Crafter(CrafterOptions(api="v2")),
            KEYS,
            {V2: file("v2_4_0_ready"), WAITING: limited},
            previous=counted(3, 40),
        )
    assert caught.value is limited


def test_zeros_of_a_site_at_rest_are_no_counts() -> None:
    assert read_v2("v2_4_0_ready").items == Items()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, Reason.SERVER_ERROR),
        (1001, Reason.CLIENT_ERROR),
        (2000, Reason.UNAUTHORIZED),
        (2001, Reason.FORBIDDEN),
        (5000, Reason.NOT_FOUND),
        ("5000", Reason.NOT_FOUND),
        (5003, Reason.SERVER_ERROR),
        (424242, Reason.INVALID_RESPONSE),
        (-1, Reason.INVALID_RESPONSE),
    ],
)
def test_a_failure_under_http_200_is_a_failure(code: object, reason: Reason) -> None:
    body = {"response": {"code": code, "message": "secret"}, "publishingStatus": {"status": "ready"}}
    caught = failure(Crafter(CrafterOptions(api="v2")), {V2: response_of(body)}, [V2])
    assert caught.reason is reason
    assert "secret" not in str(caught)
    assert "424242" not in str(caught)


# Which version the server speaks


def test_a_server_of_version_1_is_asked_version_1_alone() -> None:
    provider = auto()
    for _ in range(2):
        read = drive(provider, KEYS, {V1: file("v1_during_publishing")})
        assert (read.paths, read.status.state) == ([V1], State.RUNNING)


@pytest.mark.parametrize("first", [MOVED, HTML_404])
def test_a_server_of_version_2_is_found_out_once_for_all_sites(first: Response) -> None:
    provider = auto()
    responses = {V1: first, V2: file("v2_4_0_publishing")}
    assert drive(provider, KEYS, responses).paths == [V1, V2]
    assert drive(provider, KEYS, responses).paths == [V2]
    other = "/api/2/publish/status?siteId=other"
    assert drive(provider, {"site_id": "other"}, {other: file("v2_4_0_ready")}).paths == [other]


@pytest.mark.parametrize(
    "second",
    [
        NO_SITE_V2,
        HTML_404,
        Response(302),
        Response(401),
        Response(403),
        Response(500),
        Response(200, b"<html>"),
        Response(200, b"{}"),
        Response(200, stored("crafter/v2_site_not_found.json")),
        Response(200, stored("crafter/v1_never_published.json")),
    ],
)
def test_a_site_that_version_1_does_not_know_teaches_nothing_unless_version_2_is_understood(
    second: Response,
) -> None:
    provider = auto()
    for _ in range(2):
        assert failure(provider, {V1: NO_SITE_V1, V2: second}, [V1, V2]).reason is Reason.NOT_FOUND
    assert drive(provider, KEYS, {V1: file("v1_queued")}).paths == [V1]


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.CONNECT, Reason.AUTH])
def test_a_fault_on_the_way_to_version_2_is_not_a_missing_site(reason: Reason) -> None:
    fault = Failure(reason, retry_after=7)
    assert failure(auto(), {V1: NO_SITE_V1, V2: fault}, [V1, V2]) is fault


def test_a_server_that_moved_to_version_2_says_there_what_is_wrong() -> None:
    provider = auto()
    assert failure(provider, {V1: MOVED, V2: Response(401)}, [V1, V2]).reason is Reason.UNAUTHORIZED
    assert failure(provider, {V1: MOVED, V2: NO_SITE_V2}, [V1, V2]).reason is Reason.NOT_FOUND
    assert failure(provider, {V1: MOVED, V2: Response(301)}, [V1, V2]).reason is Reason.REDIRECT


def test_a_missing_site_of_a_version_2_server_leaves_what_was_learnt() -> None:
    provider = auto()
    drive(provider, KEYS, {V1: MOVED, V2: file("v2_4_0_ready")})
    assert failure(provider, {V2: NO_SITE_V2}, [V2]).reason is Reason.NOT_FOUND
    assert failure(provider, {V2: Response(500)}, [V2]).reason is Reason.SERVER_ERROR
    assert drive(provider, KEYS, {V2: file("v2_4_0_ready")}).paths == [V2]


def test_a_server_that_forgot_version_2_is_asked_version_1_again() -> None:
    provider = auto()
    drive(provider, KEYS, {V1: MOVED, V2: file("v2_4_0_ready")})
    assert failure(provider, {V2: HTML_404}, [V2]).reason is Reason.NOT_FOUND
    assert drive(provider, KEYS, {V1: file("v1_queued")}).paths == [V1]


def test_a_version_that_the_config_names_is_the_only_one_asked() -> None:
    assert failure(Crafter(CrafterOptions(api="v1")), {V1: MOVED}, [V1]).reason is Reason.REDIRECT
    assert failure(Crafter(CrafterOptions(api="v1")), {V1: NO_SITE_V1}, [V1]).reason is Reason.NOT_FOUND
    assert failure(Crafter(CrafterOptions(api="v2")), {V2: HTML_404}, [V2]).reason is Reason.NOT_FOUND


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_documented_error_goes_on_as_it_is(status: int) -> None:
    response = Response(status, stored(f"crafter/v1_error_{status}.json"))
    assert failure(auto(), {V1: response}, [V1]).status == status


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message":"API deprecated."}'])
@pytest.mark.parametrize("api", ["v1", "v2", "auto"])
def test_an_answer_without_a_status_is_invalid(api: str, body: bytes) -> None:
    provider = Crafter(CrafterOptions.model_validate({"api": api}))
    with pytest.raises(Failure) as caught:
        drive(provider, KEYS, response_of(body))
    assert caught.value.reason is Reason.INVALID_RESPONSE


# Keys and whatever comes


def test_a_site_is_a_slot_named_by_its_id() -> None:
    made = job(auto(), KEYS)
    assert (made.id, made.kind) == ("my-site", Kind.SLOT)


@pytest.mark.parametrize("options", [{"api": "v3"}, {"api": 2}, {"apis": "v1"}])
def test_other_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CrafterOptions.model_validate(options)


@given(st.text(min_size=1).filter(lambda value: value.isprintable() and value not in (".", "..")))
def test_a_site_id_is_encoded_whole(site: str) -> None:
    for api, key in (("v1", "site_id"), ("v2", "siteId")):
        requests: list[Request] = []
        with pytest.raises(Failure):
            drive(
                Crafter(CrafterOptions.model_validate({"api": api})),
                {"site_id": site},
                Response(500),
                requests=requests,
            )
        assert parse_qs(urlsplit(requests[0].path).query) == {key: [site]}


@pytest.mark.parametrize("name", NAMES)
def test_no_person_and_no_path_is_in_any_status(name: str) -> None:
    shown = str(failure_or_status(Response(200, stored(f"crafter/{name}.json"))))
    assert "example.com" not in shown
    assert "/site/" not in shown


def failure_or_status(response: Response) -> Status | Failure:
    try:
        return drive(Crafter(CrafterOptions(api="v1")), KEYS, response).status
    except Failure:
        pass
    try:
        return drive(Crafter(CrafterOptions(api="v2")), KEYS, response).status
    except Failure as caught:
        return caught


ANY_FILE = mutated([stored(f"crafter/{name}.json") for name in NAMES])
ANY_STATUS = st.sampled_from([200, 301, 404, 500])


@given(ANY_FILE | st.binary(), ANY_STATUS, ANY_FILE | st.binary(), ANY_STATUS)
def test_whatever_comes_gives_a_sane_status_or_a_failure(
    first: bytes, first_status: int, second: bytes, second_status: int
) -> None:
    provider = auto()
    responses = {V1: Response(first_status, first), V2: Response(second_status, second)}
    for _ in range(2):
        assert_read_or_refused(provider, KEYS, responses)


@given(
    st.text(alphabet="0123456789-T:Z+ onLast successful.", max_size=80), st.sampled_from(["ready", "busy"])
)
def test_no_message_however_odd_raises_or_gives_an_impossible_time(message: str, word: str) -> None:
    body = response_of({"status": word, "message": message})
    assert_read_or_refused(Crafter(CrafterOptions(api="v1")), KEYS, body)
