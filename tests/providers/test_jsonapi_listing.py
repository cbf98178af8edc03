"""Listings of the provider `json`: what they find, how they go on and that they end."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Kind, State
from exporter.providers.json.discover_keys import JsonDiscover
from exporter.providers.json.job_api import JsonApi, JsonOptions
from tests.providers.conftest import assert_listed_or_refused, discover, mutated, response_of

NOW = 1_772_366_400.0  # 2026-03-01T12:00:00Z
STATES = {"succeeded": ["OK"], "failed": ["ERROR"], "running": ["BUSY"], "queued": ["WAIT"]}
LIST: dict[str, Any] = {"path": "/jobs", "items": "jobs", "keys": {"id": "id"}}


def made(**read: Any) -> JsonApi:
    return JsonApi(JsonOptions.model_validate({"read": {"path": "/jobs/{id}", "state": "s", **read}}))


def listed(
    keys: Mapping[str, Any],
    responses: Callable[[Request], Response] | Response,
    provider: JsonApi | None = None,
) -> Any:
    return discover(provider or made(states=STATES), {**LIST, **keys}, responses, now=NOW)


def test_a_listing_that_tells_the_state_needs_no_read() -> None:
    body = {"jobs": [{"id": 1, "s": "OK", "p": 100, "end": "2026-03-01T12:00:00Z"}, {"id": "b", "s": "WAIT"}]}
    provider = made(states=STATES, progress="p / `100`", ended_at="end")
    found = listed({"state": "s"}, response_of(body), provider).found
    assert [(each.keys, each.complete) for each in found] == [({"id": "1"}, True), ({"id": "b"}, True)]
    assert [each.status.state for each in found] == [State.SUCCEEDED, State.QUEUED]
    assert (found[0].status.progress, found[0].status.ended_at, found[0].status.run) == (1.0, NOW, "1")


def test_a_listing_that_only_names_jobs_leaves_them_to_be_read() -> None:
    found = listed({}, response_of({"jobs": [{"id": "a", "title": "Night"}]}), made(name="title")).found
    assert [(each.keys, each.status, each.complete, each.name) for each in found] == [
        ({"id": "a"}, None, False, "Night")
    ]


@pytest.mark.parametrize(
    "odd", ["", ".", "..", "a\nb", "x" * 600, "\ud800", None, True, 1.5, [], {}, 10**400]
)
def test_an_id_that_could_not_be_configured_is_left_out(odd: object) -> None:
    found = listed({}, response_of({"jobs": [{"id": odd}, {"id": "good"}]}))
    assert found.ids == ["good"]
    assert sum(found.end.skipped.values()) == 1


def test_entries_that_name_no_job_are_counted_by_what_is_wrong() -> None:
    jobs = [{"id": "good"}, {"id": None}, {}, {"id": ".."}, {"id": 7, "n": "x"}, "x"]
    end = listed({"keys": {"id": "id && to_string(id || n)"}}, response_of({"jobs": jobs})).end
    assert dict(end.skipped) == {"discover.keys.id: the expression found nothing": 3, **odd("id")}
    end = listed({"keys": {"id": "abs(n)"}}, response_of({"jobs": [{"n": 1}, {"n": "x"}]})).end
    (why,) = end.skipped
    assert why.startswith("discover.keys.id: its expression ")
    assert end.skipped[why] == 1


def odd(name: str) -> dict[str, int]:
    return {f"discover.keys.{name}: the expression found a value that is not valid as a key": 1}


@pytest.mark.parametrize("body", [{}, {"jobs": None}, {"jobs": {}}, [], 5, {"jobs": "x"}])
def test_an_answer_without_the_list_is_no_empty_list(body: object) -> None:
    with pytest.raises(Failure, match=r"discover\.items: the value is not a list"):
        listed({}, response_of(body))


ODD_ENTRIES = [
    ({"s": ["OK"]}, "state: the value is not text"),
    ({"s": None}, "state: the expression found nothing"),
    ({}, "state: the expression found nothing"),
]


@pytest.mark.parametrize(("odd", "told"), ODD_ENTRIES)
def test_an_entry_without_a_readable_state_fails_alone(odd: dict[str, Any], told: str) -> None:
    body = {"jobs": [{"id": 1, "s": "OK"}, {"id": 2, **odd}, {"id": 3, "s": "BUSY"}]}
    found = listed({"state": "s"}, response_of(body)).found
    assert [(each.keys["id"], each.complete) for each in found] == [("1", True), ("2", True), ("3", True)]
    assert [each.status and each.status.state for each in found] == [State.SUCCEEDED, None, State.RUNNING]
    assert (found[1].failure.reason, found[1].failure.detail) == (Reason.INVALID_RESPONSE, told)


def test_an_odd_value_in_an_entry_costs_that_value_alone() -> None:
    body = {"jobs": [{"id": 1, "s": "OK", "end": "-"}, {"id": 2, "s": "OK", "end": NOW}]}
    one, two = listed({"state": "s"}, response_of(body), made(states=STATES, ended_at="end")).found
    assert (one.status.state, one.status.ended_at) == (State.SUCCEEDED, None)
    assert one.status.notes == ("ended_at: the value is not a time",)
    assert (two.status.ended_at, two.status.notes) == (NOW, ())


def test_an_odd_name_in_a_listing_without_states_costs_the_name_alone() -> None:
    found = listed({}, response_of({"jobs": [{"id": "a", "t": []}, {"id": "b", "t": "B"}]}), made(name="t"))
    assert [(each.keys["id"], each.name) for each in found.found] == [("a", ""), ("b", "B")]


def test_a_listing_with_an_error_is_a_failure() -> None:
    assert listed({"error": "errors"}, response_of({"jobs": [{"id": 1}], "errors": []})).ids == ["1"]
    with pytest.raises(Failure, match=r"^invalid_response: discover\.error: the expression found something$"):
        listed({"error": "errors"}, response_of({"jobs": [], "errors": [{"message": "no"}]}))


def test_keys_may_come_from_different_places() -> None:
    provider = made(path="/{project}/jobs/{id}")
    keys = {"keys": {"project": "'p'", "id": "meta.uid"}}
    found = listed(keys, response_of({"jobs": [{"meta": {"uid": 7}}]}), provider).found
    assert found[0].keys == {"project": "p", "id": "7"}
    assert provider.identify(found[0].keys) == ("p/7", Kind.RUN)


def test_since_is_the_moment_that_newer_than_reaches_back_to() -> None:
    query = {"a": ">{since}", "b": "{since_s}", "c": "{since_ms}"}
    paths = listed({"query": query, "newer_than": "1d"}, response_of({"jobs": []})).paths
    assert parse_qsl(urlsplit(paths[0]).query) == [
        ("a", ">2026-02-28T12:00:00Z"),
        ("b", "1772280000"),
        ("c", "1772280000000"),
    ]
    later = discover(
        made(), {**LIST, "query": query, "newer_than": "1d"}, response_of({"jobs": []}), now=NOW + 59
    ).paths
    assert later == paths


PAGINGS: list[dict[str, Any]] = [
    {"page": "p"},
    {"token": "t", "next": "n"},
    {"next": "n"},
    {"header": "Link"},
]


@given(st.sampled_from(PAGINGS), st.data())
def test_whatever_a_listing_answers_it_ends(paging: dict[str, Any], data: st.DataObject) -> None:
    body = data.draw(mutated([b'{"jobs": [{"id": "1", "s": "OK", "p": 5}, {"id": 2}], "n": "?x=2"}']))
    link = data.draw(st.sampled_from(["", "<>", '<?x=1>; rel="next"', "<", ";;", '<http://[>; rel="next"']))
    pages = 0

    def page(_: Request) -> Response:
        nonlocal pages
        pages += 1
        # A token for ever is for the core to end.
        return response_of(body, link=link) if pages < 5 else response_of({"jobs": []})

    keys = {**LIST, "state": "s", "paging": paging}
    assert_listed_or_refused(made(states=STATES, progress="p"), keys, page, now=NOW)


PARENTS = {"path": "/projects", "items": "@", "keys": {"project": "id"}}
OF_PARENT = {"path": "/projects/{project}/jobs", "parents": PARENTS}


def test_more_parents_than_a_listing_may_request_are_refused_before_their_jobs() -> None:
    requests = []

    def answer(request: Request) -> Response:
        requests.append(request.path)
        return response_of([{"id": number} for number in range(500)])

    with pytest.raises(Failure, match=r"discover\.parents: more than 499 parents") as refused:
        listed(OF_PARENT, answer, made(path="/projects/{project}/jobs/{id}"))
    assert (refused.value.reason, requests) == (Reason.TOO_LARGE, ["/projects"])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({**OF_PARENT, "path": "/jobs"}, "has no key of parents in braces"),
        (
            {**OF_PARENT, "paging": {"page": "project", "into": "path"}},
            "project in braces cannot be the page",
        ),
        ({"path": "/jobs/{since}", "paging": {"page": "since", "into": "path"}}, "since in braces cannot be"),
    ],
)
def test_the_names_of_parents_and_pages_do_not_hide_each_other(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        JsonDiscover.model_validate({**LIST, **keys})
