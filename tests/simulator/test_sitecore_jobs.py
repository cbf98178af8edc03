from collections import defaultdict
from typing import Any

import pytest
import requests

from exporter.simulator import sitecore
from tests.simulator.conftest import NOON, Simulated

JOBS = "/sitecore/authoring/publishing/v1/jobs"
ENDS = {"Completed", "Failed", "Canceled"}


def ask(simulated: Simulated, *, rest: str = "", **query: Any) -> requests.Response:
    names = ("Status", "QueuedTime", "StartTime", "FinishTime", "CreatedBy")
    params = {
        f"system.{name[0].lower()}{name[1:]}" if name in names else name: value
        for name, value in query.items()
    }
    return simulated.get(JOBS + rest, params=params, headers=simulated.headers("xmc"))


def told(simulated: Simulated, **query: Any) -> dict[str, Any]:
    response = ask(simulated, **query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def jobs(simulated: Simulated, **query: Any) -> list[dict[str, Any]]:
    """All jobs, token after token."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        body = told(simulated, pageSize=100, **query, **token)
        assert set(body) == {"next", "data"}
        found += body["data"]
        if body["next"] is None:
            return found
        token = {"continuationToken": body["next"]}


def test_an_entry_is_the_job_as_it_tells_itself(simulated: Simulated) -> None:
    listed = jobs(simulated)
    assert {job.name for job in sitecore.JOBS} < {job["name"] for job in listed}
    for job in listed[::7]:
        assert told(simulated, rest=f"/{job['id']}") == job


def test_the_bare_call_is_paged_by_token(simulated: Simulated) -> None:
    body = told(simulated)
    assert set(body) == {"next", "data"}
    assert len(body["data"]) == sitecore.PAGE
    ids = [job["id"] for job in jobs(simulated)]
    assert len(set(ids)) == len(ids) > 90
    assert [job["id"] for job in body["data"]] == ids[: sitecore.PAGE]
    assert told(simulated, continuationToken=body["next"])["data"][0]["id"] == ids[sitecore.PAGE]


def test_page_numbers_are_the_other_way(simulated: Simulated) -> None:
    ids = [job["id"] for job in jobs(simulated)]
    read: list[str] = []
    for number in range(1, 6):
        body = told(simulated, pageNumber=number, pageSize=30)
        assert {name: body[name] for name in ("totalCount", "pageNumber", "pageSize")} == {
            "totalCount": len(ids),
            "pageNumber": number,
            "pageSize": 30,
        }
        read += [job["id"] for job in body["data"]]
    assert read == ids
    assert ask(simulated, pageNumber=10, pageSize=100).status_code == 200
    assert ask(simulated, pageNumber=11, pageSize=100).status_code == 400


@pytest.mark.slow
def test_jobs_of_authors_appear_live_end_and_leave_under_ids_of_their_own(simulated: Simulated) -> None:
    lives: dict[str, list[str]] = defaultdict(list)
    present = []
    for second in range(0, 2 * 3600, 30):
        simulated.clock.now = NOON + second
        listed = {job["id"]: job["system"]["status"] for job in jobs(simulated)}
        present.append(listed.keys())
        for job_id, status in listed.items():
            if not lives[job_id] or lives[job_id][-1] != status:
                lives[job_id].append(status)
    born = present[-1] - present[0]
    assert len(born) > 40
    assert len(present[0] - present[-1]) > 40
    whole = [lives[job_id] for job_id in present[len(present) // 2] & born]
    assert whole
    assert all("Running" in statuses and statuses[-1] in ENDS for statuses in whole)
    assert all(not ENDS.intersection(statuses[:-1]) for statuses in whole)


def test_filters_let_through_what_they_say(simulated: Simulated) -> None:
    everything = jobs(simulated)
    some = jobs(simulated, Status="Failed|Canceling")
    assert {job["system"]["status"] for job in some} == {"Failed", "Canceling"}
    assert {job["source"] for job in jobs(simulated, source="CLI")} == {"CLI"}
    assert jobs(simulated, source="Nowhere") == []
    since = "2026-03-01T11:00:00Z"
    newer = jobs(simulated, FinishTime=f">{since}")
    assert newer == [job for job in everything if (job["system"]["finishTime"] or "") > since]
    assert 0 < len(newer) < len(everything)
    until = jobs(simulated, FinishTime=[f">{since}", "=<2026-03-01T11:30:00Z"])
    assert 0 < len(until) < len(newer)
    ended = {job["id"] for job in everything if job["system"]["status"] in ENDS}
    assert {job["id"] for job in jobs(simulated, FinishTime=">2000-01-01T00:00:00Z")} == ended


def test_a_piped_filter_may_come_encoded(simulated: Simulated) -> None:
    response = simulated.get(f"{JOBS}?system.status=Queued%7CCanceling", headers=simulated.headers("xmc"))
    assert {job["system"]["status"] for job in response.json()["data"]} == {"Queued", "Canceling"}


def test_the_summary_counts_every_job_once(simulated: Simulated) -> None:
    counts = told(simulated, rest="/summary")["counts"]
    assert list(counts) == ["queued", "running", "canceled", "failed", "completed", "canceling"]
    statuses = [job["system"]["status"].lower() for job in jobs(simulated)]
    assert counts == {word: statuses.count(word) for word in counts}
    assert sum(counts.values()) == len(statuses)
    newer = told(simulated, rest="/summary", QueuedTime=">2026-03-01T11:00:00Z")["counts"]
    assert 0 < sum(newer.values()) < len(statuses)


@pytest.mark.parametrize(
    "query",
    [
        {"pageSize": 0},
        {"pageSize": 101},
        {"pageSize": "all"},
        {"pageNumber": 0},
        {"continuationToken": "x"},
        {"continuationToken": "eCB5"},
        {"FinishTime": "2026-03-01T11:00:00Z"},
        {"FinishTime": ">yesterday"},
        {"QueuedTime": "<2026-03-01T11:00:00Z"},
    ],
)
def test_what_means_nothing_is_a_problem(simulated: Simulated, query: dict[str, Any]) -> None:
    response = ask(simulated, **query)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert set(response.json()) >= {"type", "title", "status", "detail", "instance", "errors"}


@pytest.mark.parametrize("rest", ["", "/summary"])
def test_the_token_is_checked(simulated: Simulated, rest: str) -> None:
    assert simulated.get(JOBS + rest).status_code == 401
    assert simulated.get(JOBS + rest, headers=simulated.headers("twins")).status_code == 401


def test_what_a_listing_tells_is_what_reading_each_job_tells(simulated: Simulated) -> None:
    found = simulated.discover("xmc")
    assert {job["id"] for job in simulated.systems["xmc"]["jobs"]} < found.keys()
    assert all(each.complete for each in found.values())
    for each in list(found.values())[::5]:
        assert simulated.read("xmc", each.keys) == each.status
