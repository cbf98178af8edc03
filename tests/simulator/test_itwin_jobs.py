import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from exporter.model.job import State
from exporter.simulator import itwin
from tests.simulator.conftest import NOON, Simulated

FILTER = f"iTwinId eq {itwin.ITWIN}"
SERVICES = ["contextcapture", "realitydataanalysis", "reality-modeling"]


def ask(simulated: Simulated, service: str = "reality-modeling", **query: Any) -> requests.Response:
    version = 2 if "-" in service else 1
    accept = f"application/vnd.bentley.itwin-platform.v{version}+json"
    params = {name.replace("_", "$"): str(value) for name, value in query.items()}
    headers = {"Accept": accept, **simulated.headers("twins")}
    return simulated.get(f"/itwin/{service}/jobs", params=params, headers=headers)


def jobs(simulated: Simulated, service: str = "reality-modeling", **query: Any) -> list[dict[str, Any]]:
    response = ask(simulated, service, **{"_filter": FILTER, "_top": 1000, **query})
    assert response.status_code == 200, response.text
    body = response.json()
    assert "_links" not in body
    told: list[dict[str, Any]] = body["jobs"]
    return told


def pages(simulated: Simulated, **query: Any) -> Iterator[list[str]]:
    """The ids of every page, following the links as they are."""
    response = ask(simulated, _filter=FILTER, **query)
    while True:
        assert response.status_code == 200
        body = response.json()
        yield [job["id"] for job in body["jobs"]]
        if "_links" not in body:
            return
        href = body["_links"]["next"]["href"]
        assert href.startswith(f"{simulated.base_url}/itwin/reality-modeling/jobs?")
        headers = {"Accept": "application/json", **simulated.headers("twins")}
        response = requests.get(href, headers=headers, timeout=60)


@pytest.mark.parametrize("service", SERVICES)
def test_an_entry_is_the_job_as_it_tells_itself(simulated: Simulated, service: str) -> None:
    listed = jobs(simulated, service)
    names = {scan.name for scan in itwin.SCANS if scan.service == service}
    assert names < {job["name"] for job in listed}
    for job in listed[::5]:
        alone = simulated.get(f"/itwin/{service}/jobs/{job['id']}", headers=simulated.headers("twins"))
        assert alone.json() == {"job": job}


def test_links_lead_through_all_pages_and_tell_each_job_once(simulated: Simulated) -> None:
    read = list(pages(simulated, _top=7))
    assert [len(page) for page in read[:-1]] == [7] * (len(read) - 1)
    ids = [job_id for page in read for job_id in page]
    assert len(read) > 5
    assert ids == [job["id"] for job in jobs(simulated)]


def test_a_page_has_a_hundred_jobs_unless_told_otherwise(simulated: Simulated) -> None:
    assert itwin.PAGE == 100
    assert len(ask(simulated, _filter=FILTER).json()["jobs"]) == min(100, len(jobs(simulated)))


def test_jobs_that_are_made_meanwhile_move_nothing_from_one_page_to_the_next(simulated: Simulated) -> None:
    before = [job["id"] for job in jobs(simulated)]
    turning = pages(simulated, _top=20)
    read = next(turning)
    simulated.clock.now += 300
    for page in turning:
        read += page
    assert len(set(read)) == len(read)
    assert set(read) <= set(before)
    assert len(jobs(simulated)) == len(before)
    assert {job["id"] for job in jobs(simulated)} - set(before)


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_flights_appear_live_end_and_leave_under_ids_of_their_own(simulated: Simulated, service: str) -> None:
    lives: dict[str, list[str]] = defaultdict(list)
    present = []
    for second in range(0, 3 * 3600, 40):
        simulated.clock.now = NOON + second
        if second % 3000 == 0:
            simulated.tokens.clear()
        told = {job["id"]: job["state"].lower() for job in jobs(simulated, service)}
        present.append(told.keys())
        for job_id, state in told.items():
            if not lives[job_id] or lives[job_id][-1] != state:
                lives[job_id].append(state)
    born = present[-1] - present[0]
    assert len(born) > 20
    assert len(present[0] - present[-1]) > 20
    ends = {"success", "failed", "cancelled"}
    whole = [lives[job_id] for job_id in present[len(present) // 2] & born]
    assert whole
    assert all("active" in states and states[-1] in ends for states in whole)
    assert all(not ends.intersection(states[:-1]) for states in whole)


def test_filters_let_through_what_they_say(simulated: Simulated) -> None:
    everything = jobs(simulated)
    active = jobs(simulated, _filter=f"{FILTER} and state eq Active")
    assert {job["state"] for job in active} == {"Active"}
    assert len(active) < len(everything)
    (castle,) = jobs(simulated, _filter=f"{FILTER} and name eq 'Castle'")
    assert castle["state"] == "Suspended"
    assert jobs(simulated, _filter="iTwinId eq 00000000-0000-0000-0000-000000000000") == []
    since = "2026-03-01T11:00:00Z"
    newer = jobs(simulated, _filter=f"{FILTER} and createdDateTime gt {since}")
    assert 0 < len(newer) < len(everything)
    assert newer == [job for job in everything if job["executionInfo"]["createdDateTime"] > since]


def test_the_filter_by_date_holds_for_the_older_services_too(simulated: Simulated) -> None:
    newer = jobs(simulated, "contextcapture", _filter=f"{FILTER} and createdDateTime gt 2026-03-01T11:00:00Z")
    assert 0 < len(newer) < len(jobs(simulated, "contextcapture"))


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"_filter": ""},
        {"_filter": "colour eq red"},
        {"_filter": f"{FILTER} and"},
        {"_filter": f"{FILTER} and createdDateTime gt yesterday"},
        {"_filter": f"{FILTER} and createdDateTime gt 2026-03-01T11:00:00"},
        {"_filter": FILTER, "_top": 0},
        {"_filter": FILTER, "_top": 1001},
        {"_filter": FILTER, "_top": "many"},
        {"_filter": FILTER, "continuationToken": "x"},
        {"_filter": FILTER, "continuationToken": "eCB5"},
        {"_filter": FILTER, "continuationToken": ""},
    ],
)
def test_what_means_nothing_is_refused(simulated: Simulated, query: dict[str, Any]) -> None:
    response = ask(simulated, **query)
    assert response.status_code == 422
    assert re.fullmatch(r"[A-Za-z]+", response.json()["error"]["code"])


def test_token_and_version_are_checked(simulated: Simulated) -> None:
    path = "/itwin/reality-modeling/jobs"
    assert simulated.get(path, params={"$filter": FILTER}).status_code == 401
    headers = {"Accept": "application/vnd.bentley.itwin-platform.v1+json", **simulated.headers("twins")}
    assert simulated.get(path, params={"$filter": FILTER}, headers=headers).status_code == 406
    headers = simulated.headers("twins")
    assert simulated.get("/itwin/reality-magic/jobs", headers=headers).status_code == 404


@pytest.mark.parametrize("system", ["twins", "twins-capture", "twins-analysis"])
def test_what_a_listing_tells_is_what_reading_each_job_tells(simulated: Simulated, system: str) -> None:
    found = simulated.discover(system)
    named = {job["id"] for job in simulated.systems[system]["jobs"]}
    assert named < found.keys()
    quiet = {State.QUEUED, State.IDLE, State.UNKNOWN}
    for each in found.values():
        assert each.status is not None
        read = simulated.read(system, each.keys)
        assert (read.state, read.name, read.ended_at) == (
            each.status.state,
            each.status.name,
            each.status.ended_at,
        )
        assert each.complete is (read.final or read.state in quiet)
