import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import State
from exporter.providers.sitecore import Sitecore, SitecoreDiscover
from tests.providers.conftest import Listed, assert_listed, discover, drive, mutated, response_of, stored

Outcome = TypeVar("Outcome")

JOBS = "/authoring/publishing/v1/jobs"
NOW = datetime.fromisoformat("2026-05-16T10:20:30Z").timestamp()
NAMES = ("tokens_first", "tokens_last", "numbers_first", "numbers_last")
LISTINGS = [stored(f"sitecore/listing/{name}.json") for name in NAMES]
SUMMARY = stored("sitecore/listing/summary.json")
TOKEN = "eyJsYXN0Ijoiam9iXzQxQjI2In0="


def sitecore(**options: object) -> Sitecore:
    return Sitecore(Sitecore.Options.model_validate(options))


def listed(responses: Any, now: float = NOW, **keys: object) -> Listed:
    return discover(sitecore(), keys, responses, now=now)


def query(request: Request) -> dict[str, str]:
    parts = urlsplit(request.path)
    assert parts.path == JOBS
    return {name: value for name, (value,) in parse_qs(parts.query, strict_parsing=True).items()}


def by_token(*names: str) -> Callable[[Request], Response]:
    """Serves these stored pages: the second to whoever shows the token of the first."""
    first, *more = (response_of(stored(f"sitecore/listing/{name}.json")) for name in names)
    return lambda request: more[0] if query(request).get("continuationToken") == TOKEN else first


def page(*jobs: object, **paging: object) -> Response:
    return response_of({"data": list(jobs), **paging})


def job(status: object = "Running", job_id: object = "job_1", **system: object) -> dict[str, object]:
    return {"id": job_id, "name": "N", "system": {"status": status, **system}}


def refusal(responses: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        listed(responses)
    assert caught.value.reason is Reason.INVALID_RESPONSE
    return caught.value


def numbered(total: int, size: int = 100) -> Callable[[Request], Response]:
    """A listing by page number that has so many jobs."""

    def response(request: Request) -> Response:
        number = int(query(request).get("pageNumber", "1"))
        left = range((number - 1) * size, min(number * size, total))
        jobs = [job(job_id=f"job_{each}") for each in left]
        return page(*jobs, totalCount=total, pageNumber=number, pageSize=size)

    return response


def test_tokens_are_followed_until_there_is_none_and_jobs_are_told_whole() -> None:
    result = listed(by_token("tokens_first", "tokens_last"))
    assert [query(request) for request in result.requests] == [
        {"pageSize": "100"},
        {"pageSize": "100", "continuationToken": TOKEN},
    ]
    assert result.ids == ["job_41B25", "job_41B26", "job_41B24", "job_41B23"]
    assert all(each.complete for each in result.found)
    states = [each.status.state for each in result.found if each.status]
    assert states == [State.RUNNING, State.QUEUED, State.SUCCEEDED_WITH_ERRORS, State.FAILED]


def test_a_listed_job_is_what_reading_it_gives() -> None:
    found = listed(by_token("tokens_first", "tokens_last")).found[0]
    body = stored("sitecore/running_sent.json")
    assert found.status == drive(sitecore(), found.keys, response_of(body)).status


@pytest.mark.parametrize("system", [None, {}, {"status": 5}, "Running"])
def test_an_entry_without_a_word_for_its_state_fails_alone(system: object) -> None:
    odd = {"id": "job_2", "system": system}
    found = listed(lambda _: page(job(job_id="job_1"), odd, job(job_id="job_3"), next=None)).found
    assert [(each.keys["id"], each.complete) for each in found] == [
        (f"job_{number}", True) for number in (1, 2, 3)
    ]
    assert [each.status is None for each in found] == [False, True, False]
    assert [each.failure and each.failure.reason for each in found] == [None, Reason.INVALID_RESPONSE, None]


def test_page_numbers_are_followed_to_the_last() -> None:
    first, last = (response_of(stored(f"sitecore/listing/numbers_{name}.json")) for name in ("first", "last"))
    result = listed(lambda request: last if query(request).get("pageNumber") == "2" else first)
    assert len(result.requests) == 2
    assert result.ids == ["job_41B25", "job_41B26", "job_41B22"]


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (1, 1), (100, 1), (101, 2), (1000, 10), (5000, 10)])
def test_page_numbers_reach_a_thousand_jobs_and_no_page_is_asked_in_vain(total: int, pages: int) -> None:
    result = listed(numbered(total))
    assert len(result.requests) == pages
    assert len(set(result.ids)) == min(total, 1000)


