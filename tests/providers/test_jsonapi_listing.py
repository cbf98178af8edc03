"""Listings of the provider `json`: what they find, how they go on and that they end."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Kind, State
from exporter.providers.json.job_api import JsonApi, JsonOptions
from tests.providers.conftest import BASE_URL, assert_listed_or_refused, discover, mutated, response_of

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
    assert listed({}, response_of({"jobs": [{"id": odd}, {"id": "good"}]})).ids == ["good"]


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


def numbered(
    total: int, size: int = 10, *, by: str = "page", first: int = 1
) -> Callable[[Request], Response]:
    def page(request: Request) -> Response:
        number = int(dict(parse_qsl(urlsplit(request.path).query))[by])
        begin = number if by == "offset" else (number - first) * size
        return response_of({"jobs": [{"id": n} for n in range(begin, min(begin + size, total))]})

    return page


def test_pages_are_turned_by_number_until_an_empty_one() -> None:
    found = listed({"query": {"per_page": 10}, "paging": {"page": "page"}}, numbered(20))
    assert found.ids == [str(n) for n in range(20)]
    assert found.paths == [f"/jobs?per_page=10&page={n}" for n in (1, 2, 3)]


def test_a_page_that_is_not_full_is_the_last() -> None:
    assert len(listed({"paging": {"page": "page", "size": 10}}, numbered(25)).paths) == 3
    assert len(listed({"paging": {"page": "page", "size": 10, "first": 0}}, numbered(25, first=0)).paths) == 3


def test_pages_are_turned_by_offset() -> None:
    paging = {"page": "offset", "first": 0, "step": 10, "size": 10}
    found = listed({"paging": paging}, numbered(25, by="offset"))
    assert len(found.ids) == 25
    assert found.paths == ["/jobs?offset=0", "/jobs?offset=10", "/jobs?offset=20"]


def test_the_rest_is_left_unread_where_the_config_says_so() -> None:
    assert len(listed({"paging": {"page": "page", "max_pages": 2}}, numbered(1000)).ids) == 20


def test_a_listing_that_shows_the_same_page_for_ever_is_refused() -> None:
    with pytest.raises(Failure, match="has no new job"):
        listed({"paging": {"page": "page"}}, response_of({"jobs": [{"id": 1}]}))


def test_a_job_that_slips_from_page_to_page_is_found_once() -> None:
    pages = {"1": [1, 2], "2": [2, 3], "3": []}
    found = listed(
        {"paging": {"page": "page"}},
        lambda request: response_of({"jobs": [{"id": n} for n in pages[request.path.rpartition("=")[2]]]}),
    )
    assert found.ids == ["1", "2", "3"]


TOKENS = {"": "t/2&x", "t/2&x": 3, "3": None}


def by_token(request: Request) -> Response:
    token = dict(parse_qsl(urlsplit(request.path).query)).get("token", "")
    return response_of({"jobs": [{"id": f"after {token}"}], "next": TOKENS[token]})


def test_pages_are_turned_by_a_token_in_the_answer() -> None:
    found = listed({"paging": {"token": "token", "next": "next"}}, by_token)
    assert found.ids == ["after ", "after t/2&x", "after 3"]
    assert found.paths == ["/jobs", "/jobs?token=t%2F2%26x", "/jobs?token=3"]


def test_pages_are_turned_by_a_token_in_a_header() -> None:
    def page(request: Request) -> Response:
        if "token" in request.path:
            return response_of({"jobs": [{"id": 2}]})
        return response_of({"jobs": [{"id": 1}]}, x_more="abc")

    found = listed({"paging": {"token": "token", "header": "X-More"}}, page)
    assert found.paths == ["/jobs", "/jobs?token=abc"]


def test_pages_are_turned_in_the_body_of_a_query() -> None:
    bodies: list[Any] = []

    def page(request: Request) -> Response:
        bodies.append(json.loads(request.body))
        return response_of({"jobs": [{"id": len(bodies)}], "next": "t" if len(bodies) < 2 else ""})

    paging = {"token": "cursor", "next": "next", "into": "body"}
    found = listed({"method": "POST", "body": {"size": 5}, "paging": paging}, page)
    assert bodies == [{"size": 5}, {"size": 5, "cursor": "t"}]
    assert found.ids == ["1", "2"]


@pytest.mark.parametrize(
    "link",
    [
        "?page=2",
        "/prefix/jobs?page=2",
        "jobs?page=2",
        f"{BASE_URL}/jobs?page=2",
        "http://api.example.com/prefix/jobs?page=2",
    ],
)
def test_pages_are_turned_by_the_address_of_the_next(link: str) -> None:
    def page(request: Request) -> Response:
        more = "page=2" not in request.path
        return response_of({"jobs": [{"id": request.path}], "next": link if more else None})

    assert listed({"query": {"a": 1}, "paging": {"next": "next"}}, page).paths == [
        "/jobs?a=1",
        "/jobs?page=2",
    ]


def test_pages_are_turned_by_the_link_header() -> None:
    def page(request: Request) -> Response:
        links = f'<{BASE_URL}/jobs?page=1>; rel="prev", <{BASE_URL}/jobs?page=2&x=a,b>; rel="next"'
        if "page=2" in request.path:
            links = f'<{BASE_URL}/jobs?page=1>; rel="prev"'
        return response_of({"jobs": [{"id": request.path}]}, link=links)

    assert listed({"paging": {"header": "Link"}}, page).paths == ["/jobs", "/jobs?page=2&x=a,b"]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/prefix/jobs?page=2",
        "//evil.example/jobs",
        "/elsewhere?page=2",
        "../x",
        "http://[x",
        "https://api.example.com@evil.example/prefix/jobs?x",
        "\\\\evil.example\\x",
    ],
)
def test_an_address_that_leads_away_is_refused(link: str) -> None:
    with pytest.raises(Failure) as caught:
        listed({"paging": {"next": "next"}}, response_of({"jobs": [{"id": 1}], "next": link}))
    assert caught.value.reason is Reason.INVALID_RESPONSE
    assert "evil" not in caught.value.detail


@pytest.mark.parametrize("token", [True, 1.5, [], {"a": 1}, "x" * 9000, "\ud800", "a\nb", -1, 10**400])
def test_a_token_that_is_none_is_refused(token: object) -> None:
    with pytest.raises(Failure, match=r"paging: |the address of the next page "):
        listed({"paging": {"token": "t", "next": "n"}}, response_of({"jobs": [{"id": 1}], "n": token}))


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
