from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import State, Status
from exporter.providers.base import Found
from exporter.providers.itwin import ITwin, ITwinDiscover
from tests.providers.conftest import (
    BASE_URL,
    Listed,
    assert_listed,
    discover,
    drive,
    mutated,
    response_of,
    stored,
)

ITWIN = "2f0d4c4e-6a7e-4d5b-9d2a-0d7c0c5a8f11"
V1 = "realitydataanalysis"
V2 = "reality-modeling"
NOW = datetime.fromisoformat("2026-04-01T10:00:00Z").timestamp()
FIRST = f"/{V2}/jobs?%24filter=iTwinId%20eq%20{ITWIN}&%24top=1000"
NEXT = f"/{V2}/jobs?$filter=iTwinId%20eq%20{ITWIN}&$top=1000&continuationToken="
TOKEN = "MTRmZDkwOGYtNWEzOS00YzY3LWFmMGYtMGMxMWQxYWNkMDhl"
LISTINGS = [stored(f"itwin/listing/{name}.json") for name in ("v1", "v2_first", "v2_last")]
IDS = [f"0000000{number}-1c2d-4e3f-8a4b-5c6d7e8f9a0b" for number in range(1, 6)]


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def itwin(service: str = V2) -> ITwin:
    return ITwin(ITwin.Options.model_validate({"service": service}))


def listed(responses: Any, service: str = V2, now: float = NOW, **keys: object) -> Listed:
    host = "https://api.example.com"
    return discover(itwin(service), {"itwin_id": ITWIN, **keys}, responses, now=now, base_url=host)


def page(*jobs: object, href: object = None) -> Response:
    return response_of({"jobs": list(jobs), "_links": {"next": {"href": href}}})


def job(state: object = "Active", job_id: object = IDS[0], **more: object) -> dict[str, object]:
    return {"id": job_id, "name": "N", "state": state, **more}


def filter_of(request: Request) -> str:
    return parse_qs(urlsplit(request.path).query)["$filter"][0]