def test_more_jobs_than_page_numbers_reach_are_reported_as_missing() -> None:
    assert listed(numbered(5000)).end.incomplete == "it ended after 1000 of 5000 entries"
    assert not listed(numbered(1000)).end.incomplete


def test_pages_that_are_shorter_than_their_size_are_all_read() -> None:
    def response(request: Request) -> Response:
        number = int(query(request).get("pageNumber", "1"))
        jobs = [job(job_id=f"job_{each}") for each in range(40 * number - 40, min(40 * number, 130))]
        return page(*jobs, totalCount=130, pageNumber=number, pageSize=100)

    result = listed(response)
    assert (len(result.requests), len(result.ids), result.end.incomplete) == (4, 130, "")


@pytest.mark.parametrize("total", [0, 1, 99, 100, 240])
def test_a_total_below_the_number_of_jobs_does_not_end_the_listing(total: int) -> None:
    def response(request: Request) -> Response:
        body = json.loads(numbered(250)(request).body)
        return response_of({**body, "totalCount": total})

    result = listed(response)
    ends = total == 100
    assert (len(result.ids), result.end.incomplete) == (100 if ends else 250, "")


def test_a_complete_page_needs_no_number() -> None:
    assert listed(page(job(), pageNumber="first", totalCount=1)).ids == ["job_1"]


def test_an_empty_page_before_the_total_is_an_incomplete_end() -> None:
    def response(request: Request) -> Response:
        return (
            page(totalCount=200, pageNumber=2) if "pageNumber" in query(request) else numbered(200)(request)
        )

    result = listed(response)
    assert (len(result.ids), result.end.incomplete) == (100, "it ended after 100 of 200 entries")


def test_jobs_without_an_id_are_skipped_and_counted_in_both_listings() -> None:
    result = listed(page(job(), job(job_id=None), None), newer_than="1d")
    assert (len(set(result.ids)), sum(result.end.skipped.values())) == (1, 4)


def test_a_server_that_does_not_know_the_tokens_name_is_asked_by_number() -> None:
    def response(request: Request) -> Response:
        if "pageNumber" in query(request):
            return numbered(250)(request)
        return page(*(job(job_id=f"job_{each}") for each in range(100)), next="t")

    result = listed(response)
    assert len(set(result.ids)) == 250
    assert [query(request).get("pageNumber") for request in result.requests] == [None, None, "2", "3"]


def test_without_any_paging_there_is_one_page() -> None:
    assert len(listed(page(job())).requests) == 1


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_the_end(token: object) -> None:
    assert len(listed(page(job(), next=token)).requests) == 1


@pytest.mark.parametrize(
    "paging",
    [
        {"next": "always the same"},
        {"next": 7},
        {"next": {}},
        {"next": "x" * 5000},
        {"next": "a\nb"},
        {"next": "\ud800"},
        {"pageNumber": 1, "totalCount": 500},
        {"pageNumber": None, "totalCount": 500},
        {"pageNumber": -1, "pageSize": 1},
    ],
)
def test_a_listing_that_goes_in_circles_or_nowhere_ends(paging: dict[str, object]) -> None:
    assert refusal(page(job(), **paging)).detail


def test_tokens_in_a_circle_end() -> None:
    after = {None: "a", "a": "b", "b": "c", "c": "a"}
    assert (
        "read already"
        in refusal(lambda request: page(next=after[query(request).get("continuationToken")])).detail
    )


def test_a_listing_of_empty_pages_without_end_is_incomplete() -> None:
    result = listed(lambda request: page(next=f"{query(request).get('continuationToken', '')}x"))
    assert (len(result.requests), result.end.incomplete) == (
        10,
        "it has more pages after 10 without an entry",
    )


