from typing import Any

import pytest
import requests

from exporter.simulator import itwin
from tests.simulator.conftest import NOON, Simulated

SERVICES = {
    "contextcapture": 1,
    "realitydataanalysis": 1,
    "realityconversion": 1,
    "reality-modeling": 2,
    "reality-analysis": 2,
    "reality-conversion": 2,
}


def ask(simulated: Simulated, service: str, rest: str, **headers: str) -> requests.Response:
    accept = f"application/vnd.bentley.itwin-platform.v{SERVICES[service]}+json"
    headers = {"Accept": accept, **simulated.headers("twins"), **headers}
    return simulated.get(f"/itwin/{service}/jobs/{rest}", headers=headers)


def scan(service: str, name: str) -> str:
    (found,) = [scan.id for scan in itwin.SCANS if scan.service == service and scan.name == name]
    return found


def progress(simulated: Simulated, service: str, name: str) -> Any:
    response = ask(simulated, service, f"{scan(service, name)}/progress")
    assert response.status_code == 200
    return response.json()


def job(simulated: Simulated, service: str, name: str) -> Any:
    response = ask(simulated, service, scan(service, name))
    assert response.status_code == 200
    return response.json()["job"]


def error(response: requests.Response) -> tuple[int, str]:
    body = response.json()
    assert list(body) == ["error"]
    assert body["error"]["message"]
    return response.status_code, body["error"]["code"]


def states(simulated: Simulated, service: str, name: str) -> list[Any]:
    """The words of progress over 40 minutes, each change once, None for 404."""
    seen: list[Any] = []
    for second in range(0, 40 * 60, 5):
        simulated.clock.now = NOON + second
        response = ask(simulated, service, f"{scan(service, name)}/progress")
        body = response.json()
        wrapper = "jobProgress" if service == "contextcapture" else "progress"
        word = body[wrapper]["state"] if response.ok else None
        if not seen or seen[-1] != word:
            seen.append(word)
    return seen


@pytest.mark.slow
def test_the_first_dialect_says_over_and_the_job_says_how(simulated: Simulated) -> None:
    seen = states(simulated, "contextcapture", "Harbour bridge mesh")
    assert set(seen) == {"Active", "Over", None} or set(seen) == {"Active", "Over"}
    assert ["Active", "Over"] in [seen[i : i + 2] for i in range(len(seen))]
    body = job(simulated, "contextcapture", "Old town calibration")
    assert body["state"] == "failed"
    information = body["executionInformation"]
    assert set(information) >= {"submissionDateTime", "startedDateTime", "endedDateTime", "exitCode"}
    assert information["errors"]


@pytest.mark.slow
def test_the_second_dialect_has_the_words_of_its_page(simulated: Simulated) -> None:
    told = progress(simulated, "realitydataanalysis", "Pylon inventory, draft")
    assert told == {"progress": {"percentage": 0, "state": "unsubmitted", "step": "Prepare_Production"}}
    seen = states(simulated, "realitydataanalysis", "Crack detection, dam")
    assert set(seen) <= {"active", "success", "failed", "cancelled", None}
    assert "active" in seen
    body = job(simulated, "realitydataanalysis", "Rail corridor segmentation")
    assert body["state"] == "cancelled"
    assert "submittedDateTime" in body["executionInformation"]


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("Airport terminal", "Active"),
        ("City tiles", "Queued"),
        ("Tunnel calibration", "TerminatingOnCancel"),
        ("Wind park", "TerminatingOnFailure"),
        ("Castle", "Suspended"),
    ],
)
def test_the_third_dialect_has_no_step(simulated: Simulated, name: str, state: str) -> None:
    told = progress(simulated, "reality-modeling", name)
    assert list(told) == ["progress"]
    assert list(told["progress"]) == ["percentage", "state"]
    assert told["progress"]["state"] == state
    assert 0 <= told["progress"]["percentage"] <= 100
    body = job(simulated, "reality-modeling", name)
    assert body["state"] == state
    assert set(body) == {
        "id",
        "name",
        "type",
        "iTwinId",
        "state",
        "userId",
        "executionInfo",
        "specifications",
    }


@pytest.mark.slow
@pytest.mark.parametrize("service", ["realityconversion", "reality-analysis", "reality-conversion"])
def test_the_other_three_services_answer_too(simulated: Simulated, service: str) -> None:
    assert job(simulated, service, "Sample archive")["state"].lower() == "success"
    words = {word for word in states(simulated, service, "Sample survey") if word}
    assert {"active"} < {word.lower() for word in words}


@pytest.mark.parametrize(
    ("service", "name", "code"),
    [
        ("contextcapture", "Stadium roof mesh", "JobNotFound"),
        ("realitydataanalysis", "Rail corridor segmentation", "ProgressNotFound"),
        ("reality-analysis", "Sample archive", "JobProgressNotFound"),
    ],
)
def test_progress_is_gone_some_time_after_the_end(
    simulated: Simulated, service: str, name: str, code: str
) -> None:
    assert error(ask(simulated, service, f"{scan(service, name)}/progress")) == (404, code)
    assert job(simulated, service, name)["id"] == scan(service, name)
    assert error(ask(simulated, service, "no-such-job/progress")) == (404, code)
    assert error(ask(simulated, service, "no-such-job")) == (404, "JobNotFound")


def test_the_token_is_checked(simulated: Simulated) -> None:
    rest = scan("reality-modeling", "Castle")
    without = simulated.get(f"/itwin/reality-modeling/jobs/{rest}")
    assert error(without) == (401, "HeaderNotFound")
    token = simulated.token("twins")
    for wrong in ("", "Bearer ", "Bearer x", f"Basic {token}", f"Bearer {token}x", f"Bearer x{token}"):
        refused = ask(simulated, "reality-modeling", rest, Authorization=wrong)
        assert error(refused) == (401, "Unauthorized")
    of_another = simulated.headers("xmc")
    assert error(ask(simulated, "reality-modeling", rest, **of_another)) == (401, "Unauthorized")
    assert ask(simulated, "reality-modeling", rest).status_code == 200
    token_header = {"Authorization": f"Bearer {token}"}
    simulated.clock.now = NOON + 3601
    assert error(ask(simulated, "reality-modeling", rest, **token_header)) == (401, "Unauthorized")


def test_the_version_is_chosen_by_the_accept_header(simulated: Simulated) -> None:
    rest = scan("reality-modeling", "Castle")
    other = "application/vnd.bentley.itwin-platform.v1+json"
    assert ask(simulated, "reality-modeling", rest, Accept=other).status_code == 406
    assert ask(simulated, "reality-modeling", rest, Accept="application/json").status_code == 200


def test_an_unknown_service_is_404(simulated: Simulated) -> None:
    for path in ("/itwin/reality-magic/jobs/x", "/itwin/elsewhere"):
        assert error(simulated.get(path, headers=simulated.headers("twins")))[0] == 404
