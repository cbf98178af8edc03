"""Every answer under tests/data, through a whole exporter: the page shows exactly what is promised.

What is expected stands in tests/data/expected as the exposition itself. Times that only the clock
knows are ``<now>`` there (checked to be of this moment), the duration of a read is ``<seconds>``.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.vendor import Asked, Told, exporter, vendor

DATA = Path(__file__).parent / "data"
EXPECTED = DATA / "expected"
GONE = Told(status=404)
SAMPLE = re.compile(r"(?P<series>(?P<name>\w+)\{.*\}) (?P<value>\S+)")


@dataclass(frozen=True)
class Case:
    """What a vendor answers by path; all else is 404.

    Args:
        name: of the file with the expected page, and its system.
        keys: of the system, beside its provider and address.
    """

    name: str
    keys: str
    answers: Mapping[str, Told] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        return self.name.partition("/")[0]

    def config(self, url: str) -> str:
        return f"systems:\n  {self.provider}: {{provider: {self.provider}, base_url: '{url}', {self.keys}}}\n"


def stored(name: str, status: int = 200, **headers: str) -> Told:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Told((DATA / f"{name}.json").read_bytes(), status, named)


def caps(name: str) -> Case:
    project, build = "5deff363-2bde-473e-8479-ea9ce1c4a6bc", "da180f8a-6d2e-4c09-88e5-da8372be2936--promote"
    path = f"/v1/Projects/{project}/BuildJobs/{build}/properties?locale=en-US"
    keys = f"jobs: [{{project_id: {project}, build_job_id: {build}, locale: en-US}}]"
    return Case(f"caps/{name}", keys, {path: stored(f"caps/{name}")})


TASK = "48c66c6002964721be537cdc6ce0297b"
INFO = f"/v1/job/{TASK}/9/build-info"
RECORD = f"/v1/record/{TASK}/9/build-info-record"
NEWEST = f"/v1/job/{TASK}/running-status"


def run_nine(name: str, answers: Mapping[str, Told]) -> Case:
    return Case(f"codearts/{name}", f"jobs: [{{job_id: {TASK}, build_no: 9}}]", answers)


def newest(name: str, status: str, **more: Told) -> Case:
    paths = {"record": RECORD, "info": INFO}
    answers = {NEWEST: stored(f"codearts/{status}"), **{paths[key]: told for key, told in more.items()}}
    return Case(f"codearts/{name}", f"jobs: [{{job_id: {TASK}}}]", answers)


def codearts() -> list[Case]:
    no_such_job = "codearts/call_failed_with_code"
    refused = {status: dict.fromkeys((RECORD, INFO), stored(no_such_job, status)) for status in REFUSALS}
    infos = ("failure_array", "success_object", "building", "empty_array", "null")
    records = ("success", "failure", "timeout", "aborted", "running", "starting")
    record = {name: stored(f"codearts/record_{name}") for name in records}
    finished = "running_status_finished"
    failure = stored("codearts/build_info_failure_array")
    return [
        *(run_nine(f"build_info_{name}", {INFO: stored(f"codearts/build_info_{name}")}) for name in infos),
        *(run_nine(f"record_{name}", {RECORD: told}) for name, told in record.items()),
        *(run_nine(name, dict.fromkeys((RECORD, INFO), stored(f"codearts/{name}"))) for name in FAILED_CALLS),
        *(run_nine(f"status_{status}", answers) for status, answers in refused.items()),
        newest("latest_record_success", finished, record=record["success"]),
        newest("latest_record_failure", finished, record=record["failure"]),
        newest("latest_build_info_failure", finished, info=failure),
        newest("latest_running", "running_status_running", record=record["running"]),
        newest("latest_in_queue", "running_status_in_queue", info=stored("codearts/build_info_null")),
        newest("latest_never_ran", "running_status_never_ran"),
    ]


REFUSALS = (400, 401, 403, 404, 500)
FAILED_CALLS = ("call_failed", "call_failed_with_code")
SITE_V1 = "/api/1/services/api/1/publish/status.json?site_id=my-site"
SITE_V2 = "/api/2/publish/status?siteId=my-site"
MOVED = stored("crafter/v1_moved_301", 301, Location="/studio/api/2/publish/status")


def crafter(name: str, status: int = 200) -> Case:
    told = stored(f"crafter/{name}", status)
    answers = {SITE_V1: told} if name.startswith("v1") else {SITE_V1: MOVED, SITE_V2: told}
    return Case(f"crafter/{name}", "jobs: [{site_id: my-site}]", answers)


SURVEY = "cc3d35cc-416a-4262-9714-b359da70b419"


def itwin(
    name: str, progress: Told = GONE, job: Told = GONE, *, service: str = "realitydataanalysis"
) -> Case:
    path = f"/{service}/jobs/{SURVEY}"
    keys = f"service: {service}, jobs: [{{id: {SURVEY}}}]"
    return Case(f"itwin/{name}", keys, {f"{path}/progress": progress, path: job})


def itwin_word(word: str) -> Case:
    """One of the words of the page's schema, alone."""
    progress = {"percentage": 56, "state": word, "step": "Prepare_Production"}
    return itwin(f"word_{word}", Told({"progress": progress}))


