"""Reloads of a system whose jobs are found: none is lost, none is shown twice, none forgets its past."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import requests
import yaml
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from exporter.collector.collector import Collector
from exporter.collector.plan import Plan
from exporter.providers.base import Counting
from exporter.providers.sitecore import Sitecore
from tests.clock import FakeClock
from tests.collector.test_discovered import listing, published
from tests.vendor import Asked, Exporter, Samples, Told, exporter, read_samples, vendor, with_provider

pytestmark = pytest.mark.slow

JOBS = ["a", "b", "c", "d"]
SINCE = "remote_job_watched_since_timestamp_seconds"


def since(samples: Samples) -> dict[str, float]:
    """Since when each job has been watched, by its id; no job twice."""
    found = [(labels["job_id"], value) for labels, value in samples.all(SINCE)]
    assert len(found) == len(dict(found)), f"a job is shown twice: {found}"
    return dict(found)


async def reload(running: Exporter) -> None:
    answer = await asyncio.to_thread(requests.post, running.url + "/-/reload", timeout=30)
    assert answer.status_code == 200, answer.text


async def targets(running: Exporter) -> set[str] | None:
    """The ids of the jobs that service discovery names; `None` while it does not know them all."""
    answer = await running.get("/sd")
    if answer.status_code == 503:
        return None
    names = [group["labels"]["instance"] for group in answer.json()]
    assert len(names) == len(set(names))
    return {name.partition("/")[2] for name in names}


def answer_to(asked: Asked) -> Told:
    """Every listing names the same two jobs, which go on for ever."""
    path = asked.path.partition("?")[0]
    if path.endswith("/publishing/v1/jobs"):
        return listing(published("a"), published("b", "Queued"))
    if path.endswith("/list"):
        found = [{"id": f"{name:0>32}", "job_name": name, "last_build_status": "blue"} for name in "ab"]
        return Told({"jobs": found, "total": 2})
    if "get-per-user" in path or path.endswith("/sites"):
        return Told({"total": 2, "sites": [{"siteId": name, "name": name} for name in "ab"]})
    if path in ("/jobs", "/runs"):
        found = [{"id": name, "key": name, "s": "running"} for name in "ab"]
        return Told({"jobs": found, "runs": found})
    if path.startswith("/job"):
        return Told({"s": "running"})
    if "itwinid" in asked.path.lower():
        found = [{"id": name, "name": name, "type": "T", "state": "Active"} for name in "ab"]
        return Told({"jobs": found, "_links": {}})
    return Told({"status": "ready", "state": "Active", "progress": {"percentage": 1, "state": "Active"}})


JSON = "provider: json\nread: {path: '/job/{id}', state: s}"
FOUND = "{path: /jobs, items: jobs, keys: {id: id}, interval: 1m%s}"
GUID = "3f0e8a4c-6f6e-4d3c-9c43-0d1c5a2f7b1"
CHANGES = {
    "sitecore newer_than": ("provider: sitecore", "{newer_than: 7d}", "{newer_than: 1d}"),
    "sitecore without newer_than": ("provider: sitecore", "{newer_than: 7d}", "{}"),
    "sitecore statuses": ("provider: sitecore", "{}", "{statuses: [Running, Queued]}"),
    "sitecore sources": ("provider: sitecore", "{}", "{sources: [Pages]}"),
    "itwin itwin_id": (
        "provider: itwin\nservice: reality-modeling",
        f"{{itwin_id: {GUID}1}}",
        f"{{itwin_id: {GUID}2}}",
    ),
    "itwin newer_than": (
        "provider: itwin\nservice: reality-modeling",
        f"{{itwin_id: {GUID}1, newer_than: 7d}}",
        f"{{itwin_id: {GUID}1, newer_than: 1d}}",
    ),
    "codearts project_id": (
        "provider: codearts",
        f"{{project_id: '{1:0>32}'}}",
        f"{{project_id: '{2:0>32}'}}",
    ),
    "crafter interval": ("provider: crafter\napi: v1", "{sites: true}", "{sites: true, interval: 5m}"),
    "crafter username": ("provider: crafter\napi: v1", "{sites: true}", "{sites: true, username: me}"),
    "json path": (JSON, FOUND % "", "{path: /runs, items: runs, keys: {id: id}, interval: 1m}"),
    "json keys": (JSON, FOUND % "", "{path: /jobs, items: jobs, keys: {id: key}, interval: 1m}"),
    "json items": (JSON, FOUND % "", "{path: /jobs, items: runs, keys: {id: id}, interval: 1m}"),
    "json interval": (JSON, FOUND % "", "{path: /jobs, items: jobs, keys: {id: id}, interval: 5m}"),
    "json state": (JSON, FOUND % "", FOUND % ", state: s"),
    "json without state": (JSON, FOUND % ", state: s", FOUND % ""),
    "json paging": (JSON, FOUND % "", FOUND % ", paging: {header: link}"),
    "json newer_than": (JSON, FOUND % ", newer_than: 7d", FOUND % ", newer_than: 1d"),
}


@pytest.mark.parametrize(("system", "before", "after"), CHANGES.values(), ids=CHANGES.keys())
async def test_a_changed_discover_loses_no_job(system: str, before: str, after: str, tmp_path: Path) -> None:
    async with vendor(answer_to) as ci:

        def config(discover: str) -> str:
            keys = "\n".join(f"    {line}" for line in system.splitlines())
            return f"systems:\n  ci:\n{keys}\n    base_url: {ci.url}\n    discover: {discover}\n"

        clock = FakeClock()
        async with exporter(config(before), tmp_path, clock=clock) as running:
            known = since(await running.scrape())
            assert len(known) == 2
            (tmp_path / "config.yaml").write_text(config(after))
            clock.turn(20)
            await reload(running)
            found = await targets(running)
            samples = await running.scrape()
            assert since(samples) == known
            assert found == set(known) == await targets(running)
            assert samples.get_one("remote_job_exporter_jobs", system="ci") == 2
            for job in await asyncio.to_thread(lambda: requests.get(f"{running.url}/sd", timeout=30).json()):
                keys = {
                    name.removeprefix("__param_"): value
                    for name, value in job["labels"].items()
                    if name.startswith("__param_")
                }
                page = await asyncio.to_thread(requests.get, f"{running.url}/probe", keys, timeout=30)
                assert read_samples(page.text).get_one(SINCE) in known.values()


async def test_a_hand_written_job_that_the_listing_names_stays_when_it_is_removed(tmp_path: Path) -> None:
    async with vendor(answer_to) as xmc:
        config = f"systems:\n  xmc:\n    provider: sitecore\n    base_url: {xmc.url}\n    discover: {{}}\n"
        clock, by_hand = FakeClock(), "    jobs: [{id: a, name: By hand, labels: {squad: web}}]\n"
        async with exporter(config + by_hand, tmp_path, clock=clock) as running:
            known = since(await running.scrape())
            (tmp_path / "config.yaml").write_text(config)
            clock.turn(1)  # no listing is due yet
            await reload(running)
            asked = len(xmc.asked)
            samples = await running.scrape()
            assert (since(samples), await targets(running)) == (known, {"a", "b"})
            assert len(xmc.asked) == asked
            ((labels, _),) = samples.all("remote_job_info", job_id="a")
            assert (labels["job_name"], "squad" in labels) == ("Job a", False)


async def test_a_found_job_is_read_by_itself_once_it_is_written_by_hand(tmp_path: Path) -> None:
    async with vendor(lambda asked: answer_to(asked) if "?" in asked.path else Told(published("a"))) as xmc:
        config = f"systems:\n  xmc:\n    provider: sitecore\n    base_url: {xmc.url}\n    discover: {{}}\n"
        async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
            known = since(await running.scrape())
            (tmp_path / "config.yaml").write_text(config + "    jobs: [{id: a}]\n")
            clock.turn(20)
            await reload(running)
            assert since(await running.scrape()) == known
            assert xmc.count()["/authoring/publishing/v1/jobs/a"] == 1


async def test_an_outage_at_the_reload_hides_no_job(tmp_path: Path) -> None:
    broken = False
    async with vendor(lambda asked: Told(status=500) if broken else answer_to(asked)) as xmc:
        config = (
            f"systems:\n  xmc:\n    provider: sitecore\n    base_url: {xmc.url}\n    discover: {{{{{{}}}}}}\n"
        )
        async with exporter(config.format("newer_than: 7d"), tmp_path, clock=FakeClock()) as running:
            known = since(await running.scrape())
            broken = True
            (tmp_path / "config.yaml").write_text(config.format("statuses: [Running, Queued]"))
            await reload(running)
            assert since(await running.scrape()) == known
            assert await targets(running) is None


async def test_the_count_of_a_system_keeps_its_pace_over_a_reload(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        return Told({"counts": {"queued": 1}}) if asked.path.endswith("/summary") else answer_to(asked)

    async with vendor(answer) as xmc:
        config = (
            f"systems:\n  xmc: {{provider: sitecore, base_url: '{xmc.url}', summary: true, discover: {{}}}}\n"
        )
        async with exporter(config, tmp_path, clock=FakeClock()) as running:
            for _ in range(3):
                samples = await running.scrape()
                assert samples.get_one("remote_job_system_jobs", state="queued") == 1
                await reload(running)
            assert xmc.count()["/authoring/publishing/v1/jobs/summary"] == 1


FINISHED = "remote_job_runs_finished_total"


@pytest.mark.parametrize("reads", [0, 1], ids=["first read", "later read"])
async def test_a_read_that_ends_while_its_job_is_not_configured_is_shown_when_it_is_again(
    reads: int, tmp_path: Path
) -> None:
    gate, status = asyncio.Event(), "Running"

    def answer(asked: Asked) -> Told:
        if "?" in asked.path:
            return listing(published("n"))
        return Told(published("x", status), after=gate.wait)

    async with vendor(answer) as xmc:
        config = f"systems:\n  xmc:\n    provider: sitecore\n    base_url: {xmc.url}\n    discover: {{}}\n"
        by_hand = config + "    jobs: [{id: x}]\n"
        async with exporter(by_hand, tmp_path, clock=(clock := FakeClock())) as running:
            if reads:
                gate.set()
                await running.scrape()
                gate.clear()
                clock.turn(20)
                status = "Failed"
            async with running.asking("/metrics") as page:
                await xmc.has_been_asked(2 + 2 * reads)
                (tmp_path / "config.yaml").write_text(config)
                await reload(running)
                gate.set()
                await page()
            (tmp_path / "config.yaml").write_text(by_hand)
            await reload(running)
            samples = await running.scrape()
            assert set(since(samples)) == {"n", "x"} == await targets(running)
            assert samples.state("x") == status.lower()
            assert samples.get_one(FINISHED, job_id="x", result="failed") == reads


async def test_a_job_that_is_probed_while_it_is_not_configured_is_one_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named, status = ["a"], 200

    def answer(asked: Asked) -> Told:
        if "?" in asked.path:
            return listing(*map(published, named))
        return Told(published(asked.path.rpartition("/")[2]), status=status)

    async with vendor(answer) as xmc:
        config = f"systems:\n  xmc:\n    provider: sitecore\n    base_url: {xmc.url}\n    discover: {{}}\n"
        by_hand = config + "    jobs: [{id: x}]\n"
        async with exporter(by_hand, tmp_path, clock=(clock := FakeClock())) as running:
            known = since(await running.scrape())
            (tmp_path / "config.yaml").write_text(config)
            await reload(running)
            status = 500
            clock.turn(20)
            page = read_samples((await running.get("/probe?system=xmc&id=x")).text)
            assert (since(page), page.reason("x")) == ({"x": known["x"]}, "server_error")
            named.append("x")
            clock.turn(20)
            for _ in range(2):
                samples = await running.scrape()
                assert (since(samples), samples.reason("x")) == (known, None)
            assert (
                read_samples((await running.get("/probe?system=xmc&id=x")).text).get_one("probe_success") == 1
            )
            assert not [record for record in caplog.records if record.message == "jobs cannot be read"]


async def test_a_failed_run_that_the_listing_forgot_survives_a_reload_and_its_reverse(tmp_path: Path) -> None:
    there = {"a": "Running", "f": "Failed"}
    ended = datetime.now(UTC) - timedelta(minutes=30)

    def answer(_: Asked) -> Told:
        at = {"finishTime": f"{ended:%Y-%m-%dT%H:%M:%SZ}"}
        return listing(*(published(job, status, **at) for job, status in there.items()))

    async with vendor(answer) as xmc:
        config = f"systems:\n  xmc:\n    provider: sitecore\n    base_url: {xmc.url}\n    discover: {{}}\n"
        async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
            known = since(await running.scrape())
            del there["f"]
            clock.turn(20)
            assert since(await running.scrape()) == known
            for text, shown in ((config + "    max_jobs: 1\n", {"a"}), (config, {"a", "f"})):
                (tmp_path / "config.yaml").write_text(text)
                await reload(running)
                assert set(since(await running.scrape())) == shown
            assert since(await running.scrape()) == known


async def test_a_reload_gives_up_no_listing_that_it_does_not_change(tmp_path: Path) -> None:
    gate = asyncio.Event()
    found = Told(listing(published("a")).body, after=gate.wait)
    async with vendor(lambda _: found) as xmc:

        def config(squad: str) -> str:
            keys = f"provider: sitecore, base_url: '{xmc.url}', discover: {{}}, labels: {{squad: {squad}}}"
            return f"systems:\n  xmc: {{{keys}}}\n"

        async with exporter(config("ops"), tmp_path, clock=FakeClock()) as running:
            async with running.asking("/metrics") as page:
                await xmc.has_been_asked(1)
                for squad in ("web", "docs"):
                    (tmp_path / "config.yaml").write_text(config(squad))
                    await reload(running)
                gate.set()
                samples = read_samples(await page())
            assert [labels["squad"] for labels, _ in samples.all("remote_job_up", job_id="a")] == ["docs"]
            assert len(xmc.asked) == 1


class Faulty(Sitecore):
    """A plug-in whose count of jobs fails at once."""

    name = "faulty"

    def summary(self) -> Counting | None:
        """Fails."""
        raise RuntimeError("hunter2")


async def test_a_config_with_a_plug_in_that_fails_changes_nothing(tmp_path: Path) -> None:
    async with vendor(answer_to) as xmc:
        job = f"base_url: '{xmc.url}', discover: {{}}"
        good = f"systems:\n  a: {{provider: sitecore, {job}}}\n  z: {{provider: sitecore, {job}}}\n"
        registry = with_provider(Faulty)
        async with exporter(good, tmp_path, clock=FakeClock(), registry=registry) as running:
            before = await running.scrape()
            (tmp_path / "config.yaml").write_text(good + f"  b: {{provider: faulty, {job}}}\n")
            refused = await asyncio.to_thread(requests.post, running.url + "/-/reload", timeout=60)
            assert refused.status_code == 500
            assert "systems.b: could not be set up (RuntimeError)" in refused.text
            after = await running.scrape()
            systems = {dict(labels).get("system") for _, labels in after}
            assert systems == {"a", "z", None}
            assert after.all(SINCE) == before.all(SINCE)


@pytest.mark.parametrize("path", ["/metrics", "/metrics?jobs=false", "/probe?system=xmc&id=a", "/sd"])
async def test_a_config_that_never_stops_changing_does_not_hold_a_scrape_beyond_its_deadline(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replacing, configs = Collector.replacing, list[Sequence[Plan]]()

    def keep(self: Collector, plans: Sequence[Plan]) -> Iterator[None]:
        configs.append(plans)
        return replacing(self, plans)

    monkeypatch.setattr(Collector, "replacing", keep)
    gate = asyncio.Event()
    keys = "provider: sitecore, summary: true, discover: {newer_than: 1d}, min_interval: 0s"
    async with vendor(lambda _: Told(after=gate.wait)) as xmc:
        config = f"systems:\n  xmc: {{{keys}, base_url: '{xmc.url}'}}\n"
        async with exporter(config, tmp_path) as running, asyncio.timeout(60):
            loop, changing = asyncio.get_running_loop(), True

            def change() -> None:
                # Other plans, though they are equal.
                for _ in replacing(running.service.collector, [replace(plan) for plan in configs[0]]):
                    pass
                if changing:
                    loop.call_soon(change)

            change()
            headers = ("X-Prometheus-Scrape-Timeout-Seconds", "X-Prometheus-Refresh-Interval-Seconds")
            response = await running.get(path, **dict.fromkeys(headers, "1"))
            changing = False
            assert response.status_code == (503 if path == "/sd" else 200)
            gate.set()


class Reloads(RuleBasedStateMachine):
    """Any sequence of reloads, listings, outages, probes and scrapes of one system."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        # Clients wait in threads, and must leave some for the exporter.
        self.loop.set_default_executor(ThreadPoolExecutor(32))
        self.stack = AsyncExitStack()
        self.folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.clock = FakeClock()
        self.there = {"a": "Running", "b": "Queued"}
        self.working = True
        self.named: set[str] | None = None
        """What the last listing under the present filter named; `None` until there is one."""
        self.discover: dict[str, Any] | None = {}
        self.by_hand: dict[str, str] = {}
        self.known: dict[str, float] = {}
        self.vendor, self.running = self.wait(self.start())

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def start(self) -> tuple[Any, Exporter]:
        self.vendor = await self.stack.enter_async_context(vendor(self.answer))
        running = exporter(self.config(), self.folder, clock=self.clock)
        return self.vendor, await self.stack.enter_async_context(running)

    def answer(self, asked: Asked) -> Told:
        path, _, query = asked.path.partition("?")
        if not self.working:
            return Told(status=503)
        if query:
            wanted = re.search(r"system\.status=([^&]*)", query)
            if wanted is None or "Running" in wanted[1]:
                self.named = set(self.there)
            return listing(*(published(job, status) for job, status in self.there.items()))
        job = path.rpartition("/")[2]
        return Told(published(job, self.there[job])) if job in self.there else Told(status=404)

    def config(self) -> str:
        system: dict[str, Any] = {"provider": "sitecore", "base_url": self.vendor.url}
        if self.discover is not None:
            system["discover"] = self.discover
        jobs = [{"id": job, "labels": {"squad": squad}} for job, squad in self.by_hand.items()]
        if jobs or self.discover is None:
            system["jobs"] = jobs or [{"id": "z"}]
        return yaml.safe_dump({"systems": {"xmc": system}})

    @rule(
        discover=st.sampled_from(
            [
                {},
                {"newer_than": "7d"},
                {"newer_than": "1d"},
                {"statuses": ["Running", "Queued"]},
                {"sources": ["Pages"]},
                None,
            ]
        ),
        by_hand=st.dictionaries(st.sampled_from(JOBS), st.sampled_from(["web", "docs"]), max_size=3),
    )
    def change_the_config(self, discover: dict[str, Any] | None, by_hand: dict[str, str]) -> None:
        if _scope(discover) != _scope(self.discover):
            self.named = None
        if discover is None:  # what it does not name is gone, and comes anew
            self.known = {job: at for job, at in self.known.items() if job in by_hand}
        self.discover, self.by_hand = discover, by_hand
        (self.folder / "config.yaml").write_text(self.config())
        self.wait(reload(self.running))

    @rule(there=st.dictionaries(st.sampled_from(JOBS), st.sampled_from(["Running", "Queued"])))
    def change_what_is_there(self, there: dict[str, str]) -> None:
        self.there = there

    @rule()
    def break_or_mend_the_vendor(self) -> None:
        self.working = not self.working

    @rule(seconds=st.sampled_from([0.0, 1.0, 15.0, 300.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.turn(seconds)

    @rule(job=st.sampled_from(JOBS), times=st.integers(1, 3))
    def do_all_at_once(self, job: str, times: int) -> None:
        async def all_at_once() -> None:
            paths = ["/metrics", f"/probe?system=xmc&id={job}", "/sd", "/metrics?jobs=false"] * times
            answers = await asyncio.gather(reload(self.running), *map(self.running.get, paths))
            assert all(each is None or each.status_code in (200, 503) for each in answers)

        self.wait(all_at_once())

    @precondition(lambda self: self.working)
    @invariant()
    def all_pages_agree_and_no_job_has_lost_its_past(self) -> None:
        page = self.wait(self.running.scrape())
        shown = since(page)
        by_hand = set(self.by_hand) or ({"z"} if self.discover is None else set[str]())
        assert page.get_one("remote_job_exporter_jobs", system="xmc") == len(shown)
        if self.discover is None:
            assert set(shown) == by_hand
        elif self.named is not None:
            assert set(shown) == by_hand | self.named
        found = self.wait(targets(self.running))
        assert found is None or found == set(shown)
        kept = self.known.keys() & shown.keys()
        assert {job: self.known[job] for job in kept} == {job: shown[job] for job in kept}
        self.known = shown
        squads = {labels["job_id"]: labels.get("squad") for labels, _ in page.all(SINCE)}
        assert {job: squads[job] for job in self.by_hand} == self.by_hand

    def teardown(self) -> None:
        self.wait(self.stack.aclose())
        self.wait(self.loop.shutdown_default_executor())
        self.loop.close()


def _scope(discover: Mapping[str, Any] | None) -> object:
    return None if discover is None else {key: discover[key] for key in discover if key != "newer_than"}


# A failure is found quickly and shrunk slowly: each example starts an exporter.
Reloads.TestCase.settings = settings(
    max_examples=10, stateful_step_count=12, phases=[Phase.explicit, Phase.generate], deadline=None
)
TestReloads: Callable[[], Any] = pytest.mark.slow(Reloads.TestCase)
