from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Kind, State, Status
from exporter.providers.crafter.studio import Crafter, CrafterDiscover, CrafterOptions
from tests.providers.conftest import (
    DATA,
    Listed,
    assert_listed_or_refused,
    discover,
    drive,
    mutated,
    response_of,
    stored,
)
from tests.providers.test_crafter import site

V1 = "/api/1/services/api/1/site/get-per-user.json?start=0&number=100"
V1_OF_ADA = V1 + "&username=ada"
V2 = "/api/2/users/me/sites?offset=0&limit=100"
NOON = datetime(2019, 1, 9, 12, 34, tzinfo=UTC).timestamp()
Responses = Callable[[Request], Response | Failure] | dict[str, Response | Failure] | Response


def crafter(api: str = "auto") -> Crafter:
    return Crafter(CrafterOptions.model_validate({"api": api}))


def file(name: str) -> Response:
    return response_of(stored(f"crafter/listing/{name}.json"))


def listed(provider: Crafter, response: Responses, **keys: object) -> Listed:
    return discover(provider, {"sites": True, **keys}, response, now=NOON)


def site_ids(got: Listed) -> list[str]:
    return [each.keys["site_id"] for each in got.found]


def failure(provider: Crafter, response: Responses, **keys: object) -> Failure:
    with pytest.raises(Failure) as caught:
        listed(provider, response, **keys)
    return caught.value


def told(**fields: object) -> Status | None:
    """How a site with these fields is said to stand by version 1."""
    body = {"sites": [{"siteId": "my-site", **fields}], "total": 1}
    (found,) = listed(crafter("v1"), response_of(body)).found
    assert found.complete is (found.status is not None)
    return found.status


# Version 1


def test_version_1_tells_names_and_whole_statuses_in_one_request() -> None:
    got = listed(crafter("v1"), {V1_OF_ADA: file("v1_3_0")}, username="ada")
    assert {Crafter.identify(each.keys)[1] for each in got.found} == {Kind.SLOT}
    assert site_ids(got) == ["editorial", "press", "busy", "changed", "new"]
    assert [each.name for each in got.found] == ["Editorial", "press", "busy", "changed", "new"]
    assert [each.complete for each in got.found] == [True, True, True, True, False]
    assert [each.status for each in got.found] == [
        site(
            State.IDLE,
            "idle",
            enabled=True,
            reported_at=NOON,
            ended_at=NOON,
            state_since=NOON,
            succeeded_at=NOON,
        ),
        site(
            State.FAILED,
            "stopped",
            enabled=False,
            reported_at=NOON,
            ended_at=NOON,
            state_since=NOON,
            failed_at=NOON,
        ),
        site(State.RUNNING, "busy", enabled=True, reported_at=NOON),
        site(State.UNKNOWN, "", enabled=True),
        None,
    ]


@pytest.mark.parametrize("what", ["item", "package"])
def test_a_listing_shows_no_start_since_each_item_writes_a_new_time(what: str) -> None:
    status = told(publishingStatusMessage=f"publishing|Currently publishing {what}: 7 on 2019-01-09T12:34Z")
    assert status is not None
    assert (status.state, status.started_at, status.reported_at) == (State.RUNNING, None, NOON)


@pytest.mark.parametrize("message", [None, "", "  ", 7, ["idle|Idle"]])
def test_a_site_without_a_text_is_read_by_itself(message: object) -> None:
    assert told(publishingEnabled=1, publishingStatusMessage=message) is None


@pytest.mark.parametrize(
    ("message", "state", "raw"),
    [
        ("idle|Idle", State.IDLE, "idle"),
        ("queued|Items queued for publishing", State.QUEUED, "queued"),
        ("started|User ada enabled publishing", State.IDLE, "started"),
        ("stopped|User ada stopped the site on 2019-01-09T12:34Z", State.STOPPED, "stopped"),
        ("idle|a | b", State.IDLE, "idle"),
        (" ready | Ready ", State.IDLE, "ready"),
        ("hibernating|", State.UNKNOWN, "hibernating"),
        ("|nothing", State.UNKNOWN, ""),
    ],
)
def test_the_text_before_the_bar_is_the_status(message: str, state: State, raw: str) -> None:
    status = told(publishingStatusMessage=message)
    assert status is not None
    assert (status.state, status.raw, status.enabled) == (state, raw, None)


