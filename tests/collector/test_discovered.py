"""Jobs that are found: a whole exporter against vendors whose listings come, go and misbehave."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from exporter.collector.record import JobRecord
from exporter.model.job import Status
from exporter.model.shard import Shard
from tests.clock import FakeClock
from tests.vendor import Asked, Samples, Told, exporter, read_samples, vendor
from tests.waiting import never

SITECORE = """systems:
  xmc:
    provider: sitecore
    base_url: {url}
    min_interval: 0s
    labels: {{squad: web}}
    discover: {{}}
"""
TWINS = """systems:
  twins:
    provider: itwin
    service: reality-modeling
    base_url: {url}
    min_interval: 0s
    discover: {{itwin_id: 3f0e8a4c-6f6e-4d3c-9c43-0d1c5a2f7b11}}
    max_jobs: 10000
"""
LISTING = "/authoring/publishing/v1/jobs"


def published(job_id: str, status: str = "Running", **system: Any) -> dict[str, Any]:
    times = {"finishTime": "2026-01-01T00:00:00Z"} if status in ("Completed", "Failed") else {}
    return {
        "id": job_id,
        "name": f"Job {job_id}",
        "system": {"status": status, "tenantId": "t", **times, **system},
    }


def listing(*jobs: dict[str, Any]) -> Told:
    return Told({"next": None, "data": list(jobs)})


def jobs(samples: Samples) -> set[str]:
    return {labels["job_id"] for labels, _ in samples.all("remote_job_up")}


async def test_found_jobs_come_and_go_with_the_listing_and_cost_no_second_call(tmp_path: Path) -> None:
    answers = iter(
        [
            listing(published("a"), published("b", "Queued")),
            listing(published("b"), published("c", "Completed")),
        ]
    )
    async with (
        vendor(lambda _: next(answers)) as xmc,
        exporter(SITECORE.format(url=xmc.url), tmp_path) as running,
    ):
        first = await running.scrape()
        assert {job: first.state(job) for job in jobs(first)} == {"a": "running", "b": "queued"}
        assert first.all("remote_job_up", job_id="a")[0][0]["squad"] == "web"
        assert first.all("remote_job_info", job_id="a")[0][0]["job_name"] == "Job a"
        second = await running.scrape()
        assert {job: second.state(job) for job in jobs(second)} == {"b": "running", "c": "succeeded"}
        assert second.get_one("remote_job_exporter_jobs", system="xmc") == 2
        assert len(xmc.asked) == 2


async def test_a_failed_listing_keeps_the_jobs_and_marks_the_system(tmp_path: Path) -> None:
    answers = iter([listing(published("a")), Told(status=500), listing(published("a"))])
    async with (
        vendor(lambda _: next(answers)) as xmc,
        exporter(SITECORE.format(url=xmc.url), tmp_path) as running,
    ):
        assert (await running.scrape()).get_one("remote_job_system_up", system="xmc") == 1
        broken = await running.scrape()
        assert broken.get_one("remote_job_system_up", system="xmc") == 0
        assert broken.get_one("remote_job_system_read_error_info", reason="server_error") == 1
        assert (broken.reason("a"), broken.state("a")) == ("server_error", None)
        mended = await running.scrape()
        assert mended.get_one("remote_job_system_up", system="xmc") == 1
        assert mended.state("a") == "running"


ENTRIES = """systems:
  ci:
    provider: json
    base_url: {url}
    min_interval: 0s
    read: {{path: "/jobs/{{id}}", state: s, states: {{succeeded: [ok], canceled: [aborted]}}, ended_at: end}}
    discover: {{path: /jobs, items: jobs, keys: {{id: id}}, state: s}}
