import re
from typing import Any

import pytest
import requests

from exporter.model.job import State
from exporter.simulator.codearts import PROJECT
from tests.simulator.conftest import NOON, Simulated


def ask(simulated: Simulated, path: str, **headers: str) -> requests.Response:
    return simulated.get(f"/codearts/v1{path}", headers={**simulated.headers("builds"), **headers})


def result(simulated: Simulated, path: str) -> Any:
    response = ask(simulated, path)
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["result", "error", "status"]
    assert (body["error"], body["status"]) == (None, "success")
    return body["result"]


def job_id(simulated: Simulated, name: str) -> str:
    return simulated.keys("builds", name)["job_id"]


def newest(simulated: Simulated, name: str) -> str:
    number = result(simulated, f"/job/{job_id(simulated, name)}/running-status")["last_build_no"]
    assert type(number) is str
    return f"{job_id(simulated, name)}/{number}"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Load tests", "timeout"),
        ("Nightly integration", "FAILURE"),
        ("Browser tests", "UNSTABLE"),
        ("Design system", "ABORTED"),
    ],
)
def test_build_info_is_an_array_for_some_tasks_and_an_object_for_others(
    simulated: Simulated, name: str, word: str
) -> None:
    told = result(simulated, f"/job/{newest(simulated, name)}/build-info")
    expected = {"building": False, "build_result": word, "region": "ap-southeast-3"}
    assert told == ([expected] if name in ("Nightly integration", "Design system") else expected)


def test_a_fixed_number_tells_an_old_build(simulated: Simulated) -> None:
    keys = simulated.keys("builds", "Release 12 of the web shop")
    assert keys["build_no"] == "12"
    (told,) = result(simulated, f"/job/{keys['job_id']}/12/build-info")
    assert told["build_result"] == "SUCCESS"


def test_the_record_tells_times_in_milliseconds(simulated: Simulated) -> None:
    told = result(simulated, f"/record/{newest(simulated, 'Load tests')}/build-info-record")
    assert (told["state"], told["job_running_status"]) == ("timeout", "Finished")
    end = (told["start_time"] + told["build_time"]) / 1000
    assert NOON - 5 * 3600 < end < NOON
    assert re.fullmatch(r"\d{8}\.\d+", told["daily_build_number"])
    assert list(told) == [
        "number",
        "state",
        "job_running_status",
        "build_time",
        "start_time",
        "cost_time",
        "trigger_type",
        "commit_id",
        "code_branch",
        "executor",
        "daily_build_number",
    ]


def test_a_build_that_waits_and_a_task_that_never_ran(simulated: Simulated) -> None:
    waiting = result(simulated, f"/job/{job_id(simulated, 'Firmware')}/running-status")
    assert (waiting["last_build_status"], waiting["is_running"]) == ("InQueue", False)
    never = result(simulated, f"/job/{job_id(simulated, 'New search, not built yet')}/running-status")
    assert (never["last_build_no"], never["is_running"]) == (None, False)


def test_one_of_two_tasks_always_builds(simulated: Simulated) -> None:
    for minute in range(40):
        simulated.clock.now = NOON + 60 * minute
        told = [
            result(simulated, f"/job/{job_id(simulated, name)}/running-status")["is_running"]
            for name in ("Web shop", "Checkout service")
        ]
        assert any(told)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/job/short/running-status", 400, "CB.00060201"),
        (f"/job/{'0' * 32}/running-status", 404, "CB.00060201"),
        ("/job/JOB/0/build-info", 400, "CB.00060200"),
        ("/job/JOB/x/build-info", 400, "CB.00060200"),
        ("/job/JOB/99999999/build-info", 404, "CB.00060200"),
        ("/elsewhere", 404, "APIGW.0101"),
    ],
)
def test_errors_have_code_and_text(simulated: Simulated, path: str, status: int, code: str) -> None:
    response = ask(simulated, path.replace("JOB", job_id(simulated, "Web shop")))
    assert response.status_code == status
    assert response.json()["error_code"] == code
    assert response.json()["error_msg"]


def listed(simulated: Simulated, query: str = "page_size=100", **headers: str) -> Any:
    response = ask(simulated, f"/job/{PROJECT}/list?{query}", **headers)
    assert response.status_code == 200
    return response.json()


def test_a_project_lists_its_tasks_page_by_page(simulated: Simulated) -> None:
    whole = listed(simulated)
    assert list(whole) == ["jobs", "total"]
    assert whole["total"] == len(whole["jobs"]) == 11 + 5
    assert listed(simulated, "")["jobs"] == whole["jobs"][:10]
    assert listed(simulated, "page_index=1")["jobs"] == whole["jobs"][10:]
    assert listed(simulated, "page_index=2")["jobs"] == []
    assert listed(simulated, "page_index=3&page_size=5") == {"jobs": whole["jobs"][15:], "total": 16}


@pytest.mark.parametrize("query", ["page_size=0", "page_size=101", "page_index=-1", "page_index=x"])
def test_a_page_that_cannot_be_is_refused(simulated: Simulated, query: str) -> None:
    response = ask(simulated, f"/job/{PROJECT}/list?{query}")
    assert (response.status_code, response.json()["error_code"]) == (400, "CB.00060200")


def test_a_listing_wants_credentials_and_its_project(simulated: Simulated) -> None:
    path = f"/job/{PROJECT}/list"
    assert ask(simulated, path, **{"X-Auth-Token": "wrong"}).status_code == 401
    assert ask(simulated, path.replace(PROJECT, "0" * 32)).status_code == 404


def test_a_listing_tells_what_each_task_tells_of_itself(simulated: Simulated) -> None:
    found = simulated.discover("builds")
    assert len(found) == 16
    for each in found.values():
        status = simulated.read("builds", each.keys)
        assert each.status is not None
        assert each.complete
        assert each.status.state is status.state
        assert (each.status.started_at, each.status.ended_at) == pytest.approx(
            (status.started_at, status.ended_at), abs=0.002
        )


def test_previews_come_are_built_once_and_leave(simulated: Simulated) -> None:
    seen: dict[str, list[State]] = {}
    lists = []
    for minute in range(0, 60, 2):
        simulated.clock.now = NOON + 60 * minute
        found = [each for each in simulated.discover("builds").values() if "Preview" in each.name]
        lists.append({each.name for each in found})
        for each in found:
            assert each.status is not None
            seen.setdefault(each.name, []).append(each.status.state)
    assert all(len(there) == 5 for there in lists)
    assert lists[0].isdisjoint(lists[-1])
    assert len(seen) in range(18, 21)
    over = {State.SUCCEEDED, State.FAILED}
    for states in seen.values():
        ends = set(states) & over
        assert len(ends) <= 1
        assert states == sorted(states, key=lambda state: state in over)
    assert {states[-1] for states in seen.values()} >= over