def refusal(responses: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        listed(responses)
    assert caught.value.reason is Reason.INVALID_RESPONSE
    return caught.value


def outcome(responses: Any) -> Listed | Failure:
    try:
        return listed(responses)
    except Failure as failure:
        return failure


def test_every_page_is_read_and_each_job_is_told_by_its_entry() -> None:
    first, last = (response_of(stored(f"itwin/listing/v2_{name}.json")) for name in ("first", "last"))
    result = listed({FIRST: first, NEXT + TOKEN: last})
    assert result.paths == [FIRST, NEXT + TOKEN]
    assert result.ids == IDS
    states = [(each.status and each.status.state, each.complete) for each in result.found]
    assert states == [
        (State.RUNNING, False),
        (State.QUEUED, True),
        (State.SUCCEEDED, True),
        (State.FAILED, True),
        (State.CANCELING, False),
    ]
    assert result.found[2].status == Status(
        state=State.SUCCEEDED,
        raw="Success",
        final=True,
        run=IDS[2],
        queued_at=at("2026-04-01T08:00:00Z"),
        started_at=at("2026-04-01T08:01:00Z"),
        ended_at=at("2026-04-01T08:31:00Z"),
        state_since=at("2026-04-01T08:31:00Z"),
        name="Images of tower 1",
        type="FillImageProperties",
    )


def test_the_older_services_list_their_own_words() -> None:
    result = listed(response_of(stored("itwin/listing/v1.json")), service=V1)
    states = [(each.status and each.status.state, each.complete) for each in result.found]
    assert states[:3] == [(State.RUNNING, False), (State.IDLE, True), (State.SUCCEEDED, True)]
    assert result.found[2].status is not None
    assert result.found[2].status.ended_at == at("2026-04-01T09:45:00Z")


def test_an_entry_that_tells_no_outcome_is_read_as_any_other_job() -> None:
    last = listed(response_of(stored("itwin/listing/v1.json")), service=V1).found[3]
    assert last == Found({"id": IDS[3]}, name="Cracks of bridge 10")
    assert listed(page(job(None))).found == [Found({"id": IDS[0]}, name="N")]


@pytest.mark.parametrize(("service", "version"), [(V1, "v1"), (V2, "v2")])
def test_every_page_is_asked_in_the_services_version(service: str, version: str) -> None:
    link = f"https://api.example.com/{service}/jobs?continuationToken=x"
    result = listed(lambda request: page(href=None if "Token" in request.path else link), service=service)
    accept = ("Accept", f"application/vnd.bentley.itwin-platform.{version}+json")
    assert [request.headers for request in result.requests] == [(accept,), (accept,)]


@pytest.mark.parametrize("word", ["active", "Active", "TerminatingOnCancel", "TerminatingOnFailure"])
def test_a_running_job_costs_one_progress_call_and_no_other(word: str) -> None:
    status = listed(page(job(word))).found[0].status
    path = f"/{V2}/jobs/{IDS[0]}/progress"
    progress = {"progress": {"percentage": 40, "state": word.capitalize()}}
    read = drive(itwin(), {"id": IDS[0]}, {path: response_of(progress)}, previous=status)
    assert read.paths == [path]
    assert (read.status.progress, read.status.name) == (0.4, "N")
    again = drive(itwin(), {"id": IDS[0]}, {path: response_of(progress)}, previous=read.status)
    assert again.paths == [path]


def test_a_filter_by_age_leaves_room_for_long_runs_and_is_the_same_all_day() -> None:
    day = [at(f"2026-04-01T{hour:02}:00:00Z") for hour in (0, 9, 23)]
    requested = {listed(page(), now=now, newer_than="7d").paths[0] for now in day}
    assert len(requested) == 1
    assert (
        filter_of(Request(requested.pop()))
        == f"iTwinId eq {ITWIN} and createdDateTime gt 2026-02-23T00:00:00Z"
    )
    assert filter_of(listed(page()).requests[0]) == f"iTwinId eq {ITWIN}"
    assert filter_of(listed(page(), newer_than="100y").requests[0]).endswith("gt 1970-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "href",
    [
        "https://api.example.com/reality-modeling/jobs",
        "https://elsewhere.example.com/reality-modeling/jobs#continuationToken=x",
        "mailto:jobs?continuationToken=x",
        "https://[/reality-modeling/jobs?continuationToken=x",
        "x" * 10_000,
        7,
        {"a": 1},
    ],
)
def test_a_link_that_leads_away_is_not_followed(href: object) -> None:
    requested: list[Request] = []

    def response(request: Request) -> Response:
        requested.append(request)
        return page(job(), href=href)

    failure = refusal(response)
    assert "address of the next page" in failure.detail
    assert "example" not in failure.detail
    assert [request.path for request in requested] == [FIRST]


@pytest.mark.parametrize("base", ["https://API.example.com", "http://api.example.com:8443"])
def test_scheme_port_and_case_of_the_host_do_not_matter_as_only_the_query_is_taken(base: str) -> None:
    link = f"{base}/reality-modeling/jobs?continuationToken=a b\u00e9"
    result = listed(lambda request: page(href=None if "Token" in request.path else link))
    assert result.paths[1] == f"/{V2}/jobs?continuationToken=a%20b%C3%A9"


@pytest.mark.parametrize(
    "link",
    [
        "https://api.bentley.com/reality-modeling/jobs?continuationToken=x",
        "//elsewhere.example.com/reality-modeling/jobs?continuationToken=x",
        "https://api.example.com@elsewhere.example.com/reality-modeling/jobs?continuationToken=x",
        "https://api.example.com/other/reality-modeling/jobs?continuationToken=x",
        "https://api.example.com/reality-modeling/jobs/../../admin?continuationToken=x",
        f"{BASE_URL}/{V2}/jobs?continuationToken=x",
        f"{BASE_URL}/{V2}/jobs/x?continuationToken=x",
    ],
)
def test_only_the_query_of_a_link_is_used_wherever_it_leads(link: str) -> None:
    found = discover(
        itwin(),
        {"itwin_id": ITWIN},
        lambda request: page(job(), href=None if "Token" in request.path else link),
        now=NOW,
    )
    assert found.paths[1:] == [f"/{V2}/jobs?continuationToken=x"]


def test_a_link_after_an_empty_page_that_leads_back_is_the_end() -> None:
    result = listed(lambda request: page(*([] if "Token" in request.path else [job()]), href="?Token=x"))
    assert (len(result.found), len(result.paths)) == (1, 2)


def test_a_job_without_an_id_is_skipped_and_counted() -> None:
    jobs = [job(), {**job(), "id": None}, None, 7]
    got = listed(response_of({"jobs": jobs}))
    assert (len(got.found), sum(got.end.skipped.values())) == (1, 3)


def test_a_listing_that_leads_back_ends() -> None:
    tokens = {"": "a", "a": "b", "b": "a"}

    def response(request: Request) -> Response:
        token = unquote(request.path).rpartition("continuationToken=")[2] if "Token" in request.path else ""
        return page(job(), href=f"https://api.example.com{NEXT}{tokens[token]}")

    assert "read already" in refusal(response).detail


def test_a_listing_of_empty_pages_without_end_is_incomplete() -> None:
    got = listed(lambda request: page(href=f"?Token={request.path[-20:]}x"))
    assert (len(got.paths), got.end.incomplete) == (10, "it has more pages after 10 without an entry")


def test_a_link_may_be_the_address_itself() -> None:
    links = {"_links": {"next": "?Token=x"}}
    got = listed(lambda request: page() if "Token" in request.path else response_of({"jobs": [], **links}))
    assert got.paths[1:] == [f"/{V2}/jobs?Token=x"]
    assert refusal(response_of({"jobs": [], "_links": {"next": ["?Token=x"]}})).detail


@pytest.mark.parametrize("href", [None, ""])
@pytest.mark.parametrize("wrap", [lambda h: {"_links": {"next": {"href": h}}}, lambda h: {"_links": h}])
def test_without_a_link_the_listing_is_over(href: object, wrap: Any) -> None:
    assert len(listed(response_of({"jobs": [], **wrap(href)})).requests) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"jobs": null}', b'{"jobs": {}}'])
