"""Collector, system and job record without sockets: the test answers, and turns the clock."""

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from exporter.collector.collector import Collector, UnlistedError
from exporter.collector.plan import Plan
from exporter.metrics.exposition import Format
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.model.job import Job, Kind, State, Status
from exporter.model.pacing import Rules
from exporter.providers.base import DiscoverKeys, Found, ListingEnd, Provider
from exporter.providers.sitecore import Sitecore, SitecoreDiscover
from exporter.runtime.compute import Compute
from exporter.upstream.reading import Counted, Listed, Outcome, Reading, Upstream
from tests.clock import FakeClock

RULES = Rules(min_interval=10, final_interval=600)
RUNNING = Status(State.RUNNING, raw="Running")


class FakeUpstream:
    """Answers at once, or once `answer` is set where ``slow``."""

    def __init__(self, clock: FakeClock, *, slow: bool = False) -> None:
        self.place: Mapping[str, str] = {"host": "fake"}
        self.compute = Compute()
        self.provider = cast("Provider", Sitecore(Sitecore.Options()))
        self.not_before = 0.0
        self.rate_limit_remaining: int | None = None
        self.results: dict[str, Status | Failure] = {}
        self.listing: Mapping[str, Found] | Failure = {}
        self.end = ListingEnd()
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.listed = asyncio.Event()
        self.listed.set()
        self.answer = asyncio.Event()
        self.takes = 0.0
        self._clock = clock
        if not slow:
            self.answer.set()

    async def read(self, job: Job, previous: Status | None, trace: object = None) -> Reading:
        self.asked.append(job.id)
        self.was_asked.set()
        await self.answer.wait()
        result = self.results.get(job.id, RUNNING)
        status, failure = (None, result) if isinstance(result, Failure) else (result, None)
        read_at = self._clock.time()
        self._clock.turn(self.takes)
        return Outcome(status, failure, read_at, 0.1)

    async def list_jobs(self, keys: DiscoverKeys, trace: object = None) -> Listed:
        self.asked.append("listing")
        await self.listed.wait()
        found, failure = ({}, self.listing) if isinstance(self.listing, Failure) else (self.listing, None)
        return Listed(found, failure, self._clock.time(), 0.1, end=self.end)

    async def count_jobs(self) -> Counted:
        self.asked.append("count")
        await self.answer.wait()
        return Outcome({State.RUNNING: 3}, None, self._clock.time(), 0.1)

    def hold_until(self, moment: float) -> None:
        self.not_before = max(self.not_before, moment)

    def credentials_expiry(self) -> float | None:
        return None


def job(keys: Mapping[str, str], name: str = "") -> Job:
    return Job("xmc", keys["id"], Kind.RUN, "sitecore", keys, name)


def plan(upstream: FakeUpstream, *ids: str, discover: DiscoverKeys | None = None, **more: object) -> Plan:
    more["discover"] = () if discover is None else (discover,)
    fields = {"key_names": frozenset({"id"}), "max_jobs": 100, "concurrency": 2, "labels": {}, **more}
    jobs = [job({"id": each}) for each in ids]
    return Plan(
        "xmc",
        "home",
        cast("Upstream", upstream),
        jobs,
        RULES,
        job=job,
        **fields,  # type: ignore[arg-type]
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1000.0)


@pytest.fixture
def upstream(clock: FakeClock) -> FakeUpstream:
    return FakeUpstream(clock)


@pytest.fixture
def collector(clock: FakeClock) -> Collector:
    return Collector(Instrumentation("0"), clock=clock)


async def scrape(collector: Collector, seconds: float = 60) -> dict[tuple[str, str], float]:
    """Value by metric and job of one scrape, of metrics with one series a job."""
    page = await collector.scrape(seconds, Format.TEXT)
    return {
        (sample.name, sample.labels.get("reason") or sample.labels.get("job_id", "")): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name.startswith("remote_job_") and "exporter" not in sample.name
    }


async def listed(collector: Collector) -> list[str]:
    """The ids of the jobs that service discovery names."""
    await collector.list_due(60)
    return [job.id for job in collector.jobs()]


