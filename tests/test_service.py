"""A whole exporter, scraped over real sockets while its vendors behave and misbehave."""

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter.model.http import Request
from exporter.model.job import Job, State, Status
from exporter.providers.caps import Caps
from tests.clock import FakeClock
from tests.vendor import Asked, Told, caps, caps_config, exporter, read_samples, vendor
from tests.waiting import never, seen

EAGER = "defaults: {min_interval: 0s}\n"


async def test_a_job_is_read_when_scraped_and_only_then(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        assert docs.asked == []
        samples = await running.scrape()
        assert [asked.path for asked in docs.asked] == ["/v1/Projects/p/BuildJobs/0/properties?locale=en"]
        assert samples.state("p/0/en") == "succeeded"
        assert samples.get_one("remote_job_up", job_id="p/0/en") == 1
        assert samples.get_one("remote_job_items", job_id="p/0/en") == 10
        assert samples.get_one("remote_job_system_up", system="docs") == 1
        assert samples.get_one("remote_job_exporter_requests_total", system="docs", code="200") == 1


async def test_jobs_are_asked_side_by_side_up_to_the_limit(tmp_path: Path) -> None:
    gate = asyncio.Semaphore(0)
    async with (
        vendor(lambda _: Told(caps(), after=gate.acquire)) as docs,
        exporter("systems:\n" + caps_config(docs.url, 12, more="concurrency: 4"), tmp_path) as running,
    ):
        async with running.asking("/metrics") as body:
            for asked in range(4, 13):
                await docs.has_been_asked(asked)
                gate.release()
            for _ in range(3):
                gate.release()
            assert len(read_samples(await body()).all("remote_job_up")) == 12
        assert docs.most_at_once == 4
        assert len(docs.asked) == 12


async def test_one_hanging_system_leaves_the_others_complete_and_the_scrape_in_time(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(after=never)) as stuck,
        vendor(lambda _: Told(caps())) as docs,
        exporter(
            "systems:\n" + caps_config(stuck.url, 40, name="stuck") + caps_config(docs.url, 40),
            tmp_path,
            offset=2,
        ) as running,
    ):
        samples = await running.scrape(timeout=4)
        failures = "remote_job_exporter_request_failures_total"
        # The scrape ended by its own deadline: the reads that hang have not ended in any way.
        assert samples.get_one(failures, system="stuck", reason="timeout") == 0
        assert all(value == 1 for _, value in samples.all("remote_job_up", system="docs"))
        ups = samples.all("remote_job_up", system="stuck")
        assert [value for _, value in ups] == [0.0] * 40
        assert {labels["reason"] for labels, _ in samples.all("remote_job_read_error_info")} == {"deadline"}
        assert samples.all("remote_job_state", system="stuck") == []


async def test_an_unreachable_system_is_told_as_such_and_costs_no_time(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter(
            "systems:\n" + caps_config("http://127.0.0.1:1", name="gone") + caps_config(docs.url), tmp_path
        ) as one,
    ):
        samples = await one.scrape()
        assert samples.get_one("remote_job_read_error_info", system="gone", reason="connect") == 1
        assert samples.get_one("remote_job_up", system="docs") == 1


async def test_a_late_answer_serves_the_next_scrape_without_asking_again(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps("Running"), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        first = await running.scrape(timeout=0.3)
        assert first.reason("p/0/en") == "deadline"
        assert first.state("p/0/en") is None
        gate.set()
        await running.answered(1)
        second = await running.scrape()
        assert second.state("p/0/en") == "running"
        assert second.reason("p/0/en") is None
        assert len(docs.asked) == 1


async def test_overlapping_scrapes_share_one_read(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        vendor(lambda _: Told(caps())) as quick,
        exporter(
            EAGER + "systems:\n" + caps_config(docs.url, 3) + caps_config(quick.url, name="quick"), tmp_path
        ) as running,
    ):
        scrapes = []
        for begun in range(1, 5):
            scrapes.append(asyncio.create_task(running.scrape()))
            await running.answered(begun)  # by the quick system, which each scrape asks anew
        gate.set()
        pages = await asyncio.gather(*scrapes)
        assert len(docs.asked) == 3
        assert all(page.state("p/2/en") == "succeeded" for page in pages)


async def test_a_scraper_that_hangs_up_leaves_nothing_to_be_asked(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url, 20, more="concurrency: 2"), tmp_path) as running,
    ):
        async with running.asking("/metrics"):
            await docs.has_been_asked(2)
        gate.set()
        await running.answered(2)
        # Queued jobs would be asked before a job that nobody configured.
        await running.get("/probe?system=docs&project_id=p&build_job_id=other&locale=en")
        assert len(docs.asked) == 3
        assert "/other/" in docs.asked[2].path


