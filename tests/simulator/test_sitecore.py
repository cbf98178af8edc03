from typing import Any

import requests

from exporter.simulator import sitecore
from tests.simulator.conftest import NOON, Simulated

WORDS = {
    "Summer campaign": "Completed",
    "Terms and conditions": "Completed",
    "Store locator": "Failed",
    "Recall notice, draft": "Canceled",
    "Full republish": "Running",
    "Media library": "Canceling",
    "Blog archive": "Queued",
}


def ask(simulated: Simulated, job_id: str, **headers: str) -> requests.Response:
    path = f"/sitecore/authoring/publishing/v1/jobs/{job_id}"
    return simulated.get(path, headers={**simulated.headers("xmc"), **headers})


def job(simulated: Simulated, name: str) -> Any:
    response = ask(simulated, simulated.keys("xmc", name)["id"])
    assert response.status_code == 200
    return response.json()


def test_every_word_of_the_api_is_there(simulated: Simulated) -> None:
    assert {name: job(simulated, name)["system"]["status"] for name in WORDS} == WORDS


def test_the_job_has_all_fields_of_the_page(simulated: Simulated) -> None:
    body = job(simulated, "Summer campaign")
    assert set(body) == {
        "id",
        "name",
        "source",
        "description",
        "options",
        "permissions",
        "statistics",
        "system",
    }
    assert body["permissions"] == {"canViewDetails": True, "canCancel": True}
    assert set(body["statistics"]["xmc"]) == {
        "additionalItemsSent",
        "itemsAcknowledged",
        "itemsDeleted",
        "itemsSkipped",
        "itemsSendingComplete",
    }
    assert body["statistics"]["itemsFailed"] > 0
    assert set(body["system"]) >= {
        "organizationId",
        "tenantId",
        "tenantJobId",
        "queuedTime",
        "startTime",
        "finishTime",
        "createdBy",
        "canceledBy",
    }


def test_statistics_are_missing_in_part_or_whole(simulated: Simulated) -> None:
    queued = job(simulated, "Blog archive")
    assert "statistics" not in queued
    assert queued["system"]["startTime"] is None
    assert "xmc" not in job(simulated, "Recall notice, draft")["statistics"]


def test_sending_completes_before_processing(simulated: Simulated) -> None:
    complete: list[int] = []
    growing: list[int] = []
    for second in range(0, 15 * 60, 5):
        simulated.clock.now = NOON + second
        body = job(simulated, "Home page and navigation")
        if body["system"]["status"] == "Running":
            told = body["statistics"]
            sent = told["itemsSent"] + told["xmc"]["additionalItemsSent"]
            assert told["itemsProcessed"] <= sent + 1
            (complete if told["xmc"]["itemsSendingComplete"] else growing).append(sent)
    assert len(set(growing)) > 3
    assert len(set(complete)) <= 2  # one figure a run
    assert complete


def test_refusals_are_problems(simulated: Simulated) -> None:
    auth = dict(simulated.systems["xmc"]["auth"])
    deploy = simulated.session.post(
        auth["token_url"],
        data={
            "grant_type": "client_credentials",
            "audience": auth["audience"],
            "client_id": sitecore.DEPLOY_CLIENT_ID,
            "client_secret": sitecore.DEPLOY_CLIENT_SECRET,
        },
        timeout=60,
    ).json()["access_token"]
    job_id = simulated.keys("xmc", "Store locator")["id"]
    for response, status in (
        (ask(simulated, job_id, Authorization=""), 401),
        (ask(simulated, job_id, **simulated.headers("twins")), 401),
        (ask(simulated, job_id, Authorization=f"Bearer {deploy}"), 403),
        (ask(simulated, "job_41B25"), 404),
        (ask(simulated, "a/b"), 404),
    ):
        assert response.status_code == status
        assert response.headers["Content-Type"] == "application/problem+json"
        body = response.json()
        assert body["status"] == status
        assert body["instance"].startswith("/api/publishing/v1/jobs/")
        assert set(body) >= {"type", "title", "detail"}
