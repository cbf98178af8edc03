import json
import re

import pytest
import requests

from exporter.simulator import caps
from tests.simulator.conftest import NOON, Simulated

FIELDS = [
    "job_status",
    "is_incremental",
    "is_on_demand",
    "is_scheduled",
    "message",
    "triggered_by",
    "started_at",
    "ended_at",
    "cancelable",
    "total_count",
    "successful_count",
    "failed_count",
    "job_progress",
    "source_entities",
    "latest_blob_id",
    "categorized_count",
    "job_type",
    "job_level",
    "staged_locales",
    "promoted_locales",
    "locales",
    "entity_id",
    "project_id",
    "parent_id",
    "organization_id",
    "name",
    "revision",
    "locale",
    "default_locale",
    "entity_type",
    "assigned_to",
    "created_at",
    "updated_by",
    "attributes",
    "readonly_fields",
    "e_tag",
    "group_revisions",
]


def ask(simulated: Simulated, job: str, system: str = "docs", **headers: str) -> requests.Response:
    keys = simulated.keys(system, job)
    return simulated.get(
        f"{simulated.path(system)}/v1/Projects/{keys['project_id']}/BuildJobs/{keys['build_job_id']}/properties",
        params={"locale": keys["locale"]},
        headers={**simulated.headers(system), **headers},
    )


def test_the_answer_has_all_fields_of_the_help_page(simulated: Simulated) -> None:
    body = ask(simulated, "Getting started (ja)").json()
    assert list(body) == FIELDS
    assert body["job_status"] == "Failed"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00", body["started_at"])
    assert re.fullmatch(r"Failed in 00:\d\d:\d\d\.\d{7} seconds\.", body["message"])
    assert re.fullmatch(r"W/\"datetime'\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d\.\d{7}Z'\"", body["e_tag"])
    assert "@" in body["triggered_by"]
    assert body["locales"] == ["ja-JP"]
    assert json.loads(body["source_entities"][0])["entity_type"] == "Container"


def test_categories_add_up_to_the_counts(simulated: Simulated) -> None:
    body = ask(simulated, "API reference").json()
    categories = json.loads(body["categorized_count"])
    assert set(categories) == {"Outline", "Article"}
    for name in ("total_count", "successful_count", "failed_count"):
        assert sum(category[name] for category in categories.values()) == body[name]
    assert body["failed_count"] > 0
    assert body["job_status"] == "PartiallySucceeded"


def test_one_docset_answers_its_counts_as_strings(simulated: Simulated) -> None:
    body = ask(simulated, "Release notes").json()
    assert all(type(body[name]) is str for name in ("total_count", "successful_count", "failed_count"))


def test_the_run_id_decodes_to_the_time_the_run_was_asked_for(simulated: Simulated) -> None:
    body = ask(simulated, "Legal notices").json()
    ticks = 2**63 - 1 - int(body["latest_blob_id"])
    asked_for = ticks / 1e7 - 62_135_596_800
    assert NOON - 5 * 3600 < asked_for < NOON
    assert int(body["latest_blob_id"]) > 2**53


def test_a_queued_run_has_no_times_yet(simulated: Simulated) -> None:
    body = ask(simulated, "Archive (fr)").json()
    assert (body["job_status"], body["started_at"], body["ended_at"]) == ("Queued", None, None)
    assert body["cancelable"] is True


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer " + caps.TOKEN}, 401),
        ({"TokenType": "other"}, 401),
        ({"TokenType": "sas"}, 200),
        ({"Authorization": caps.TOKEN_WITHOUT_RIGHTS}, 403),
    ],
)
def test_both_headers_are_checked(simulated: Simulated, headers: dict[str, str], status: int) -> None:
    response = ask(simulated, "Tutorials", **headers)
    assert response.status_code == status
    assert ("Message" in response.json()) == (status != 200)


def test_an_unknown_job_is_404_and_a_missing_locale_400(simulated: Simulated) -> None:
    keys = simulated.keys("docs", "Tutorials")
    path = f"/caps/v1/Projects/{keys['project_id']}/BuildJobs/{keys['build_job_id']}/properties"
    headers = simulated.headers("docs")
    assert simulated.get(path, headers=headers).status_code == 400
    unknown = simulated.get(path, headers=headers, params={"locale": "xx-XX"})
    assert unknown.status_code == 404
    assert "Message" in unknown.json()
    assert simulated.get("/caps/v1/elsewhere", headers=headers).status_code == 404


def test_the_shaky_host_answers_503_and_breaks_connections(simulated: Simulated) -> None:
    seen = set()
    for minute in range(10):
        simulated.clock.now = NOON + 60 * minute
        try:
            response = ask(simulated, "User guide (de)", "docs-eu")
        except requests.exceptions.ChunkedEncodingError:
            seen.add(0)
            continue
        seen.add(response.status_code)
        if response.status_code == 503:
            assert 1 <= int(response.headers["Retry-After"]) <= 30
            assert response.headers["Content-Type"].startswith("text/html")
    assert seen == {0, 200, 503}