"""


async def test_one_odd_value_of_an_entry_costs_that_value_and_an_odd_state_that_job(tmp_path: Path) -> None:
    good = [{"id": number, "s": "ok", "end": "2026-03-01T10:00:00Z"} for number in (1, 2, 3, 4)]
    odd = [*good[:2], {"id": 3, "s": "aborted", "end": "-"}, {**good[3], "s": ["ok"]}]
    pages = iter([Told({"jobs": good}), Told({"jobs": odd})])
    async with vendor(lambda _: next(pages)) as ci, exporter(ENTRIES.format(url=ci.url), tmp_path) as running:
        await running.scrape()
        samples = await running.scrape()
        assert [samples.state(each) for each in "1234"] == ["succeeded", "succeeded", "canceled", None]
        assert [samples.reason(each) for each in "1234"] == [None, None, None, "invalid_response"]
        ends = [samples.get_one("remote_job_end_timestamp_seconds", job_id=each) for each in "1234"]
        assert ends == [1772359200, 1772359200, None, None]
        assert samples.get_one("remote_job_system_up", system="ci") == 1


async def test_a_failed_run_outlives_the_listing_that_forgets_it(tmp_path: Path) -> None:
    answers = iter([listing(published("a", "Failed", finishTime=None), published("b")), listing(), listing()])
    async with (
        vendor(lambda _: next(answers)) as xmc,
        exporter(SITECORE.format(url=xmc.url), tmp_path) as running,
    ):
        await running.scrape()
        for _ in range(2):
            samples = await running.scrape()
            assert jobs(samples) == {"a"}
            assert samples.state("a") == "failed"


async def test_what_is_over_the_limit_is_counted_and_nothing_written_by_hand_is_lost(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        if urlsplit(asked.path).path == LISTING:
            return listing(*(published(f"j{number}") for number in range(30)))
        return Told(published(asked.path.rpartition("/")[2], "Queued"))

    text = SITECORE + "    max_jobs: 10\n    jobs: [{{id: j3, name: By hand}}, {{id: other}}]\n"
    async with vendor(answer) as xmc, exporter(text.format(url=xmc.url), tmp_path) as running:
        samples = await running.scrape()
        assert len(jobs(samples)) == 10
        assert {"j3", "other"} <= jobs(samples)
        assert samples.get_one("remote_job_system_jobs_dropped", system="xmc") == 21
        assert samples.all("remote_job_info", job_id="j3")[0][0]["job_name"] == "By hand"
        assert sum(1 for path in xmc.count() if path.endswith("/j3")) == 1


def twin(number: int, state: str) -> dict[str, Any]:
    return {
        "id": f"job-{number}",
        "name": f"Scan {number}",
        "type": "FillImageProperties",
        "state": state,
        "executionInfo": {
            "createdDateTime": "2026-01-01T00:00:00Z",
            "startedDateTime": "2026-01-01T00:01:00Z",
        },
    }


def scans(pages: int, size: int, running: int) -> Callable[[Asked], Told]:
    """An iTwin with so many jobs in so many pages, of which the first are running."""

    def answer(asked: Asked) -> Told:
        if asked.path.endswith("/progress"):
            return Told({"progress": {"percentage": 25, "state": "Active"}})
        page = int(parse_qs(urlsplit(asked.path).query).get("continuationToken", ["0"])[0])
        first = page * size
        found = [twin(n, "Active" if n < running else "Success") for n in range(first, first + size)]
        more = {
            "next": {"href": f"{asked.path.partition('&continuationToken')[0]}&continuationToken={page + 1}"}
        }
        return Told({"jobs": found, "_links": more if page + 1 < pages else {}})

    return answer


@pytest.mark.slow
async def test_thousands_of_jobs_take_one_call_a_page_and_one_a_running_job(tmp_path: Path) -> None:
    async with (
        vendor(scans(50, 100, 40)) as twins,
        exporter(TWINS.format(url=twins.url), tmp_path) as running,
    ):
        page = await running.get("/metrics", **{"X-Prometheus-Scrape-Timeout-Seconds": "50"})
        assert page.status_code == 200
        # Parsing all 135 000 samples takes most of the test's time; other tests parse whole pages.
        asserted = ("remote_job_up{", "remote_job_progress_ratio{")
        lines = page.text.splitlines(keepends=True)
        samples = read_samples("".join(line for line in lines if line.startswith(asserted)))
        assert len(samples.all("remote_job_up")) == 5000
        assert all(value == 1 for _, value in samples.all("remote_job_up"))
        assert samples.get_one("remote_job_progress_ratio", job_id="job-7") == 0.25
        assert len(twins.asked) == 50 + 40


async def test_a_listing_that_goes_round_in_circles_ends_with_a_clear_reason(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        page = parse_qs(urlsplit(asked.path).query).get("continuationToken", ["b"])[0]
        link = (
            asked.path.partition("&continuationToken")[0]
            + f"&continuationToken={'b' if page == 'a' else 'a'}"
        )
        return Told({"jobs": [twin(1, "Active")], "_links": {"next": {"href": link}}})

    async with vendor(answer) as twins, exporter(TWINS.format(url=twins.url), tmp_path) as running:
        samples = await running.scrape()
        assert samples.get_one("remote_job_system_read_error_info", reason="invalid_response") == 1
        assert len(twins.asked) < 10


async def test_a_late_listing_serves_the_next_scrape(tmp_path: Path) -> None:
    gate = asyncio.Event()
    slow = Told(listing(published("a")).body, after=gate.wait)
    async with vendor(lambda _: slow) as xmc, exporter(SITECORE.format(url=xmc.url), tmp_path) as running:
        assert jobs(await running.scrape(timeout=0.3)) == set()
        gate.set()
        await running.answered(1)
        assert (await running.scrape()).state("a") == "running"
        assert len(xmc.asked) == 1


async def test_the_systems_own_count_is_shown_by_our_states_and_only_while_it_is_known(
    tmp_path: Path,
) -> None:
    counts = iter([Told({"counts": {"queued": 2, "completed": 40, "failed": 1}}), Told(status=503)])

    def answer(asked: Asked) -> Told:
        return next(counts) if asked.path.endswith("/summary") else listing(published("a"))

    text = SITECORE + "    summary: true\n"
    async with vendor(answer) as xmc, exporter(text.format(url=xmc.url), tmp_path) as running:
        samples = await running.scrape()
        shown = {
            labels["state"]: value for labels, value in samples.all("remote_job_system_jobs", system="xmc")
        }
        assert {state: shown[state] for state in ("queued", "succeeded", "failed")} == {
            "queued": 2,
            "succeeded": 40,
            "failed": 1,
        }
        later = await running.scrape()
        assert later.all("remote_job_system_jobs") == []
        assert later.state("a") == "running"


async def test_the_systems_own_count_is_asked_and_shown_without_the_jobs_too(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told({"counts": {"queued": 2}})) as xmc,
        exporter((SITECORE + "    summary: true\n").format(url=xmc.url), tmp_path) as running,
    ):
        page = read_samples((await running.get("/metrics?jobs=false")).text)
        assert page.get_one("remote_job_system_jobs", system="xmc", state="queued") == 2
        assert [asked.path.rpartition("/")[2] for asked in xmc.asked] == ["summary"]


async def test_every_job_is_in_exactly_one_shard_found_or_written_by_hand(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        if asked.path.endswith("/summary"):
            return Told({"counts": {"queued": 2}})
        if urlsplit(asked.path).path == LISTING:
            return listing(*(published(f"found-{number}") for number in range(20)))
        return Told(published(asked.path.rpartition("/")[2], "Queued"))

    by_hand = ", ".join(f"{{id: hand-{number}}}" for number in range(20))
    text = SITECORE + f"    summary: true\n    jobs: [{by_hand}]\n".replace("{", "{{").replace("}", "}}")
    seen = []
    async with vendor(answer) as xmc:
        for index in range(3):
            async with exporter(text.format(url=xmc.url), tmp_path, shard=Shard(index, 3)) as running:
                samples = await running.scrape()
                info = samples.get_one("remote_job_exporter_shard_info", shard=str(index), shards="3")
                assert info == 1
                assert samples.get_one("remote_job_exporter_shards") == 3
                assert bool(samples.all("remote_job_system_jobs")) is (index == 0)
                assert f"shard {index} of 3" in (await running.get("/")).text
                seen.append(jobs(samples))
        reads = [path for path in xmc.count().elements() if "/hand-" in path]
    assert sum(len(each) for each in seen) == len(set().union(*seen)) == 40
    assert all(seen)
    assert len(reads) == len(set(reads)) == 20


RECIPE = """systems:
  ci:
    provider: json
    base_url: {url}
    min_interval: 0s
    final_interval: 10m
    read: {{path: "/job/{{id}}", state: s}}
    discover: {{path: /jobs, items: jobs, keys: {{id: id}}, interval: 500ms}}
