"""Service discovery: which targets ``/sd`` names, and a real Prometheus that lives by it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from exporter.model.shard import Shard
from tests.clock import FakeClock
from tests.command import serving, until, vendor_beside
from tests.conftest import Program
from tests.prometheus import Prometheus, scraping, static
from tests.test_probe import listing, publishing, shard_of
from tests.vendor import Asked, Exporter, Told, caps, caps_config, exporter, read_samples, vendor


async def groups(running: Exporter, **headers: str) -> list[dict[str, Any]]:
    answer = await running.get("/sd", **headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    found: list[dict[str, Any]] = answer.json()
    return found


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [group["labels"]["instance"] for group in found]


async def ask(running: Exporter, head: str) -> tuple[int, bytes]:
    """Status and body of a request whose lines are written by hand."""
    host, _, port = running.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    raw = await reader.read()
    writer.close()
    return int(raw.split(b" ")[1]), raw.partition(b"\r\n\r\n")[2]


async def test_every_job_is_a_target_of_its_own_with_its_keys_as_parameters(tmp_path: Path) -> None:
    more = "labels: {squad: web}"
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url, 2, more=more), tmp_path) as running,
    ):
        host = running.url.removeprefix("http://")
        assert await groups(running) == [
            {
                "targets": [host],
                "labels": {
                    "__metrics_path__": "/probe",
                    "__param_system": "docs",
                    "__param_project_id": "p",
                    "__param_build_job_id": str(number),
                    "__param_locale": "en",
                    "instance": f"docs/p/{number}/en",
                },
            }
            for number in range(2)
        ]
        assert docs.asked == []


async def test_jobs_are_found_by_the_listing_as_pacing_allows(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(listing(("job_1", "Running"), ("job_2", "Queued")))) as xmc,
        exporter(publishing(xmc.url, "discover: {}"), tmp_path) as running,
    ):
        for _ in range(3):
            assert ids(await groups(running)) == ["xmc/job_1", "xmc/job_2"]
        assert len(xmc.asked) == 1
        assert (await running.scrape()).state("job_2") == "queued"
        assert len(xmc.asked) == 1


async def test_a_listing_that_only_names_jobs_reads_none_of_them(tmp_path: Path) -> None:
    sites = {"total": 1, "sites": [{"siteId": "corporate", "name": "Corporate"}]}
    config = "systems:\n  site: {provider: crafter, api: v1, discover: {sites: true}, base_url: '%s'}\n"
    async with vendor(lambda _: Told(sites)) as site, exporter(config % site.url, tmp_path) as running:
        assert ids(await groups(running)) == ["site/corporate"]
        assert len(site.asked) == 1


async def test_a_failed_listing_keeps_the_targets(tmp_path: Path) -> None:
    def answer(_: Asked) -> Told:
        return Told(listing(("job_1", "Running"))) if len(xmc.asked) == 1 else Told(status=500)

    async with (
        vendor(answer) as xmc,
        exporter("defaults: {min_interval: 0s}\n" + publishing(xmc.url, "discover: {}"), tmp_path) as running,
    ):
        for _ in range(3):
            assert ids(await groups(running)) == ["xmc/job_1"]
        assert len(xmc.asked) == 3
        page = read_samples((await running.get("/metrics?jobs=false")).text)
        assert page.get_one("remote_job_system_up", system="xmc") == 0


async def test_prometheus_keeps_its_targets_until_each_listing_has_succeeded_once(tmp_path: Path) -> None:
    broken = True

    def answer(_: Asked) -> Told:
        return Told(status=500) if broken else Told(listing(("job_1", "Running")))

    async with vendor(answer) as xmc:
        config = publishing(xmc.url, "discover: {}") + caps_config("http://127.0.0.1:1")
        async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
            for _ in range(2):
                answer_ = await running.get("/sd")
                text = "some systems have not been listed yet: xmc; try again later\n"
                assert (answer_.status_code, answer_.text) == (503, text)
                clock.turn(20)
            broken = False
            assert ids(await groups(running)) == ["xmc/job_1", "docs/p/0/en"]
            broken = True
            clock.turn(20)
            assert ids(await groups(running)) == ["xmc/job_1", "docs/p/0/en"]


async def test_after_five_minutes_the_systems_that_could_be_listed_are_served_and_the_log_names_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with vendor(lambda _: Told(status=500)) as xmc:
        config = publishing(xmc.url, "discover: {}") + caps_config("http://127.0.0.1:1")
        async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
            clock.turn(1000)  # nobody has asked yet
            assert (await running.get("/sd")).status_code == 503
            clock.turn(299)
            assert (await running.get("/sd")).status_code == 503
            clock.turn(2)
            for _ in range(3):
                assert ids(await groups(running)) == ["docs/p/0/en"]
            warned = [vars(record) for record in caplog.records if "service discovery" in record.message]
            assert [record["systems"] for record in warned] == ["xmc"]


async def test_a_listing_that_is_not_read_in_time_is_no_reason_to_forget_its_targets(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with vendor(lambda _: Told(listing(("job_1", "Running")), after=gate.wait)) as xmc:
        config = publishing(xmc.url, "discover: {}") + caps_config("http://127.0.0.1:1")
        async with exporter(config, tmp_path) as running:
            patient = asyncio.create_task(running.get("/sd"))
            answer = await running.get("/sd", **{"X-Prometheus-Refresh-Interval-Seconds": "0.4"})
            assert not patient.done()
            assert (answer.status_code, answer.text) == (
                503,
                "some systems have not been listed yet: xmc; try again later\n",
            )
            gate.set()
            assert (await patient).status_code == 200
            assert ids(await groups(running)) == ["xmc/job_1", "docs/p/0/en"]
            assert len(xmc.asked) == 1


async def test_each_job_is_a_target_of_exactly_one_shard(tmp_path: Path) -> None:
    config = "systems:\n" + caps_config("http://127.0.0.1:1", 20)
    found: list[str] = []
    for index in range(3):
        async with shard_of(config, tmp_path, Shard(index, 3)) as running:
            own = ids(await groups(running))
            assert own
            found += own
    assert sorted(found) == sorted(f"docs/p/{number}/en" for number in range(20))


@pytest.mark.parametrize(
    "host",
    ["exporter", "exporter:10072", "exporter.monitoring.svc:80", "127.0.0.1:1", "[::1]:10072", "[fe80::1]"],
)
async def test_the_target_is_the_host_that_was_asked(host: str, tmp_path: Path) -> None:
    async with exporter("systems:\n" + caps_config("http://127.0.0.1:1"), tmp_path) as running:
        status, body = await ask(running, f"GET /sd HTTP/1.1\r\nHost: {host}")
        assert status == 200
        assert json.loads(body)[0]["targets"] == [host]


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a/b",
        "user@host",
        "host:port",
        "host:123456",
        "::1",
        "[::1",
        "[::1%25eth0]",
        "host?x",
        "<script>",
        "hôst",
        '"',
        "a,b",
        "x" * 300,
    ],
)
async def test_a_host_that_is_none_is_refused(host: str, tmp_path: Path) -> None:
    async with exporter("systems:\n" + caps_config("http://127.0.0.1:1"), tmp_path) as running:
        status, body = await ask(running, f"GET /sd HTTP/1.1\r\nHost: {host}")
        assert (status, b"targets" in body) == (400, False)


@pytest.mark.parametrize("found", [False, True], ids=["by hand", "discovered"])
def test_prometheus_finds_the_jobs_and_probes_each_into_the_series_of_the_page_of_all(
    program: Program, tmp_path: Path, *, found: bool
) -> None:
    path = program("prometheus", "prometheus")
    states = (("job_1", "Running"), ("job_2", "Queued"), ("job_3", "Failed"))

    def answer(asked: Asked) -> Told:
        if "/jobs?" in asked.path:
            return Told(listing(*states))
        job = asked.path.rpartition("/")[2]
        return Told({"id": job, "system": {"status": dict(states)[job], "name": f"Näme {job}"}})

    by_hand = "jobs: [{id: job_1, name: 'One', labels: {squad: web}}, {id: job_2}, {id: job_3}]"
    with vendor_beside(answer) as xmc:
        config = tmp_path / "config.yaml"
        # Nothing changes between the probes and the scrape that they are compared with.
        config.write_text(
            "defaults: {min_interval: 5m}\n"
            + publishing(xmc.url, "discover: {}" if found else by_hand).rstrip()
            + "\n    labels: {owner: publishing}\n"
        )
        with serving(tmp_path / "exporter", config) as (_, address):
            sd: dict[str, object] = {
                "job_name": "probes",
                "http_sd_configs": [{"url": f"{address}/sd", "refresh_interval": "1s"}],
            }
            targets = [sd, static("all", address)]
            with scraping(path, tmp_path / "prometheus", targets) as prometheus:
                until(lambda: len(prometheus.query("remote_job_up == 1")) == 6, "three jobs in two ways")
                until(lambda: len(prometheus.query("probe_success == 1")) == 3, "three probes")
                assert len(prometheus.query("probe_duration_seconds")) == 3
                places = {labels["instance"] for labels, _ in prometheus.query('up{job="probes"}')}
                assert places == {"xmc/job_1", "xmc/job_2", "xmc/job_3"}
                probes, whole = stored(prometheus, "probes"), stored(prometheus, "all")
        assert len(probes) > 50
        assert probes == whole
        assert len(xmc.asked) == (1 if found else 3)


def stored(prometheus: Prometheus, job: str) -> dict[frozenset[tuple[str, str]], float]:
    """Every series of jobs, without where it was scraped."""
    ours = f'{{job="{job}", __name__=~"remote_job_.+", job_id!=""}}'
    place = {"job", "instance"}
    return {
        frozenset((name, value) for name, value in labels.items() if name not in place): value
        for labels, value in prometheus.query(ours)
    }