@pytest.mark.parametrize(
    ("enabled", "expected", "state"),
    [
        (1, True, State.QUEUED),
        (True, True, State.QUEUED),
        (0, False, State.STOPPED),
        (False, False, State.STOPPED),
        (None, None, State.QUEUED),
        (2, None, State.QUEUED),
        ("0", None, State.QUEUED),
    ],
)
def test_publishing_that_is_switched_off_stops_a_site(
    enabled: object, expected: object, state: State
) -> None:
    status = told(publishingStatusMessage="queued|Items queued", publishingEnabled=enabled)
    assert status is not None
    assert (status.state, status.enabled) == (state, expected)
    noted = ("publishingEnabled: the value is not 0 or 1",) if enabled in (2, "0") else ()
    assert status.notes == noted


def test_status_and_message_may_be_two_fields() -> None:
    got = listed(crafter("v1"), {V1: file("v1_3_1_14")})
    assert site_ids(got) == ["hello"]
    assert got.found[0].status == site(State.IDLE, "ready", enabled=True)


def test_older_servers_wrote_the_id_in_another_way() -> None:
    body = {"total": 1, "sites": [{"site_id": "my-site", "publishingStatusMessage": "idle|Idle"}]}
    assert site_ids(listed(crafter("v1"), response_of(body))) == ["my-site"]


def test_a_server_that_wants_the_user_is_a_failure_that_says_what_to_set() -> None:
    refusal = Response(400, b'{"message":"Invalid parameter(s): [username]"}')
    for api in ("v1", "auto"):
        caught = failure(crafter(api), {V1: refusal})
        assert (caught.reason, caught.status) == (Reason.CLIENT_ERROR, 400)
        assert "username" in caught.detail


def test_the_user_is_encoded_whole() -> None:
    got = listed(crafter("v1"), response_of({"sites": [], "total": 0}), username="a&start=9#?/ü")
    assert parse_qs(urlsplit(got.paths[0]).query) == {
        "username": ["a&start=9#?/ü"],
        "start": ["0"],
        "number": ["100"],
    }


# Version 2


def test_version_2_names_the_sites_that_are_ready_and_tells_no_status() -> None:
    got = listed(crafter("v2"), {V2: file("v2_4_1")}, username="ada")
    assert [(each.keys["site_id"], each.name) for each in got.found] == [("corporate", "Corporate site")]
    assert [(each.status, each.complete) for each in got.found] == [(None, False)]


def test_3_1_tells_neither_name_nor_state_of_a_site() -> None:
    got = listed(crafter("v2"), {V2: file("v2_3_1")})
    assert [(each.keys["site_id"], each.name) for each in got.found] == [("hello", "")]


@pytest.mark.parametrize(("code", "reason"), [(2001, Reason.FORBIDDEN), (42, Reason.INVALID_RESPONSE)])
def test_a_code_under_http_200_is_a_failure(code: int, reason: Reason) -> None:
    body = {"response": {"code": code, "message": "secret"}, "sites": [], "total": 0}
    caught = failure(crafter("v2"), response_of(body))
    assert caught.reason is reason
    assert "secret" not in str(caught)


# Which version


def test_auto_keeps_to_version_1_where_it_tells_states() -> None:
    provider = crafter()
    for _ in range(2):
        assert listed(provider, {V1_OF_ADA: file("v1_3_0")}, username="ada").paths == [V1_OF_ADA]


def test_auto_learns_version_2_from_the_fields_of_version_1_for_listing_and_reading() -> None:
    provider = crafter()
    responses: dict[str, Response | Failure] = {V1: file("v1_3_1_14"), V2: file("v2_3_1")}
    first = listed(provider, responses)
    assert (first.paths, site_ids(first)) == ([V1, V2], ["hello"])
    assert listed(provider, responses).paths == [V2]
    status = response_of(stored("crafter/v2_3_1_ready.json"))
    read = drive(provider, {"site_id": "hello"}, {"/api/2/publish/status?siteId=hello": status})
    assert read.status.state is State.IDLE