def test_all_statuses_without_a_window_need_no_filter() -> None:
    (request,) = listed(page()).requests
    assert query(request) == {"pageSize": "100"}


def test_statuses_and_sources_are_joined_by_an_encoded_pipe() -> None:
    (request,) = listed(page(), statuses=["Failed", "Running"], sources=["Pages", "Content Editor"]).requests
    assert query(request) == {
        "pageSize": "100",
        "system.status": "Failed|Running",
        "source": "Pages|Content Editor",
    }
    assert "system.status=Failed%7CRunning" in request.path
    assert "source=Pages%7CContent%20Editor" in request.path


def test_only_ended_jobs_are_filtered_by_time_and_they_are_listed_last() -> None:
    unended, ended = listed(page(), newer_than="3d", sources=["CLI"]).requests
    assert query(unended) == {
        "pageSize": "100",
        "source": "CLI",
        "system.status": "Queued|Running|Canceling",
    }
    assert query(ended) == {
        "pageSize": "100",
        "source": "CLI",
        "system.status": "Failed|Completed|Canceled",
        "system.finishTime": ">2026-05-13T10:00:00Z",
    }


def test_the_window_changes_once_an_hour_and_never_hides_a_failure_of_today() -> None:
    def since(now: float, newer_than: str) -> str:
        return query(listed(page(), now=now, newer_than=newer_than).requests[1])["system.finishTime"]

    hour = NOW // 3600 * 3600
    assert {since(hour + minute * 60, "2d") for minute in (0, 20, 59)} == {">2026-05-14T10:00:00Z"}
    assert since(NOW, "10m") == since(NOW, "1d") == ">2026-05-15T10:00:00Z"
    assert since(NOW, "100y") == ">1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("statuses", "filters"),
    [(["Queued"], [("Queued", False)]), (["Completed", "Failed"], [("Completed|Failed", True)])],
)
def test_a_listing_for_no_status_is_not_asked(statuses: list[str], filters: list[tuple[str, bool]]) -> None:
    requests = [query(request) for request in listed(page(), newer_than="1d", statuses=statuses).requests]
    assert [(request["system.status"], "system.finishTime" in request) for request in requests] == filters


def test_each_of_both_listings_is_read_to_its_end() -> None:
    def response(request: Request) -> Response:
        kind = "ended" if "system.finishTime" in query(request) else "live"
        status = "Completed" if kind == "ended" else "Running"
        token = query(request).get("continuationToken")
        return page(job(status, f"{kind} {token}"), next=None if token else "more")

    assert listed(response, newer_than="1d").ids == ["live None", "live more", "ended None", "ended more"]


def test_what_a_filter_lets_through_by_error_is_left_out_and_unknown_words_are_not() -> None:
    jobs = [job(word, f"job_{word}") for word in ("Running", "completed", "Cancelled", "Paused", "")]
    assert listed(page(*jobs), statuses=["Running", "Canceled"]).ids == [
        "job_Running",
        "job_Cancelled",
        "job_Paused",
        "job_",
    ]


@pytest.mark.parametrize("job_id", [None, 7, "", ".", "..", "x" * 513, "a\nb", "\ud800", ["a"]])
def test_a_job_whose_id_fits_no_address_is_left_out(job_id: object) -> None:
    assert listed(page(job(job_id=job_id), "?", None, job(job_id="job_2"))).ids == ["job_2"]


@pytest.mark.parametrize("body", [b"", b"Forbidden", b"[]", b"{}", b'{"data": null}', b'{"data": {}}'])
def test_an_answer_without_jobs_is_not_understood(body: bytes) -> None:
    refusal(response_of(body))


def test_a_page_that_cannot_be_had_fails_the_listing() -> None:
    with pytest.raises(Failure) as caught:
        listed(lambda request: response_of(status=403) if "Token" in request.path else page(next="t"))
    assert caught.value.reason is Reason.FORBIDDEN


def test_people_are_not_exported() -> None:
    assert "someone" not in repr(listed(by_token("tokens_first", "tokens_last")).found)