"""


async def test_a_late_listing_hides_no_job_that_is_read_by_itself(tmp_path: Path) -> None:
    slow = False

    def answer(asked: Asked) -> Told:
        if asked.path == "/jobs":
            body = {"jobs": [{"id": "a"}]}
            return Told(body, after=never if slow else None)
        return Told({"s": "succeeded"})

    clock = FakeClock()
    async with vendor(answer) as ci, exporter(RECIPE.format(url=ci.url), tmp_path, clock=clock) as running:
        assert (await running.scrape()).state("a") == "succeeded"
        clock.turn(0.6)
        slow = True
        for _ in range(3):
            assert (await running.scrape(timeout=0.3)).state("a") == "succeeded"
        assert ci.count() == {"/jobs": 2, "/job/a": 1}


async def test_a_late_listing_does_not_hide_a_failed_run_that_it_has_forgotten(tmp_path: Path) -> None:
    listings = iter([listing(published("a", "Failed", finishTime=None)), listing()])
    late = Told(after=never)
    async with (
        vendor(lambda _: next(listings, late)) as xmc,
        exporter(SITECORE.format(url=xmc.url), tmp_path) as running,
    ):
        for _ in range(2):
            assert (await running.scrape()).state("a") == "failed"
        for _ in range(2):
            assert (await running.scrape(timeout=0.3)).state("a") == "failed"


async def test_an_error_of_ours_with_one_found_job_costs_that_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = JobRecord.apply_listed

    def broken(self: JobRecord, status: Status, read_at: float, seconds: float) -> None:
        if self.job.id == "b":
            raise RuntimeError("an error")
        whole(self, status, read_at, seconds)

    monkeypatch.setattr(JobRecord, "apply_listed", broken)
    jobs_listed = listing(published("a"), published("b"), published("c"))
    async with (
        vendor(lambda _: jobs_listed) as xmc,
        exporter(SITECORE.format(url=xmc.url), tmp_path) as running,
    ):
        samples = await running.scrape()
        assert [samples.state(job) for job in "abc"] == ["running", None, "running"]
        assert samples.reason("b") == "internal"


async def test_a_listing_keeps_its_pace_over_a_reload(tmp_path: Path) -> None:
    limited = Told(status=503, headers={"Retry-After": "60"})
    async with vendor(lambda _: limited) as xmc, exporter(SITECORE.format(url=xmc.url), tmp_path) as running:
        for _ in range(3):
            await running.scrape()
            await asyncio.to_thread(requests.post, running.url + "/-/reload", timeout=60)
        assert len(xmc.asked) == 1


async def test_a_listing_that_was_empty_is_looked_at_again_at_once(tmp_path: Path) -> None:
    text = RECIPE.replace("interval: 500ms", "interval: 10m, state: s")
    found = iter([[], [{"id": "a", "s": "failed"}]])
    async with (
        vendor(lambda _: Told({"jobs": next(found)})) as ci,
        exporter(text.format(url=ci.url), tmp_path) as one,
    ):
        await one.scrape()
        assert (await one.scrape()).state("a") == "failed"