def test_auto_lists_by_version_2_what_reading_has_learnt() -> None:
    provider = crafter()
    moved, status = response_of(b"", 301), response_of(stored("crafter/v2_3_1_ready.json"))
    drive(
        provider,
        {"site_id": "hello"},
        {
            "/api/1/services/api/1/publish/status.json?site_id=hello": moved,
            "/api/2/publish/status?siteId=hello": status,
        },
    )
    assert listed(provider, {V2: file("v2_4_1")}).paths == [V2]


@pytest.mark.parametrize("gone", [301, 404])
def test_auto_asks_version_2_where_version_1_is_gone_and_learns_nothing(gone: int) -> None:
    provider = crafter()
    for _ in range(2):
        got = listed(provider, {V1: response_of(b"", gone), V2: file("v2_4_1")})
        assert (got.paths, site_ids(got)) == ([V1, V2], ["corporate"])


def test_where_neither_version_lists_sites_it_is_not_found() -> None:
    html = Response(200, b"<html>")
    assert failure(crafter(), {V1: Response(404), V2: Response(404)}).reason is Reason.NOT_FOUND
    assert failure(crafter(), {V1: Response(404), V2: html}).reason is Reason.NOT_FOUND
    assert failure(crafter(), {V1: Response(301), V2: html}).reason is Reason.INVALID_RESPONSE
    assert failure(crafter(), {V1: Response(404), V2: Failure(Reason.TIMEOUT)}).reason is Reason.TIMEOUT


@pytest.mark.parametrize(("status", "reason"), [(401, Reason.UNAUTHORIZED), (500, Reason.SERVER_ERROR)])
def test_any_other_refusal_of_version_1_is_what_it_is(status: int, reason: Reason) -> None:
    for api in ("v1", "auto"):
        assert failure(crafter(api), {V1: Response(status)}).reason is reason
    assert failure(crafter("v1"), {V1: Response(404)}).reason is Reason.NOT_FOUND


# Pages