@pytest.mark.parametrize(
    "keys",
    [
        {"statuses": []},
        {"statuses": ["queued"]},
        {"statuses": ["Queued", "Queued"]},
        {"statuses": "Queued"},
        {"sources": ["a|b"]},
        {"sources": [""]},
        {"sources": ["a", "a"]},
        {"newer_than": "yesterday"},
        {"itwin_id": "x"},
    ],
)
def test_odd_keys_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SitecoreDiscover.model_validate(keys)


def outcome(read: Callable[[], Outcome]) -> Outcome | Failure:
    try:
        return read()
    except Failure as failure:
        return failure


def count_jobs(response: Response) -> dict[State, int]:
    counting = sitecore(summary=True).summary()
    assert counting is not None
    assert next(counting) == Request(f"{JOBS}/summary")
    with pytest.raises(StopIteration) as stop:
        counting.send(response)
    counts: dict[State, int] = stop.value.value
    return counts


def test_the_summary_counts_jobs_in_our_words() -> None:
    assert count_jobs(response_of(SUMMARY)) == {
        State.QUEUED: 2,
        State.RUNNING: 1,
        State.CANCELED: 4,
        State.FAILED: 3,
        State.SUCCEEDED: 120,
        State.CANCELING: 0,
    }


def test_words_that_nobody_knows_are_counted_together_and_odd_counts_not_at_all() -> None:
    counts = {"paused": 2, "Waiting": "3", "running": None, "failed": -1, "queued": True, "completed": 1.5}
    assert count_jobs(response_of({"counts": counts})) == {State.UNKNOWN: 5}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"counts": []}', b'{"counts": {"running": null}}'])
def test_a_summary_without_counts_is_not_understood(body: bytes) -> None:
    with pytest.raises(Failure) as caught:
        count_jobs(response_of(body))
    assert caught.value.reason is Reason.INVALID_RESPONSE


def test_the_summary_is_asked_only_where_the_config_wants_it() -> None:
    assert sitecore().summary() is None
    assert sitecore(summary=False).summary() is None


@given(mutated([SUMMARY]) | st.binary(max_size=40))
def test_no_summary_however_odd_does_more_than_fail(body: bytes) -> None:
    counts = outcome(lambda: count_jobs(response_of(body)))
    if isinstance(counts, Failure):
        assert counts.reason is Reason.INVALID_RESPONSE
    else:
        assert counts
        assert all(type(number) is int and number >= 0 for number in counts.values())


PAGING = st.fixed_dictionaries(
    {},
    optional={
        "next": st.none() | st.text(max_size=4) | st.integers(),
        "pageNumber": st.none() | st.integers(-1, 12) | st.text(max_size=2),
        "pageSize": st.none() | st.integers(-1, 200),
        "totalCount": st.none() | st.integers(-1, 3000),
    },
)


@given(
    bodies=st.lists(mutated(LISTINGS) | st.binary(max_size=40), max_size=4),
    paging=st.lists(PAGING, min_size=1, max_size=5),
    jobs=st.lists(st.builds(job, st.text() | st.sampled_from(["Failed", None]), st.text()), max_size=3),
    keys=st.sampled_from([{}, {"newer_than": "1h"}]),
)
def test_no_page_however_odd_does_more_than_fail(
    bodies: list[bytes], paging: list[dict[str, object]], jobs: list[object], keys: dict[str, object]
) -> None:
    pages = [*(page(*jobs, **each) for each in paging), *map(response_of, bodies)]
    count = 0

    def response(_: Request) -> Response:
        nonlocal count
        count += 1
        return pages[count % len(pages)]

    result = outcome(lambda: discover(sitecore(), keys, response, now=NOW))
    if isinstance(result, Failure):
        assert result.reason is Reason.INVALID_RESPONSE
        assert len(result.detail) <= 120
    else:
        assert_listed(sitecore(), result)
        assert all(urlsplit(request.path).path == JOBS for request in result.requests)
    # Each token is followed once and no page number twice, in two listings at most.
    assert count <= 2 * (2 * len(pages) + 13)


def test_every_stored_listing_is_read_here() -> None:
    for body in LISTINGS:
        assert json.loads(body)["data"]
