"""One job by ``/probe``, over real sockets: what it shows, whom it asks, and what it refuses."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.collector import collector, probed
from exporter.model.shard import Shard
from exporter.service import Options, Service
from tests.vendor import Asked, Exporter, Samples, Told, caps, caps_config, exporter, read_samples, vendor

EAGER = "defaults: {min_interval: 0s}\n"


def probe_of(job: str, *, system: str = "docs", **more: str) -> str:
    return "/probe?" + urlencode(
        {"system": system, "project_id": "p", "build_job_id": job, "locale": "en", **more}
    )


async def probe(running: Exporter, job: str, **more: str) -> Samples:
    answer = await running.get(probe_of(job, **more))
    assert answer.status_code == 200, answer.text
    return read_samples(answer.text)


def of_jobs(samples: Samples, job_id: str) -> Samples:
    return Samples({key: value for key, value in samples.items() if ("job_id", job_id) in key[1]})


def run(status: str) -> dict[str, object]:
    """A job of Sitecore."""
    return {"id": "job_1", "system": {"status": status}}


def publishing(url: str, more: str = "jobs: [{id: job_1}]") -> str:
    return f"systems:\n  xmc:\n    provider: sitecore\n    base_url: {url}\n    {more}\n"


def listing(*jobs: tuple[str, str]) -> dict[str, object]:
    return {"data": [{"id": job, "system": {"status": status}} for job, status in jobs]}


@asynccontextmanager
async def shard_of(text: str, folder: Path, shard: Shard) -> AsyncIterator[Exporter]:
    file = folder / "config.yaml"
    file.write_text(text)
    service = Service(file, Options(listen=("127.0.0.1:0",), shutdown_timeout=1, shard=shard))
    await service.start()
    try:
        yield Exporter(service)
    finally:
        await service.stop()


async def test_a_probe_shows_what_a_scrape_shows_of_the_job_and_how_it_went(tmp_path: Path) -> None:
    more = "labels: {squad: web}"
    async with (
        vendor(lambda _: Told(caps("Running", job_progress=0.4))) as docs,
        exporter("systems:\n" + caps_config(docs.url, 2, more=more), tmp_path) as running,
    ):
        began = time.monotonic()
        samples = await probe(running, "1")
        took = time.monotonic() - began
        assert len(docs.asked) == 1
        whole = await running.scrape()
        assert of_jobs(whole, "p/1/en") == of_jobs(samples, "p/1/en")
        assert samples.get_one("remote_job_up", system="docs", job_id="p/1/en", squad="web") == 1
        assert samples.get_one("probe_success") == 1
        assert 0 < (samples.get_one("probe_duration_seconds") or 0) < took
        assert {name for (name, labels) in samples if ("job_id", "p/1/en") not in labels} == {
            "probe_success",
            "probe_duration_seconds",
        }


async def test_a_job_that_no_config_names_is_read_too_and_stays_off_the_page_of_all(tmp_path: Path) -> None:
    more = "labels: {squad: web}"
    async with (
        vendor(lambda _: Told(caps("Failed"))) as docs,
        exporter("systems:\n" + caps_config(docs.url, more=more), tmp_path) as running,
    ):
        samples = await probe(running, "other")
        assert samples.state("p/other/en") == "failed"
        assert samples.get_one("remote_job_up", system="docs", squad="web") == 1
        whole = await running.scrape()
        assert of_jobs(whole, "p/other/en") == {}
        assert whole.get_one("remote_job_exporter_jobs", system="docs") == 1


async def test_a_job_that_cannot_be_read_is_a_probe_without_success(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(status=404)) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        samples = await probe(running, "gone")
        assert (samples.get_one("probe_success"), samples.reason("p/gone/en")) == (0, "not_found")
        assert samples.get_one("remote_job_up") == 0


async def test_both_formats_and_gzip_are_as_on_the_page_of_all(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        accept = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
        answer = await running.get(probe_of("0"), **accept)
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert answer.headers["Content-Encoding"] == "gzip"
        families = {family.name for family in parse_openmetrics(answer.text)}
        assert {"remote_job_state", "probe_success", "probe_duration_seconds"} <= families
        plain = await running.get(probe_of("0"), **{"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_probes_and_scrapes_at_once_share_one_read(tmp_path: Path) -> None:
    gate = asyncio.Semaphore(0)
    async with (
        vendor(lambda _: Told(caps(), after=gate.acquire)) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):

        async def at_once(*paths: str) -> list[Samples]:
            async with AsyncExitStack() as stack:
                bodies = [await stack.enter_async_context(running.asking(path)) for path in paths]
                gate.release()
                return [read_samples(await body()) for body in bodies]

        *probes, whole = await at_once(*[probe_of("0")] * 3, "/metrics")
        assert len(docs.asked) == 1
        others = await at_once(*[probe_of("other")] * 3)
        assert len(docs.asked) == 2
    assert whole.state("p/0/en") == "succeeded"
    assert all(one.get_one("probe_success") == 1 for one in (*probes, *others))


@pytest.mark.parametrize("job", ["0", "other"])
@pytest.mark.parametrize("status", [200, 500])
async def test_a_job_asked_a_moment_ago_is_not_asked_again(status: int, job: str, tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps(), status)) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        first = await probe(running, job)
        second = await probe(running, job)
        assert len(docs.asked) == 1
        assert of_jobs(second, f"p/{job}/en") == of_jobs(first, f"p/{job}/en")
        assert second.get_one("probe_success") == first.get_one("probe_success")
        whole = await running.scrape()
        skipped = whole.get_one("remote_job_exporter_reads_skipped_total", system="docs", why="fresh")
        assert (skipped or 0) >= 1


@pytest.mark.parametrize("job", ["job_1", "job_2"])
async def test_a_run_that_has_ended_for_good_is_not_asked_again(job: str, tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(run("Completed"))) as xmc,
        exporter(EAGER + publishing(xmc.url), tmp_path) as running,
    ):
        for _ in range(3):
            samples = read_samples((await running.get(f"/probe?system=xmc&id={job}")).text)
            assert samples.state(job) == "succeeded"
        assert len(xmc.asked) == 1


async def test_a_429_with_retry_after_holds_for_probes_too(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(status=429, headers={"Retry-After": "60"})) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        for _ in range(3):
            assert (await probe(running, "x")).reason("p/x/en") == "rate_limited"
        assert len(docs.asked) == 1


async def test_what_is_known_is_bounded_however_many_jobs_are_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probed, "MAX_PROBED", 3)
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        await probe(running, "first")
        for number in range(10, 13):
            await probe(running, str(number))
        asked = len(docs.asked)
        # The newest three are remembered, so pacing holds for them; the first is forgotten.
        for number in range(10, 13):
            await probe(running, str(number))
        assert len(docs.asked) == asked
        await probe(running, "first")
        assert len(docs.asked) == asked + 1
        await probe(running, "11")  # was used after 10, which had to go
        assert len(docs.asked) == asked + 1


async def test_what_is_written_by_hand_counts_also_for_a_job_of_another_shard(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs:
        config = "systems:\n" + caps_config(docs.url, 8).replace(
            "locale: en}", "locale: en, name: By hand, labels: {squad: web}, expect: {run_within: 1h}}"
        )
        async with shard_of(config, tmp_path, Shard(1, 2)) as running:
            whole = await running.scrape()
            shown = {labels["job_id"] for labels, _ in whole.all("remote_job_up")}
            elsewhere = next(number for number in range(8) if f"p/{number}/en" not in shown)
            samples = await probe(running, str(elsewhere))
            assert samples.get_one("remote_job_info", job_name="By hand", squad="web") == 1
            assert samples.get_one("remote_job_expected_seconds", expectation="run_within") == 3600


async def test_keys_with_slashes_do_not_pass_for_another_job(tmp_path: Path) -> None:
    def config(url: str) -> str:
        return "systems:\n" + caps_config(url).replace("project_id: p", "project_id: p/q")

    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        first = await running.get("/probe?system=docs&project_id=p&build_job_id=q/0&locale=en")
        assert read_samples(first.text).get_one("probe_success") == 1
        assert [asked.path for asked in docs.asked] == [
            "/v1/Projects/p%2Fq/BuildJobs/0/properties?locale=en",
            "/v1/Projects/p/BuildJobs/q%2F0/properties?locale=en",
        ]


async def test_a_job_that_a_listing_tells_whole_is_not_asked_itself(tmp_path: Path) -> None:
    found = "discover: {}"
    async with (
        vendor(lambda _: Told(listing(("job_1", "Running"), ("job_2", "Queued")))) as xmc,
        exporter(EAGER + publishing(xmc.url, found), tmp_path) as running,
    ):
        await running.scrape()
        samples = read_samples((await running.get("/probe?system=xmc&id=job_2")).text)
        assert (samples.state("job_2"), samples.get_one("probe_success")) == ("queued", 1)
        assert samples.all("remote_job_up", job_id="job_1") == []
        assert len(xmc.asked) == 2
        assert all("/jobs?" in asked.path for asked in xmc.asked)


async def test_a_listing_is_read_for_a_probe_only_as_pacing_allows(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(listing(("job_1", "Running")))) as xmc,
        exporter(publishing(xmc.url, "discover: {}"), tmp_path) as running,
    ):
        await running.scrape()
        for _ in range(3):
            assert read_samples((await running.get("/probe?system=xmc&id=job_1")).text).state("job_1")
        assert len(xmc.asked) == 1


async def test_a_job_that_leaves_the_listing_is_asked_itself(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        if "/jobs?" not in asked.path:
            return Told(run("Canceling"))
        return Told(listing(("job_1", "Running")) if len(xmc.asked) == 1 else listing())

    async with (
        vendor(answer) as xmc,
        exporter(EAGER + publishing(xmc.url, "discover: {}"), tmp_path) as running,
    ):
        assert (await running.scrape()).state("job_1") == "running"
        samples = read_samples((await running.get("/probe?system=xmc&id=job_1")).text)
        assert samples.state("job_1") == "canceling"
        assert len(xmc.asked) == 3


async def test_a_probed_job_that_is_found_later_keeps_its_past(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        return Told(listing(("job_1", "Running")) if "/jobs?" in asked.path else run("Queued"))

    async with vendor(answer) as xmc, exporter(publishing(xmc.url, "discover: {}"), tmp_path) as running:
        probed_ = read_samples((await running.get("/probe?system=xmc&id=job_1")).text)
        whole = await running.scrape()
        assert (probed_.state("job_1"), whole.state("job_1")) == ("queued", "running")
        since = "remote_job_watched_since_timestamp_seconds"
        assert whole.get_one(since, job_id="job_1") == probed_.get_one(since, job_id="job_1")


async def test_a_probe_ends_before_its_deadline_and_says_so(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps("Running"), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        answer = await running.get(probe_of("x"), **{"X-Prometheus-Scrape-Timeout-Seconds": "0.4"})
        samples = read_samples(answer.text)
        assert (samples.get_one("probe_success"), samples.reason("p/x/en")) == (0, "deadline")
        gate.set()
        await running.answered(1)
        assert (await probe(running, "x")).state("p/x/en") == "running"
        assert len(docs.asked) == 1


async def test_a_prober_that_hangs_up_leaves_nothing_to_be_asked(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url, more="concurrency: 1"), tmp_path) as running,
    ):
        for job in "abc":
            async with running.asking(probe_of(job)):
                await docs.has_been_asked(1)
        gate.set()
        # Queued jobs would be asked before this one.
        await probe(running, "d")
        assert [one.path.split("/")[5] for one in docs.asked] == ["a", "d"]


async def test_probes_of_jobs_that_nobody_configured_wait_behind_those_that_are(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url, 2, more="concurrency: 1"), tmp_path) as running,
        AsyncExitStack() as stack,
    ):
        paths = (*map(probe_of, "abc"), "/metrics")
        bodies = [await stack.enter_async_context(running.asking(path)) for path in paths]
        gate.set()
        for body in bodies:
            await body()
        assert [one.path.split("/")[5] for one in docs.asked] == ["a", "0", "1", "b", "c"]


async def test_only_probes_of_too_many_jobs_that_are_not_watched_are_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "MAX_PROBES", 2)
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
        AsyncExitStack() as stack,
    ):
        # Probes of one job are one; the job 0 is watched.
        waiting = [await stack.enter_async_context(running.asking(probe_of(job))) for job in "abab0"]
        refused = await running.get(probe_of("c"))
        text = "too many probes of jobs that are not watched; try again later\n"
        assert (refused.status_code, refused.text) == (503, text)
        gate.set()
        assert [read_samples(await body()).get_one("probe_success") for body in waiting] == [1] * 5
        assert (await probe(running, "c")).get_one("probe_success") == 1


KEYS = "project_id, build_job_id, locale"
BAD = {
    "": ["system: is missing; allowed: docs, xmc"],
    "system=": ["system: is not configured; allowed: docs, xmc"],
    "system=DOCS": ["system: is not configured; allowed: docs, xmc"],
    "system=xmc": ["id: is missing: id of the publishing job"],
    "system=xmc&id=": ["id: must not be empty"],
    "system=xmc&id=..": [
        "id: must not be . or .., nor have these between / or \\, which would change the path"
    ],
    "system=xmc&id=..%2F..%2Fadmin": [
        "id: must not be . or .., nor have these between / or \\, which would change the path"
    ],
    "system=xmc&id=a%5C.": [
        "id: must not be . or .., nor have these between / or \\, which would change the path"
    ],
    "system=xmc&id=%252e%252e%252fa": [
        "id: must not be . or .., nor have these between / or \\, which would change the path"
    ],
    "system=xmc&id=%2e": [
        "id: must not be . or .., nor have these between / or \\, which would change the path"
    ],
    "system=xmc&id=a%0d%0ab": ["id: must not contain control characters"],
    "system=xmc&id=" + "x" * 513: ["id: is longer than 512 characters"],
    "system=xmc&id=a&id=a": ["id: is given more than once; allowed is once"],
    "system=xmc&system=xmc&id=a": ["system: is given more than once; allowed is once"],
    "system=xmc&id=a&target=b": ["target: unknown parameter; allowed: system, debug, id"],
    "system=xmc&id=a&ID=b": ["ID: unknown parameter; allowed: system, debug, id"],
    "system=xmc&id=a&%3Csesame%3E=b": ["?: unknown parameter; allowed: system, debug, id"],
    "system=xmc&id=a&base_url=http://sesame/": ["base_url: unknown parameter; allowed: system, debug, id"],
    "system=xmc&id=a&debug=yes": ["debug: allowed are true and false"],
    "system=xmc&id=a&debug=": ["debug: allowed are true and false"],
    "system=docs&project_id=p&build_job_id=b&locale=.&x=1": [
        f"x: unknown parameter; allowed: system, debug, {KEYS}",
        "locale: must not be . or .., nor have these between / or \\, which would change the path",
    ],
    "system=xmc&id=%ff": ["the query cannot be read: allowed are up to 50 parameters in UTF-8"],
    "&".join(f"a{number}=1" for number in range(51)): [
        "the query cannot be read: allowed are up to 50 parameters in UTF-8"
    ],
}


async def test_what_names_no_job_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as one:
        config = "systems:\n" + caps_config(one.url) + publishing(one.url).removeprefix("systems:\n")
        async with exporter(config, tmp_path) as running:
            for query, lines in BAD.items():
                answer = await running.get(f"/probe?{query}")
                assert answer.status_code == 400, query
                assert answer.headers["Content-Type"].startswith("text/plain")
                told = answer.text.splitlines()
                assert [line[: len(wanted)] for line, wanted in zip(told, lines, strict=True)] == lines
                assert "sesame" not in answer.text
            assert one.asked == []


async def test_after_a_reload_only_what_is_configured_now_can_be_probed(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as old, vendor(lambda _: Told(caps("Running"))) as new:
        file = tmp_path / "config.yaml"
        async with exporter("systems:\n" + caps_config(old.url), tmp_path) as running:
            assert (await probe(running, "x")).state("p/x/en") == "succeeded"
            file.write_text("systems:\n" + caps_config(old.url, more="labels: {squad: web}"))
            await running.service.reload()
            assert (await probe(running, "x")).get_one("remote_job_up", squad="web") == 1
            assert len(old.asked) == 1  # the same job at the same place: what is known of it holds
            file.write_text("systems:\n" + caps_config(new.url))
            await running.service.reload()
            assert (await probe(running, "x")).state("p/x/en") == "running"
            file.write_text("systems:\n" + caps_config(new.url, name="other"))
            await running.service.reload()
            refused = await running.get(probe_of("x"))
            assert (refused.status_code, refused.text) == (
                400,
                "system: is not configured; allowed: other\n",
            )
            assert (len(old.asked), len(new.asked)) == (1, 1)


@pytest.mark.parametrize(
    "reload", [lambda text: text, lambda _: "systems:\n" + caps_config("http://127.0.0.1:1")]
)
async def test_a_reload_while_a_probe_waits_leaves_it_an_answer(
    reload: Callable[[str], str], tmp_path: Path
) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url, more="concurrency: 1"), tmp_path) as running,
        AsyncExitStack() as stack,
    ):
        jobs = ("0", "x", "y")
        bodies = [await stack.enter_async_context(running.asking(probe_of(job))) for job in jobs]
        file = tmp_path / "config.yaml"
        file.write_text(reload(file.read_text()))
        await running.service.reload()
        gate.set()
        pages = [read_samples(await body()) for body in bodies]
        same = reload("") == ""
        assert [page.get_one("probe_success") for page in pages] == [same] * 3
        assert len(docs.asked) == (3 if same else 1)