@pytest.mark.parametrize("api", ["v1", "v2", "auto"])
@pytest.mark.parametrize("size", [100, 40])
def test_all_pages_are_read_whatever_the_server_gives_at_once(api: str, size: int) -> None:
    def page(request: Request) -> Response:
        query = parse_qs(urlsplit(request.path).query)
        first = int((query.get("start") or query["offset"])[0])
        sites = [{"siteId": f"site-{each}"} for each in range(first, min(230, first + size))]
        return response_of({"response": {"code": 0}, "sites": sites, "total": 230})

    got = listed(crafter(api), page)
    assert site_ids(got) == [f"site-{each}" for each in range(230)]
    assert len(got.requests) == -(-230 // size)


@pytest.mark.parametrize("api", ["v1", "v2", "auto"])
def test_a_server_that_repeats_itself_ends_the_listing(api: str) -> None:
    requests = []

    def page(request: Request) -> Response:
        requests.append(request)
        return response_of({"sites": [{"siteId": "one"}], "total": 10**9})

    got = listed(crafter(api), page)
    assert len(requests) == 2
    assert site_ids(got) == ["one"]
    assert got.end.incomplete == "it ended after 1 of 1000000000 entries"


@pytest.mark.parametrize("api", ["v1", "v2", "auto"])
def test_a_server_that_repeats_full_pages_has_no_listing(api: str) -> None:
    sites = [{"siteId": f"site-{number}"} for number in range(100)]
    refused = failure(crafter(api), response_of({"sites": sites, "total": 10**9}))
    assert refused.reason is Reason.INVALID_RESPONSE
    assert "repeats" in refused.detail


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_last_page_that_is_full_and_shown_again_ends_the_listing(api: str) -> None:
    def page(request: Request) -> Response:
        query = parse_qs(urlsplit(request.path).query)
        first = min(100, int((query.get("start") or query["offset"])[0]))
        sites = [{"siteId": f"site-{each}"} for each in range(first, first + 100)]
        return response_of({"response": {"code": 0}, "sites": sites})

    got = listed(crafter(api), page)
    assert (len(site_ids(got)), len(got.requests)) == (200, 3)
    assert got.end.incomplete == "a page repeats an earlier one"


@pytest.mark.parametrize("api", ["v1", "v2", "auto"])
def test_a_server_with_smaller_pages_is_read_to_its_total(api: str) -> None:
    def page(request: Request) -> Response:
        query = parse_qs(urlsplit(request.path).query)
        first = int(query.get("start", query.get("offset", [""]))[0])
        return response_of({"sites": [{"siteId": f"s{n}"} for n in range(first, first + 4)], "total": 12})

    got = listed(crafter(api), page)
    assert site_ids(got) == [f"s{number}" for number in range(12)]
    assert not got.end.incomplete


@pytest.mark.parametrize("site_id", [None, 7, "", ".", "..", "a\nb", "x" * 513, "\ud800", ["a"]])
def test_what_can_be_no_site_is_left_out(site_id: object) -> None:
    body = {"sites": [{"siteId": site_id}, None, "site", {"siteId": "one"}], "total": 4}
    for api in ("v1", "v2", "auto"):
        got = listed(crafter(api), response_of(body))
        assert site_ids(got) == ["one"]
        assert sum(got.end.skipped.values()) == 3


@pytest.mark.parametrize("body", [b"<html>", [], {}, {"sites": None}, {"sites": {}, "total": 0}])
def test_an_answer_that_lists_nothing_is_a_failure(body: object) -> None:
    for api in ("v1", "v2", "auto"):
        assert failure(crafter(api), response_of(body)).reason is Reason.INVALID_RESPONSE


# Keys


def test_sites_are_listed_once_a_minute_unless_told_otherwise() -> None:
    assert CrafterDiscover.model_validate({"sites": True}).interval == 60
    assert CrafterDiscover.model_validate({"sites": True, "interval": "5m"}).interval == 300


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"sites": False},
        {"sites": "true"},
        {"sites": 1},
        {"sites": True, "interval": "0"},
        {"sites": True, "username": ""},
        {"sites": True, "newer_than": "1d"},
    ],
)
def test_other_keys_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CrafterDiscover.model_validate(keys)


def test_sites_have_no_age() -> None:
    assert "newer_than" not in CrafterDiscover.model_fields
    assert CrafterDiscover.model_validate({"sites": True}).newer_than is None


# Whatever comes

PAGES = mutated([path.read_bytes() for path in sorted((DATA / "crafter/listing").glob("*.json"))])


@given(
    st.lists(
        st.tuples(PAGES | st.binary(), st.sampled_from([200, 200, 301, 400, 404])), min_size=1, max_size=3
    ),
    st.sampled_from(["v1", "v2", "auto"]),
)
def test_odd_pages_give_sites_that_can_be_read_or_a_failure(pages: list[tuple[bytes, int]], api: str) -> None:
    provider = crafter(api)
    turned = 0

    def page(_ask: Request) -> Response:
        nonlocal turned
        body, status = pages[turned % len(pages)]
        turned += 1
        return Response(status, body)

    for _ in range(2):
        assert_listed_or_refused(provider, {"sites": True}, page, now=NOON)


@given(st.text(max_size=80), st.sampled_from(["publishingStatusMessage", "publishingStatus"]))
def test_no_text_however_odd_raises_or_gives_an_impossible_status(text: str, name: str) -> None:
    body = response_of({"sites": [{"siteId": "one", name: text}], "total": 1})
    assert_listed_or_refused(crafter("v1"), {"sites": True}, lambda _: body, now=NOON)


def test_no_person_and_no_path_is_in_what_is_found() -> None:
    for name in ("v1_3_0", "v2_4_1"):
        shown = repr(listed(crafter("v1"), file(name)).found)
        assert "example.com" not in shown
        assert "/site/" not in shown