async def test_a_job_is_asked_again_once_its_interval_has_passed(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    collector.replace([plan(upstream, "a")])
    for seconds, asked in ((0, 1), (9.9, 1), (0.2, 2), (10, 3)):
        clock.turn(seconds)
        assert (await scrape(collector))["remote_job_up", "a"] == 1
        assert len(upstream.asked) == asked


@pytest.mark.parametrize(("takes", "certain"), [(1.0, True), (3.0, False)])
async def test_an_end_that_is_certain_for_a_short_time_is_not_after_a_slow_read(
    takes: float, collector: Collector, upstream: FakeUpstream, clock: FakeClock, *, certain: bool
) -> None:
    collector.replace([plan(upstream, "a")])
    upstream.takes = takes
    await scrape(collector)
    clock.turn(10)
    upstream.takes, upstream.results["a"] = (
        0.0,
        Status(State.IDLE, unseen_end=State.SUCCEEDED, unseen_within=12.0),
    )
    samples = await scrape(collector)
    assert (("remote_job_last_success_timestamp_seconds", "a") in samples) is certain


async def test_two_scrapes_at_a_time_share_a_read(collector: Collector, clock: FakeClock) -> None:
    upstream = FakeUpstream(clock, slow=True)
    collector.replace([plan(upstream, "a")])
    scrapes = asyncio.gather(scrape(collector), scrape(collector))
    await upstream.was_asked.wait()
    upstream.answer.set()
    assert [samples["remote_job_up", "a"] for samples in await scrapes] == [1, 1]
    assert upstream.asked == ["a"]


async def test_a_result_after_the_deadline_is_that_of_the_next_scrape(
    collector: Collector, clock: FakeClock
) -> None:
    upstream = FakeUpstream(clock, slow=True)
    collector.replace([plan(upstream, "a")])
    late = await scrape(collector, seconds=0)
    assert (late["remote_job_up", "a"], late["remote_job_read_error_info", "deadline"]) == (0, 1)
    upstream.answer.set()
    await asyncio.sleep(0)
    clock.turn(60)
    assert (await scrape(collector))["remote_job_up", "a"] == 1
    assert upstream.asked == ["a"]
    await scrape(collector)
    assert upstream.asked == ["a", "a"]


async def test_a_read_that_nobody_waits_for_is_not_sent(collector: Collector, clock: FakeClock) -> None:
    upstream = FakeUpstream(clock, slow=True)
    collector.replace([plan(upstream, "a", "b", "c", concurrency=1)])
    gone = asyncio.create_task(collector.scrape(60, Format.TEXT))
    await upstream.was_asked.wait()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    upstream.answer.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert upstream.asked == ["a"]


async def test_a_rate_limit_of_the_system_holds_every_job_back(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    collector.replace([plan(upstream, "a", "b")])
    upstream.not_before = clock.now + 30
    held = await scrape(collector)
    assert (held["remote_job_up", "a"], held["remote_job_read_error_info", "rate_limited"]) == (0, 1)
    assert upstream.asked == []
    clock.turn(30)
    assert (await scrape(collector))["remote_job_up", "b"] == 1
    assert sorted(upstream.asked) == ["a", "b"]


async def test_a_failed_read_leaves_no_old_state(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    collector.replace([plan(upstream, "a")])
    assert ("remote_job_state_timestamp_seconds", "a") in await scrape(collector)
    upstream.results["a"] = Failure(Reason.CONNECT)
    clock.turn(10)
    samples = await scrape(collector)
    assert (samples["remote_job_up", "a"], samples["remote_job_read_error_info", "connect"]) == (0, 1)
    assert ("remote_job_state_timestamp_seconds", "a") not in samples


async def test_found_jobs_are_shown_and_go_with_the_listing(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    collector.replace([plan(upstream, discover=SitecoreDiscover())])
    upstream.listing = Failure(Reason.CONNECT)
    with pytest.raises(UnlistedError, match="xmc"):
        await listed(collector)
    upstream.listing = {each: Found({"id": each}, RUNNING, complete=True) for each in "ab"}
    clock.turn(10)
    assert await listed(collector) == ["a", "b"]
    upstream.listing = {"b": Found({"id": "b"}, RUNNING, complete=True)}
    clock.turn(10)
    samples = await scrape(collector)
    assert ("remote_job_up", "a") not in samples
    assert samples["remote_job_up", "b"] == 1
    assert set(upstream.asked) == {"listing"}


async def test_an_entry_that_cannot_be_read_costs_its_job_alone(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    good = {each: Found({"id": each}, RUNNING, complete=True) for each in "ab"}
    odd = Found({"id": "b"}, complete=True, failure=Failure(Reason.INVALID_RESPONSE, "state: odd"))
    collector.replace([plan(upstream, discover=SitecoreDiscover())])
    for listing, up in ((good, 1), ({**good, "b": odd}, 0), (good, 1)):
        upstream.listing = listing
        samples = await scrape(collector)
        assert (samples["remote_job_up", "a"], samples["remote_job_up", "b"]) == (1, up)
        assert samples.get(("remote_job_read_error_info", "invalid_response")) == (None if up else 1)
        assert (("remote_job_state_timestamp_seconds", "b") in samples) is bool(up)
        assert samples["remote_job_system_up", ""] == 1
        clock.turn(60)
    assert upstream.asked == ["listing"] * 3


async def test_a_reload_shows_the_failed_entry_of_the_last_listing(
    collector: Collector, upstream: FakeUpstream
) -> None:
    odd = Found({"id": "b"}, complete=True, failure=Failure(Reason.INVALID_RESPONSE, "state: odd"))
    upstream.listing = {"a": Found({"id": "a"}, RUNNING, complete=True), "b": odd}
    collector.replace([plan(upstream, discover=SitecoreDiscover(), max_jobs=1)])
    assert ("remote_job_up", "b") not in await scrape(collector)
    collector.replace([plan(upstream, discover=SitecoreDiscover())])
    assert (await scrape(collector))["remote_job_up", "b"] == 0
    assert upstream.asked == ["listing"]


async def test_values_that_are_left_out_are_logged_when_they_change(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "exporter.collector.record")
    collector.replace([plan(upstream, "a")])
    one, two = ("step: odd",), ("step: odd", "items: odd")
    for notes in ((), one, one, two, (), ()):
        upstream.results["a"] = replace(RUNNING, notes=notes)
        await scrape(collector)
        clock.turn(60)
    lines = [(line.message, getattr(line, "detail", "")) for line in caplog.records]
    assert lines == [
        ("values are left out", "step: odd"),
        ("values are left out", "step: odd; items: odd"),
        ("no value is left out any more", ""),
    ]
    assert {(line.system, line.job_id) for line in caplog.records} == {("xmc", "a")}  # type: ignore[attr-defined]


async def test_an_equal_plan_changes_nothing_and_another_one_moves_what_is_known(
    collector: Collector, upstream: FakeUpstream
) -> None:
    collector.replace([plan(upstream, "a", "b", counted=True)])
    before = await collector.scrape(60, Format.TEXT)
    collector.replace([plan(upstream, "a", "b", counted=True)])
    again = await collector.scrape(60, Format.TEXT)
    assert again.partition(b"# HELP remote_job_system")[0] == before.partition(b"# HELP remote_job_system")[0]
    collector.replace([plan(upstream, "b", "c", counted=True)])
    after = await scrape(collector)
    assert {series[1] for series in after if series[0] == "remote_job_up"} == {"b", "c"}
    assert sorted(upstream.asked) == ["a", "b", "c", "count"]
    collector.replace([])
    assert not any(series[1] for series in await scrape(collector))


async def test_a_probed_job_is_remembered_and_becomes_a_watched_one(
    collector: Collector, upstream: FakeUpstream
) -> None:
    collector.replace([plan(upstream, "a")])
    probe = await collector.probe([("system", "xmc"), ("id", "z")], 60)
    assert (probe.success, probe.why_not) == (True, None)
    collector.replace([plan(upstream, "a", "z")])
    assert (await scrape(collector))["remote_job_up", "z"] == 1
    assert sorted(upstream.asked) == ["a", "z"]


async def test_a_configured_job_is_read_once_though_the_listing_takes_longer_than_its_interval(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    upstream.listed.clear()
    collector.replace([plan(upstream, "a", discover=SitecoreDiscover())])
    waiting = asyncio.create_task(collector.scrape(60, Format.TEXT))
    await upstream.was_asked.wait()
    clock.turn(15)
    upstream.listed.set()
    assert b'why="fresh"} 0.0' in await waiting
    assert sorted(upstream.asked) == ["a", "listing"]


@pytest.mark.parametrize("discover", [None, SitecoreDiscover()])
async def test_a_job_that_a_listing_reported_is_read_by_itself_once_it_is_probed_or_configured(
    discover: SitecoreDiscover | None, collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    upstream.listing = {each: Found({"id": each}, RUNNING, complete=True) for each in "ab"}
    collector.replace([plan(upstream, discover=SitecoreDiscover())])
    await scrape(collector)
    collector.replace([plan(upstream, discover=SitecoreDiscover(), max_jobs=1)])
    clock.turn(60)
    assert (await collector.probe([("system", "xmc"), ("id", "b")], 60)).why_not is None
    assert upstream.asked.count("b") == 1
    collector.replace([plan(upstream, "b", discover=discover)])
    upstream.results["b"] = Failure(Reason.CONNECT)
    clock.turn(60)
    assert (await scrape(collector))["remote_job_up", "b"] == 0


async def test_a_listing_that_cannot_be_applied_fails_and_stops_no_reload(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    ended = Status(State.SUCCEEDED, final=True, ended_at="2024-01-01")  # type: ignore[arg-type]
    upstream.listing = {"b": Found({"id": "b"}, ended, complete=True)}
    collector.replace([plan(upstream, "a", discover=SitecoreDiscover.model_validate({"newer_than": "1m"}))])
    samples = await scrape(collector)
    assert (samples["remote_job_system_up", ""], samples["remote_job_up", "a"]) == (0, 1)
    collector.replace(
        [plan(upstream, "a", "c", discover=SitecoreDiscover.model_validate({"newer_than": "2m"}))]
    )
    clock.turn(60)
    assert (await scrape(collector))["remote_job_up", "c"] == 1


async def test_a_new_upstream_of_the_same_address_keeps_the_rate_limit(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    collector.replace([plan(upstream, "a")])
    upstream.hold_until(clock.now + 30)
    collector.replace([plan(again := FakeUpstream(clock), "a")])
    await scrape(collector)
    assert again.asked == []