async def test_the_job_longest_unread_goes_first_so_no_tail_starves(tmp_path: Path) -> None:
    gate = asyncio.Semaphore(0)
    async with (
        vendor(lambda _: Told(caps(), after=gate.acquire)) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url, 6, more="concurrency: 1"), tmp_path) as running,
    ):
        async with asyncio.timeout(60):
            while len(docs.asked) < 16:
                for _ in range(2):
                    gate.release()
                await running.scrape(timeout=0.15)
        asked = docs.count()
        assert len(asked) == 6
        assert max(asked.values()) - min(asked.values()) <= 1


async def test_a_job_asked_a_moment_ago_is_shown_and_not_asked_again(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url, 5), tmp_path, clock=FakeClock()) as running,
    ):
        first = await running.scrape()
        second = await running.scrape()
        assert len(docs.asked) == 5
        assert second.state("p/4/en") == "succeeded"
        read_at = "remote_job_read_timestamp_seconds"
        assert second.get_one(read_at, job_id="p/4/en") == first.get_one(read_at, job_id="p/4/en")
        assert second.get_one("remote_job_exporter_reads_skipped_total", system="docs", why="fresh") == 5


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (Told(status=401), "unauthorized"),
        (Told(status=403, body=b"no"), "forbidden"),
        (Told(status=404), "not_found"),
        (Told(status=410), "not_found"),
        (Told(status=429, body=b"<html>slow down</html>"), "rate_limited"),
        (Told(status=302, headers={"Location": "/elsewhere"}), "redirect"),
        (Told(status=418), "client_error"),
        (Told(status=503), "server_error"),
        (Told(body=b"<html>a login page</html>"), "invalid_response"),
        (Told(body=[1]), "invalid_response"),
        (Told(body=b'"' + b"x" * 1_100_000 + b'"'), "too_large"),
        (Told(body=b"[" * 100_000), "invalid_response"),
        (Told(body=b"9" * 10_000), "invalid_response"),
    ],
)
async def test_every_bad_answer_has_its_reason_and_shows_no_state(
    told: Told, reason: str, tmp_path: Path
) -> None:
    async with (
        vendor(lambda _: told) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        samples = await running.scrape()
        assert samples.reason("p/0/en") == reason
        assert samples.get_one("remote_job_up", job_id="p/0/en") == 0
        assert samples.state("p/0/en") is None
        failures = "remote_job_exporter_request_failures_total"
        assert samples.get_one(failures, system="docs", reason=reason) == 1
        assert len(docs.asked) == 1


async def test_a_read_that_fails_keeps_what_is_history_and_drops_what_is_state(tmp_path: Path) -> None:
    answers = iter([Told(caps(ended_at="2026-01-01T00:00:00Z")), Told(status=500), Told(caps("Running"))])
    async with (
        vendor(lambda _: next(answers)) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        await running.scrape()
        broken = await running.scrape()
        assert broken.get_one("remote_job_last_success_timestamp_seconds") == 1767225600
        assert broken.get_one("remote_job_items") is None
        assert (await running.scrape()).state("p/0/en") == "running"


async def test_a_refused_credential_marks_the_system_until_it_is_taken_again(tmp_path: Path) -> None:
    answers = iter([Told(status=401), Told(caps())])
    async with (
        vendor(lambda _: next(answers)) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        refused = await running.scrape()
        assert refused.get_one("remote_job_system_up", system="docs") == 0
        assert refused.get_one("remote_job_system_read_error_info", reason="unauthorized") == 1
        taken = await running.scrape()
        assert taken.get_one("remote_job_system_up", system="docs") == 1
        assert taken.all("remote_job_system_read_error_info") == []


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed_and_the_age_of_what_is_shown_can_be_seen(
    status: int, tmp_path: Path
) -> None:
    async with (
        vendor(lambda _: Told(status=status, headers={"Retry-After": "60"})) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url, 2), tmp_path) as running,
    ):
        first = await running.scrape()
        second = await running.scrape()
        assert len(docs.asked) == 2
        assert second.reason("p/0/en") == first.reason("p/0/en")
        assert second.get_one("remote_job_exporter_reads_skipped_total", why="pacing") == 2


async def test_a_rate_limit_of_the_whole_client_holds_every_job_of_the_system(tmp_path: Path) -> None:
    text = """systems:
  twins:
    provider: itwin
    service: reality-modeling
    base_url: {url}
    concurrency: 1
    min_interval: 0s
    jobs: [{{id: a}}, {{id: b}}, {{id: c}}]
"""
    answers = iter([Told({"progress": {"percentage": 5, "state": "Active"}})] * 1)

    def answer(_: Asked) -> Told:
        return next(answers, Told(status=429, headers={"Retry-After": "60"}))

    async with vendor(answer) as twins, exporter(text.format(url=twins.url), tmp_path) as running:
        await running.scrape()
        asked = len(twins.asked)
        samples = await running.scrape()
        assert len(twins.asked) == asked
        assert samples.state("a") == "running"


async def test_a_final_run_that_the_vendor_forgets_stays_as_it_ended(tmp_path: Path) -> None:
    job = {"id": "x", "name": "n", "source": "s", "options": {}, "permissions": {}}
    ended = {"status": "Completed", "tenantId": "t", "finishTime": "2026-01-01T00:00:00Z"}
    answers = iter([Told({**job, "system": ended})])
    text = """systems:
  xmc: {{provider: sitecore, base_url: "{url}", min_interval: 0s, final_interval: 0s, jobs: [{{id: x}}]}}
"""
    async with (
        vendor(lambda _: next(answers, Told(status=404))) as xmc,
        exporter(text.format(url=xmc.url), tmp_path) as running,
    ):
        assert (await running.scrape()).state("x") == "succeeded"
        later = await running.scrape()
        assert len(xmc.asked) == 2
        assert later.state("x") == "succeeded"
        assert later.get_one("remote_job_up", job_id="x") == 1


OAUTH = "auth: {{type: oauth2, token_url: '{url}/token', client_id: me, client_secret: hush}}"


def guarded(tokens: Any) -> Any:
    """A vendor whose jobs want the token that ``tokens`` gave last."""
    current = {"token": ""}

    def answer(asked: Asked) -> Told:
        if asked.path == "/token":
            told = next(tokens)
            current["token"] = told.body["access_token"] if told.status == 200 else ""
            return told  # type: ignore[no-any-return]
        if asked.headers.get("authorization") != f"Bearer {current['token']}":
            return Told(status=401)
        return Told(caps())

    return answer


async def test_one_token_is_fetched_however_many_reads_want_it(tmp_path: Path) -> None:
    gate = asyncio.Event()
    token = Told({"access_token": "t", "expires_in": 3600}, after=gate.wait)
    async with (
        vendor(guarded(iter([token]))) as docs,
        exporter(
            "systems:\n" + caps_config(docs.url, 50, more=OAUTH.format(url=docs.url)), tmp_path
        ) as running,
        running.asking("/metrics") as body,
    ):
        await docs.has_been_asked(1)
        gate.set()
        samples = read_samples(await body())
        assert docs.count()["/token"] == 1
        assert len(samples.all("remote_job_up")) == 50
        assert all(value == 1 for _, value in samples.all("remote_job_up"))


async def test_a_token_that_is_refused_is_renewed_once_and_the_read_goes_on(tmp_path: Path) -> None:
    tokens = iter(
        [Told({"access_token": "a", "expires_in": 3600}), Told({"access_token": "b", "expires_in": 3600})]
    )
    answer = guarded(tokens)
    async with (
        vendor(answer) as docs,
        exporter(
            EAGER + "systems:\n" + caps_config(docs.url, more=OAUTH.format(url=docs.url)), tmp_path
        ) as running,
    ):
        assert (await running.scrape()).state("p/0/en") == "succeeded"
        docs.answer = lambda asked: (
            Told(status=401) if asked.headers.get("authorization") == "Bearer a" else answer(asked)
        )
        samples = await running.scrape()
        assert samples.state("p/0/en") == "succeeded"
        assert docs.count()["/token"] == 2


async def test_a_token_that_cannot_be_had_is_asked_for_once_and_other_systems_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    no = Told({"error": "invalid_client", "error_description": "hush is wrong"}, status=401)
    both = "systems:\n{locked}{free}"
    with caplog.at_level(logging.INFO):
        async with (
            vendor(guarded(iter([no] * 5))) as docs,
            exporter(
                both.format(
                    locked=caps_config(docs.url, 100, name="locked", more=OAUTH.format(url=docs.url)),
                    free=caps_config(docs.url, name="free"),
                ),
                tmp_path,
            ) as running,
        ):
            docs.answer = lambda asked: no if asked.path == "/token" else Told(caps())
            samples = await running.scrape()
    assert docs.count()["/token"] == 1
    reasons = samples.all("remote_job_read_error_info", system="locked", reason="auth")
    assert len(reasons) == 100
    assert samples.get_one("remote_job_system_up", system="locked") == 0
    assert samples.get_one("remote_job_system_read_error_info", system="locked", reason="auth") == 1
    assert samples.get_one("remote_job_up", system="free") == 1
    assert samples.get_one("remote_job_exporter_request_failures_total", system="locked", reason="auth") == 1
    assert "hush" not in caplog.text


async def test_trouble_is_logged_when_it_begins_changes_and_ends_not_at_every_scrape(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    statuses = iter([500, 500, 404, 404, 200, 200])
    with caplog.at_level(logging.INFO):
        async with (
            vendor(lambda _: Told(caps(), status=next(statuses))) as docs,
            exporter(EAGER + "systems:\n" + caps_config(docs.url), tmp_path) as running,
        ):
            for _ in range(6):
                await running.scrape()
    told = [
        (record.message, getattr(record, "reason", None))
        for record in caplog.records
        if record.name == "exporter.collector.outages"
    ]
    assert told == [
        ("jobs cannot be read", "server_error"),
        ("read failures ended", "server_error"),
        ("jobs cannot be read", "not_found"),
        ("read failures ended", "not_found"),
    ]


async def test_a_scrape_under_way_finishes_when_the_exporter_stops(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def refuses() -> bool:
        with suppress(requests.exceptions.ConnectionError):
            await running.get("/-/healthy")
            return False
        return True

    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path, grace=60) as running,
    ):
        scrape = asyncio.create_task(running.scrape())
        await docs.has_been_asked(1)
        stopping = asyncio.create_task(running.service.stop())
        await seen(refuses, "the exporter stops listening")
        assert not stopping.done()
        gate.set()
        assert (await scrape).state("p/0/en") == "succeeded"
        await stopping


async def test_few_file_descriptors_are_left_to_the_reads_and_silent_clients_keep_no_scrape_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("exporter.runtime.descriptors.resource.getrlimit", lambda _: (64, 64))

    def text(url: str, concurrency: int) -> str:
        return "systems:\n" + caps_config(url, more=f"concurrency: {concurrency}")

    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter(text(docs.url, 20), tmp_path) as running,
        AsyncExitStack() as stack,
    ):
        port = int(running.url.rpartition(":")[2])
        for _ in range(40):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
        samples = await running.scrape()
        assert samples.get_one("remote_job_up", job_id="p/0/en") == 1
        dropped = "remote_job_exporter_connections_dropped_total"
        assert samples.get_one(dropped, reason="no_request") == 40 + 1 - 16
        assert samples.get_one(dropped, reason="refused") == 0
        (tmp_path / "config.yaml").write_text(text(docs.url, 26))
        await running.service.reload()
    few = [record.__dict__ for record in caplog.records if record.getMessage().startswith("few file")]
    assert [(each["connections"], each["for_systems"]) for each in few] == [(16, 24), (10, 30)]