def itwins() -> list[Case]:
    old, new = "contextcapture", "reality-modeling"
    over = stored("itwin/progress_contextcapture_over")
    words = ("unsubmitted", "active", "success", "failed", "cancelled")
    limit = {"retry_after": "30", "iTwinPlatform_RateLimit_RemainingCalls": "0"}
    job = {
        name: stored(f"itwin/job_{name}")
        for name in ("v1_active", "v1_success", "v2_active", "v2_queued", "v2_failed")
    }
    return [
        itwin("progress", stored("itwin/progress"), job["v1_active"]),
        itwin("progress_alone", stored("itwin/progress")),
        itwin("success_without_progress", stored("itwin/error_404", 404), job["v1_success"]),
        itwin("active_without_progress", stored("itwin/error_404", 404), job["v1_active"]),
        itwin("error_401", stored("itwin/error_401", 401), stored("itwin/error_401", 401)),
        itwin("error_404", stored("itwin/error_404", 404), stored("itwin/error_404", 404)),
        itwin("error_429", stored("itwin/error_429", 429, **limit)),
        itwin("contextcapture", stored("itwin/progress_contextcapture"), job["v1_active"], service=old),
        itwin("contextcapture_over", over, job["v1_success"], service=old),
        itwin("contextcapture_over_and_gone", over, service=old),
        itwin("v2_active", stored("itwin/progress_v2"), job["v2_active"], service=new),
        itwin("v2_queued", GONE, job["v2_queued"], service=new),
        itwin("v2_failed", GONE, job["v2_failed"], service=new),
        itwin("v2_success_alone", stored("itwin/progress_v2_success"), service=new),
        *map(itwin_word, words),
    ]


def sitecore(name: str, status: int = 200) -> Case:
    path = "/authoring/publishing/v1/jobs/job_41B25"
    return Case(f"sitecore/{name}", "jobs: [{id: job_41B25}]", {path: stored(f"sitecore/{name}", status)})


def names(folder: str, pattern: str = "*") -> list[str]:
    return sorted(file.stem for file in (DATA / folder).glob(f"{pattern}.json"))


def status_in(name: str) -> int:
    """Names such as ``v1_error_404`` end in the status that goes with the body."""
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdigit() and len(digits) == 3 else 200


CASES: list[Case] = [
    *map(caps, names("caps")),
    *codearts(),
    *(crafter(name, status_in(name)) for name in names("crafter") if name != "v1_moved_301"),
    *itwins(),
    *(sitecore(name, status_in(name)) for name in names("sitecore")),
]


def masked(page: str, began: float, ended: float) -> list[str]:
    """The sample lines of jobs and systems; what only the clock knows is masked if it can be right."""
    lines = []
    for line in page.splitlines():
        match = SAMPLE.fullmatch(line)
        if match is None or not match["name"].startswith("remote_job_") or "_exporter_" in match["name"]:
            continue
        value: Any = match["value"]
        if match["name"] == "remote_job_read_duration_seconds":
            value = "<seconds>" if 0 < float(value) < ended - began else value
        elif match["name"].endswith("_timestamp_seconds") and began - 0.01 < float(value) < ended + 0.01:
            value = "<now>"
        lines.append(f"{match['series']} {value}")
    return lines


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_page_shows_exactly_what_is_promised(case: Case, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        return case.answers.get(asked.path, GONE)

    began = time.time()
    async with vendor(answer) as plays, exporter(case.config(plays.url), tmp_path) as running:
        page = (await running.get("/metrics")).text
    shown = masked(page, began, time.time())
    assert shown == (EXPECTED / f"{case.name}.prom").read_text().splitlines()


def test_every_stored_answer_is_served_and_every_expected_page_is_compared() -> None:
    bodies = [told.body for case in CASES for told in case.answers.values()]
    files = [file for file in DATA.glob("*/*.json") if file.parent != EXPECTED]
    assert len(files) > 80
    assert [file for file in files if file.read_bytes() not in bodies] == []
    pages = {str(file.relative_to(EXPECTED).with_suffix("")) for file in EXPECTED.rglob("*.prom")}
    assert pages == {case.name for case in CASES}
