"""The provider that is a mapping: whatever the response, the config's expressions say what it means."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.config.models import JobKeys
from exporter.config_types import check_key
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, has_dot_segments
from exporter.model.job import Items, Kind, State
from exporter.providers.json.job_api import JsonApi, JsonOptions
from exporter.providers.json.keys import RESERVED
from tests.providers.conftest import (
    drive,
    response_of,
)

NOW = 1_772_366_400.0  # 2026-03-01T12:00:00Z
STATES = {"succeeded": ["OK"], "failed": ["ERROR", "Crashed"], "running": ["BUSY"], "queued": ["WAIT"]}


def made(**read: Any) -> JsonApi:
    return JsonApi(JsonOptions.model_validate({"read": {"path": "/jobs/{id}", "state": "s", **read}}))


def read(body: object, **mapping: Any) -> Any:
    return drive(made(**mapping), {"id": "1"}, response_of(body)).status


def detail(body: object, **mapping: Any) -> str:
    with pytest.raises(Failure) as caught:
        read(body, **mapping)
    assert caught.value.reason is Reason.INVALID_RESPONSE
    return caught.value.detail


def test_the_example_of_the_docs_is_read() -> None:
    status = read(
        {"status": "Busy", "percent": 40, "totals": {"all": 10, "bad": 1}},
        state="status",
        states=STATES,
        progress="percent / `100`",
        items="totals.all",
        items_failed="totals.bad",
    )
    assert (status.state, status.raw, status.progress) == (State.RUNNING, "Busy", 0.4)
    assert status.items == Items(total=10, failed=1)
    assert not status.final


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("OK", State.SUCCEEDED),
        ("crashed", State.FAILED),
        ("wait", State.QUEUED),
        ("failed", State.UNKNOWN),
        ("something new", State.UNKNOWN),
    ],
)
def test_a_word_means_what_the_config_says_and_any_other_is_unknown(word: object, state: State) -> None:
    assert read({"s": word}, states=STATES).state is state


@pytest.mark.parametrize(
    "body", [None, [], [{"s": "OK"}], {}, {"s": None}, {"s": ""}, {"s": " \n"}, {"error": {"code": 500}}]
)
def test_a_response_without_a_word_for_the_state_is_not_understood(body: object) -> None:
    assert detail(body, states=STATES) == "state: the expression found nothing"


def test_the_absence_of_a_state_can_have_a_meaning() -> None:
    for body in ({}, {"s": None}, {"s": ""}):
        assert read(body, state="s || 'none'", states={"idle": ["none"]}).state is State.IDLE


@pytest.mark.parametrize("found", [["OK"], {"s": "OK"}, 10**400])
def test_a_state_of_another_type_is_not_understood(found: object) -> None:
    assert detail({"s": found}) == "state: the value is not text"


@pytest.mark.parametrize("state", list(State))
def test_without_a_table_the_words_are_our_own(state: State) -> None:
    assert read({"s": state.value.upper()}).state is state
    assert read({"s": "OK"}).state is State.UNKNOWN


@pytest.mark.parametrize(("found", "word"), [(True, "true"), (False, "false"), (0, "0"), (1.5, "1.5")])
def test_numbers_and_truth_values_are_words_too(found: object, word: str) -> None:
    status = read({"s": found}, states={"succeeded": [word]})
    assert (status.state, status.raw) == (State.SUCCEEDED, word)


def test_everything_of_the_vocabulary_can_be_mapped() -> None:
    counts = {
        f"items{name}": f"c.{name or 'all'}"
        for name in (
            *("", "_sent", "_additional_sent", "_processed", "_succeeded"),
            *("_failed", "_skipped", "_deleted", "_acknowledged"),
        )
    }
    times = ["queued_at", "started_at", "ended_at", "reported_at", "succeeded_at", "failed_at"]
    mapping: dict[str, Any] = {
        **counts,
        **{name: f"t.{name}" for name in times},
        **{name: f"w.{name}" for name in ("step", "run", "name", "type", "level")},
        "run_number": "n",
        "cancelable": "f.c",
        "enabled": "f.e",
        "items_sending_complete": "f.s",
    }
    status = read(
        {
            "s": "succeeded",
            "c": {name.removeprefix("c."): index for index, name in enumerate(counts.values())},
            "t": {name: 1_700_000_000 + index for index, name in enumerate(times)},
            "w": {name: name for name in ("step", "run", "name", "type", "level")},
            "n": "17",
            "f": {"c": False, "e": True, "s": True},
        },
        **mapping,
    )
    assert status.items == Items(0, 1, 2, 3, 4, 5, 6, 7, 8)
    assert [getattr(status, name) for name in times] == [1_700_000_000 + index for index in range(6)]
    assert (status.step, status.run, status.name) == ("step", "run", "name")
    assert (status.type, status.level, status.run_number) == ("type", "level", 17)
    assert (status.cancelable, status.enabled, status.sending_complete) == (False, True, True)
    assert status.state_since == status.ended_at
    assert status.final


def test_what_is_not_found_is_absent() -> None:
    status = read(
        {"s": "running"},
        progress="a.b / c",
        items="length(things)",
        items_failed="sum(groups[].bad)",
        started_at="start",
        step="steps[0].name",
        cancelable="rights.cancel",
        root="@",
    )
    assert (status.progress, status.started_at, status.step, status.cancelable) == (None, None, "", None)
    assert status.items == Items(failed=None)


def test_a_share_of_nothing_is_absent() -> None:
    assert read({"s": "running", "done": 0, "all": 0}, progress="done / all").progress is None


NOT_COUNTS: list[Any] = [-1, 1.5, 2**54, 10**400, "-1", "many", True, [1], {"n": 1}]
NOT_TIMES: list[Any] = ["yesterday", "-", "PT5M", "2026-03-01", 20260301, [], True, 10**16, 10**400]


@pytest.mark.parametrize(
    ("name", "found", "allowed"),
    [
        *(("items", found, "a whole number from 0") for found in NOT_COUNTS),
        ("run_number", "7b", "a whole number from 0"),
        *(("progress", found, "a number from 0 to 1") for found in ("half", False, -0.1, 40)),
        ("step", {}, "text"),
        ("name", ["a"], "text"),
        *(("started_at", found, "a time") for found in NOT_TIMES),
        ("cancelable", "yes", "true or false"),
        ("enabled", 1, "true or false"),
    ],
)
def test_a_value_of_another_type_costs_that_value_and_is_noted(
    name: str, found: object, allowed: str
) -> None:
    body = {"s": "succeeded", "x": found, "right": "deploy", "n": 7}
    status = read(body, **{"step": "right", "items_sent": "n", name: "x"})
    left_out = read({**body, "x": None}, **{"step": "right", "items_sent": "n", name: "x"})
    assert status.notes == (f"{name}: the value is not {allowed}",)
    assert replace(status, notes=()) == left_out
    assert left_out.notes == ()
    assert (left_out.state, left_out.items.sent) == (State.SUCCEEDED, 7)


def test_an_expression_that_cannot_be_evaluated_costs_that_value_and_is_noted() -> None:
    status = read({"s": "running", "done": "a few", "all": 4}, progress="done / all", items="all")
    assert (status.state, status.progress, status.items.total) == (State.RUNNING, None, 4)
    assert status.notes == ("progress: its expression calculates with a value that is not a number",)


@pytest.mark.parametrize("found", [None, "", " "])
def test_what_is_absent_is_not_noted(found: object) -> None:
    names = ("step", "items", "progress", "ended_at")
    assert read({"s": "succeeded", "x": found}, **dict.fromkeys(names, "x")).notes == ()


def test_a_read_without_the_number_of_the_run_is_not_that_of_another_run() -> None:
    assert read({"s": "failed", "n": 2}, run="n").run == "2"
    assert read({"s": "failed", "n": []}, run="n").run == read({"s": "failed"}, run="n").run == ""


@pytest.mark.parametrize("found", ["no", ["no"], [None], {"code": 5}, 5, -1, "0", True])
def test_a_response_with_an_error_is_a_failure(found: object) -> None:
    body = {"s": "running", "data": {"s": "running"}, "errors": found}
    assert detail(body, error="errors") == "error: the expression found something"
    assert detail(body, error="errors", root="data") == "error: the expression found something"


@pytest.mark.parametrize("found", [None, False, 0, 0.0, "", [], {}])
def test_a_response_without_an_error_is_read(found: object) -> None:
    assert read({"s": "running", "errors": found}, error="errors").state is State.RUNNING


def test_an_error_can_be_a_comparison() -> None:
    assert read({"s": "running", "success": True}, error="success == `false`").state is State.RUNNING
    assert detail({"s": "running", "success": False}, error="success == `false`").startswith("error: ")
    assert detail({"code": "x"}, error="code - `1`").startswith("error: its expression ")


@pytest.mark.parametrize(
    "found",
    [
        1772366400,
        1772366400000,
        "1772366400",
        "1772366400000",
        1772366400.0,
        "2026-03-01T12:00:00Z",
        "2026-03-01T13:00:00.0000000+01:00",
        " 2026-03-01 12:00:00 ",
        "2026-03-01t12:00:00z",
        "2026-03-01 12:00:00 UTC",
        "2026-03-01T12:00:00+0000",
    ],
)
def test_a_time_is_iso_or_unix_seconds_or_milliseconds(found: object) -> None:
    assert read({"s": "running", "t": found}, started_at="t").started_at == NOW


@pytest.mark.parametrize("found", [0, -1, "", None, "0001-01-01T00:00:00Z", "0"])
def test_a_time_that_is_none_is_absent(found: object) -> None:
    status = read({"s": "running", "t": found}, started_at="t")
    assert (status.started_at, status.notes) == (None, ())


@pytest.mark.parametrize(
    ("queued", "started", "since"),
    [(NOW, NOW + 60, NOW + 60), (NOW, NOW - 60, NOW), (NOW, None, NOW), (None, NOW, None)],
)
def test_a_run_that_is_queued_again_is_queued_after_the_start_of_its_earlier_attempt(
    queued: float | None, started: float | None, since: float | None
) -> None:
    times = {"queued_at": "q", "started_at": "b"}
    status = read({"s": "queued", "q": queued, "b": started}, **times)
    assert (status.queued_at, status.started_at, status.state_since) == (since, None, since)
    assert read({"s": "running", "q": queued, "b": started}, **times).queued_at == queued


@pytest.mark.parametrize("state", ["queued", "running", "canceling"])
def test_what_goes_on_has_not_ended(state: str) -> None:
    status = read({"s": state, "t": NOW}, ended_at="t")
    assert status.ended_at is None
    assert status.state_since is None


def test_a_state_is_dated_by_the_times_or_by_an_expression_of_its_own() -> None:
    times = {"queued_at": "q", "started_at": "b", "ended_at": "e"}
    body = {"q": NOW, "b": NOW + 1, "e": NOW + 2, "x": NOW + 9}
    assert read({**body, "b": NOW - 1, "s": "queued"}, **times).state_since == NOW
    assert read({**body, "s": "running"}, **times).state_since == NOW + 1
    assert read({**body, "s": "failed"}, **times).state_since == NOW + 2
    assert read({**body, "s": "failed"}, **times, state_since="x").state_since == NOW + 9


def test_a_run_is_final_once_it_has_ended_and_a_slot_never() -> None:
    assert read({"s": "canceled"}).final
    assert read({"s": "canceled"}).run == "1"
    assert not read({"s": "stopped"}).final
    assert read({"s": "stopped"}, final=["stopped"]).final
    assert not read({"s": "canceled"}, final=["failed"]).final
    slot = read({"s": "canceled", "n": 7}, kind="slot", run="n")
    assert (slot.final, slot.run) == (False, "7")
    assert made(kind="slot").identify({"id": "1"}) == ("1", Kind.SLOT)
    assert made().identify({"id": "1"}) == ("1", Kind.RUN)


def test_the_job_may_stand_anywhere_in_the_answer() -> None:
    runs = {"runs": [{"s": "failed", "n": 2}, {"s": "succeeded", "n": 1}]}
    status = read(runs, root="runs[0]", run_number="n")
    assert (status.state, status.run_number) == (State.FAILED, 2)
    assert read([{"s": "failed"}], root="[0]").state is State.FAILED
    assert detail({"runs": []}, root="runs[0]", state="s || 'idle'") == "root: the expression found nothing"
    assert read({"runs": []}, root="runs[0] || `{}`", state="s || 'idle'").state is State.IDLE


@pytest.mark.parametrize("body", [b"<html>", b"{", b'{"s": 1'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Failure, match="the response is not JSON"):
        drive(made(), {"id": "1"}, response_of(body))


def requested(keys: Mapping[str, str], **mapping: Any) -> Request:
    provider = made(**mapping)
    requests: list[Request] = []
    drive(provider, keys, response_of({"s": "running"}), requests=requests)
    return requests[0]


def test_a_key_goes_encoded_into_path_query_and_body() -> None:
    odd = 'a/b?c=d&e#f %2e"\\é'
    request = requested(
        {"id": odd, "q": odd, "b": odd},
        method="POST",
        path="/x/{id}/y",
        query={"q": "<{q}>", "more": ["1", True, 5]},
        body={"deep": [{"b": "{b}", "n": 1, "literal": "{ b }"}]},
        headers={"X-Trace": "1"},
    )
    path, _, query = request.path.partition("?")
    assert path.split("/") == ["", "x", path.split("/")[2], "y"]
    assert unquote(path.split("/")[2]) == odd
    assert parse_qsl(query) == [("q", f"<{odd}>"), ("more", "1"), ("more", "true"), ("more", "5")]
    assert json.loads(request.body) == {"deep": [{"b": odd, "n": 1, "literal": "{ b }"}]}
    assert request.method == "POST"
    assert dict(request.headers) == {"X-Trace": "1", "Content-Type": "application/json"}


def test_the_media_type_of_a_body_may_be_another() -> None:
    request = requested(
        {"id": "1"}, method="POST", body={}, headers={"content-type": "application/vnd.x+json"}
    )
    assert request.headers == (("content-type", "application/vnd.x+json"),)


def test_the_identity_is_the_keys_of_path_then_query_then_body() -> None:
    provider = made(path="/{c}/{a}", query={"x": "{b}{a}"}, method="POST", body={"d": ["{d}"]})
    assert provider.key_names() == ("c", "a", "b", "d")
    assert provider.identify({"a": "1", "b": "2", "c": "3", "d": "4"})[0] == "3/1/2/4"


KEY = st.text(max_size=20).filter(lambda value: not _refused(value))


def _refused(value: str) -> bool:
    try:
        value.encode()
        check_key(value)
    except ValueError:
        return True
    return False


@given(KEY, KEY, KEY)
@example("...%2f..x", "a&b=c", '"},"x":{"')
@example("x%2f", "a&b=c", '"},"x":{"')
@example("%2f", "#", "\\")
@example("%2", "e.", "x")
@example("a/%", "2e", "x")
def test_no_key_reaches_another_place_or_shape(one: str, two: str, three: str) -> None:
    def made() -> Request:
        return requested(
            {"one": one, "two": two, "three": three},
            path="/a/{one}{two}/b",
            method="POST",
            query={"q": "{two}"},
            body={"k": "{three}"},
        )

    if has_dot_segments(one + two):
        with pytest.raises(Failure, match=r"the keys make a segment \. or \.\. of the path"):
            made()
        return
    request = made()
    url = urlsplit("https://api.example.com" + request.path)
    assert url.netloc == "api.example.com"
    parts = url.path.split("/")
    assert (len(parts), parts[1], parts[3], unquote(parts[2])) == (4, "a", "b", one + two)
    assert parts[2] not in (".", "..")
    assert url.fragment == ""
    assert parse_qsl(url.query, keep_blank_values=True) == [("q", two)]
    assert json.loads(request.body) == {"k": three}
    assert request.path.isascii()


def test_no_key_in_braces_can_hide_a_key_of_every_job() -> None:
    assert set(JobKeys.model_fields) <= RESERVED