async def test_requests_name_the_exporter_and_keep_their_connection(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter(
            EAGER + "systems:\n" + caps_config(docs.url, more="headers: {X-Team: docs}"), tmp_path
        ) as running,
    ):
        await running.scrape()
        await running.scrape()
        assert all(asked.headers["user-agent"].startswith("remote-job-exporter/") for asked in docs.asked)
        assert all(asked.headers["x-team"] == "docs" for asked in docs.asked)


async def test_a_job_slower_than_every_scrape_still_shows_what_it_answered(tmp_path: Path) -> None:
    gate = asyncio.Semaphore(0)
    async with (
        vendor(lambda _: Told(caps("Running"), after=gate.acquire)) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        for reads in (1, 2):
            late = await running.scrape(timeout=0.3)
            assert (late.state("p/0/en"), late.reason("p/0/en")) == (None, "deadline")
            gate.release()
            await running.answered(reads)
            assert (await running.scrape()).state("p/0/en") == "running"
        assert len(docs.asked) == 2


async def test_a_limit_of_the_whole_client_stops_what_is_queued_and_every_job_tells_why(
    tmp_path: Path,
) -> None:
    keys = ", ".join(f"{{id: j{number}}}" for number in range(40))
    text = """systems:
  twins:
    provider: itwin
    service: reality-modeling
    base_url: {url}
    concurrency: 2
    min_interval: 0s
    jobs: [{keys}]
"""
    limited = Told(status=429, headers={"iTwinPlatform-RateLimit-Retry-After-Seconds": "60"})
    async with (
        vendor(lambda _: limited) as twins,
        exporter(text.format(url=twins.url, keys=keys), tmp_path) as running,
    ):
        for _ in range(2):
            samples = await running.scrape()
            assert len(samples.all("remote_job_read_error_info", reason="rate_limited")) == 40
            assert len(twins.asked) <= 2


async def test_a_job_that_was_late_when_the_limit_came_does_not_stay_late(tmp_path: Path) -> None:
    text = """systems:
  twins: {{provider: itwin, service: reality-modeling, base_url: "{url}", concurrency: 1, min_interval: 0s,
    jobs: [{{id: a}}, {{id: b}}]}}
"""
    gate = asyncio.Event()
    limited = Told(status=429, headers={"Retry-After": "60"}, after=gate.wait)
    async with vendor(lambda _: limited) as twins, exporter(text.format(url=twins.url), tmp_path) as running:
        first = await running.scrape(timeout=0.3)
        assert {first.reason("a"), first.reason("b")} == {"deadline"}
        gate.set()
        await running.answered(1)
        second = await running.scrape()
        assert {second.reason("a"), second.reason("b")} == {"rate_limited"}


async def test_one_refused_job_among_others_marks_the_system(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        return Told(status=401) if "/0/" in asked.path else Told(caps())

    async with vendor(answer) as docs, exporter("systems:\n" + caps_config(docs.url, 5), tmp_path) as running:
        samples = await running.scrape()
        assert samples.get_one("remote_job_system_read_error_info", reason="unauthorized") == 1
        assert samples.state("p/4/en") == "succeeded"


async def test_an_error_of_ours_costs_one_job_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any, job: Job, __: Any) -> Any:
        if job.keys["build_job_id"] == "0":
            raise RuntimeError("an error")
        yield Request("/fine")
        return Status(State.IDLE)

    monkeypatch.setattr(Caps, "read", broken)
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url, 3), tmp_path) as running,
    ):
        for _ in range(3):
            samples = await running.scrape()
    assert samples.reason("p/0/en") == "internal"
    assert samples.state("p/1/en") == "idle"
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.exc_info is not None for record in told] == [True]