def test_an_answer_without_jobs_is_not_understood(body: bytes) -> None:
    refusal(response_of(body))


def test_a_page_that_cannot_be_had_fails_the_listing() -> None:
    with pytest.raises(Failure) as caught:
        listed({FIRST: response_of(LISTINGS[1]), NEXT + TOKEN: response_of(status=503)})
    assert caught.value.reason is Reason.SERVER_ERROR


@pytest.mark.parametrize("job_id", [None, 7, "", ".", "..", "x" * 513, "a\nb", "\ud800", ["a"]])
def test_a_job_whose_id_fits_no_address_is_left_out(job_id: object) -> None:
    good = job(job_id=IDS[1])
    assert listed(page(job(job_id=job_id), good, "?", None)).ids == [IDS[1]]


def test_people_are_not_exported() -> None:
    found = listed(response_of(stored("itwin/listing/v1.json")), service=V1).found
    assert "surveyor" not in repr(found)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"itwin_id": "x"},
        {"itwin_id": f"{ITWIN} or state eq Active"},
        {"itwin_id": f"{ITWIN}\n"},
        {"itwin_id": ITWIN, "newer_than": "0s"},
        {"itwin_id": ITWIN, "sites": True},
    ],
)
def test_odd_keys_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ITwinDiscover.model_validate(keys)


LINKS = st.builds(
    "{}{}?continuationToken={}".format,
    st.sampled_from(["https://api.example.com", "https://elsewhere.example.com", "", "//", "http://["]),
    st.sampled_from([f"/{V2}/jobs", "/", f"/{V2}/jobs/x"]),
    st.text(max_size=5),
)


@given(
    bodies=st.lists(mutated(LISTINGS) | st.binary(max_size=40), min_size=1, max_size=4),
    links=st.lists(st.none() | LINKS | st.text(), min_size=1, max_size=4),
    jobs=st.lists(st.builds(job, st.text() | st.sampled_from(["active", "over"]), st.text()), max_size=3),
)
def test_no_page_however_odd_does_more_than_fail(
    bodies: list[bytes], links: list[str | None], jobs: list[object]
) -> None:
    pages = [*(page(*jobs, href=link) for link in links), *map(response_of, bodies)]
    count = 0

    def response(_: Request) -> Response:
        nonlocal count
        count += 1
        return pages[count % len(pages)]

    result = outcome(response)
    if isinstance(result, Failure):
        assert result.reason is Reason.INVALID_RESPONSE
        assert len(result.detail) <= 120
    else:
        assert_listed(itwin(), result)
        assert all(request.path.startswith(f"/{V2}/jobs?") for request in result.requests)
    assert count <= len(pages) + len(links) + 1
