"""Requests of the provider `json`: keys, numbers and places of pages in JSON."""

import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.failure import Failure
from exporter.model.http import Request, Response
from exporter.providers.json.discover_keys import JsonDiscover
from exporter.providers.json.job_api import JsonApi, JsonOptions
from exporter.providers.json.keys import RequestKeys
from exporter.providers.json.templates import Turn, as_number, filled, parsed, request_of
from tests.providers.conftest import discover, drive, response_of

NOW = 1_772_366_400.0
DONE = response_of({"s": "succeeded"})
LIST: dict[str, Any] = {"method": "POST", "path": "/graphql", "items": "jobs", "keys": {"id": "id"}}


def provider(**read: Any) -> JsonApi:
    read = {"path": "/graphql", "state": "s", **read}
    return JsonApi(JsonOptions.model_validate({"read": read}))


def sent(keys: dict[str, object], **read: Any) -> Request:
    """The request of a read."""
    return drive(provider(**read), keys, DONE).requests[0]


def pages_of(*jobs: Any, **keys: Any) -> list[Request]:
    """The requests of a listing whose pages have these jobs and tokens."""
    requests: list[Request] = []

    def page(request: Request) -> Response:
        requests.append(request)
        return response_of(jobs[len(requests) - 1])

    discover(provider(path="/{id}"), {**LIST, **keys}, page, now=NOW)
    return requests


def test_numbers_booleans_and_null_stay_what_they_are_in_a_body() -> None:
    body = {"id": "{id}", "size": 5, "share": 0.5, "all": True, "none": None, "in": ["{id}", 1]}
    request = sent({"id": "42"}, method="POST", body=body)
    assert json.loads(request.body) == {**body, "id": "42", "in": ["42", 1]}


def test_a_text_that_is_only_a_key_can_be_sent_as_a_number() -> None:
    body = {"ids": ["{id:number}"], "half": "{half:number}", "text": "no {id:number}"}
    # As long as an integer of 64 bits.
    request = sent({"id": "9223372036854775807", "half": "-0.5"}, method="POST", body=body)
    number = 9223372036854775807
    assert json.loads(request.body) == {"ids": [number], "half": -0.5, "text": f"no {number}"}


@pytest.mark.parametrize("value", ["", "x", "1x", "007", "+1", "1e5", "0x10", "NaN", "--1", "1_0", "٣"])
def test_a_key_that_is_no_number_is_not_sent_as_one(value: str) -> None:
    with pytest.raises(Failure, match="the key id is not a number"):
        as_number("id", value)
    posted = {"method": "POST", "body": {"id": "{id:number}"}}
    for read in (posted, {"also": {"tasks": {"path": "/tasks", **posted}}}):
        errors = provider(**read).check_keys({"id": value})
        assert list(errors) == [("id", "is not a number; read has it as {id:number}")]


@given(st.text(max_size=30))
def test_no_key_breaks_the_json_inside_a_parameter(key: str) -> None:
    template = '{"id": "{id}", "all": [1, {"of {id}": "the {id}."}]}'
    assert json.loads(filled(template, {"id": key})) == {"id": key, "all": [1, {f"of {key}": f"the {key}."}]}


def test_the_variables_of_graphql_by_get_are_json() -> None:
    request = sent({"id": '7"'}, query={"query": "{ job(id: $id) { s } }", "variables": '{"id": "{id}"}'})
    query = parse_qs(urlsplit(request.path).query)
    assert query["query"] == ["{ job(id: $id) { s } }"]
    assert json.loads(query["variables"][0]) == {"id": '7"'}


def test_the_time_of_a_listing_and_its_page_are_numbers_in_a_body() -> None:
    page = {"jobs": [{"id": "a"}]}
    requests = pages_of(
        page,
        {"jobs": []},
        body={"since": "{since}", "from": "{since_s}", "text": "after {since_ms}"},
        newer_than="1h",
        paging={"page": "filter.offset", "first": 0, "step": 1, "into": "body"},
    )
    since = {"since": "2026-03-01T11:00:00Z", "from": 1_772_362_800, "text": "after 1772362800000"}
    assert [json.loads(each.body) for each in requests] == [
        {**since, "filter": {"offset": 0}},
        {**since, "filter": {"offset": 1}},
    ]


@pytest.mark.parametrize("cursor", ["abc", 17])
def test_a_cursor_goes_to_a_nested_place_of_a_body(cursor: object) -> None:
    body = {"query": "…", "variables": {"size": 2, "filter": {"state": None}}}
    requests = pages_of(
        {"jobs": [{"id": "a"}], "next": cursor},
        {"jobs": [{"id": "b"}]},
        body=body,
        paging={"token": "variables.filter.after", "next": "next", "into": "body"},
    )
    first, second = [json.loads(each.body) for each in requests]
    assert first == body
    assert second["variables"] == {"size": 2, "filter": {"state": None, "after": cursor}}


def test_a_cursor_goes_into_a_parameter_that_is_json() -> None:
    requests = pages_of(
        {"jobs": [{"id": "a"}], "next": 'x"y'},
        {"jobs": [{"id": "b"}]},
        method="GET",
        query={"variables": '{"size": 2}'},
        paging={"token": "variables.cursor", "next": "next"},
    )
    query = parse_qs(urlsplit(requests[1].path).query)
    assert {name: [json.loads(each) for each in values] for name, values in query.items()} == {
        "variables": [{"size": 2, "cursor": 'x"y'}]
    }


def test_a_parameter_with_a_dot_is_one_where_no_parameter_is_json() -> None:
    requests = pages_of(
        {"jobs": [{"id": "a"}], "next": "n"},
        {"jobs": []},
        method="GET",
        query={"page": "all"},
        paging={"token": "page.token", "next": "next"},
    )
    assert requests[1].path == "/graphql?page=all&page.token=n"


def test_the_place_of_a_page_must_fit_into_the_body() -> None:
    with pytest.raises(ValueError, match="needs a mapping where the parameter goes"):
        JsonDiscover.model_validate(
            {**LIST, "body": {"a": "text"}, "paging": {"page": "a.b", "into": "body"}}
        )


@given(st.text(max_size=20).map(lambda text: "{" + text))
def test_a_text_is_json_only_if_it_is_an_object_or_a_list(text: str) -> None:
    assert isinstance(parsed(text), dict | None)


def test_texts_that_are_filled_in_with_values_of_responses_are_not_remembered() -> None:
    request = RequestKeys.model_validate({"path": "/g", "query": {"variables": '{"a": "{a}", "c": null}'}})
    turn = Turn(query={"variables.c": "next"})
    request_of(request, {"a": "first"}, turn)
    remembered = parsed.cache_info().currsize
    for number in range(10):
        path = unquote(request_of(request, {"a": f"key {number}"}, turn).path)
        assert path == f'/g?variables={{"a": "key {number}", "c": "next"}}'
    assert parsed.cache_info().currsize == remembered
