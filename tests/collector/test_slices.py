"""Listings of many jobs, applied in as many turns of the event loop as they need, without sockets."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.collector.choice import chosen
from exporter.collector.collector import Collector
from exporter.collector.discovery import MANY
from exporter.collector.system import JOBS_PER_STEP
from exporter.metrics.exposition import Format
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.model.job import State, Status
from exporter.providers.base import Found
from exporter.providers.sitecore import SitecoreDiscover
from exporter.runtime.compute import Turns
from tests.clock import FakeClock
from tests.collector.test_collector import FakeUpstream, plan

DISCOVER = SitecoreDiscover()
DONE = Status(State.SUCCEEDED, raw="Completed", final=True)


def listing(*ids: str, status: Status = DONE) -> Mapping[str, Found]:
    return {each: Found({"id": each}, status, complete=True) for each in ids}


def numbered(count: int, prefix: str = "job") -> tuple[str, ...]:
    return tuple(f"{prefix}-{number}" for number in range(count))


class Slow(FakeUpstream):
    """Its turns have time for one job only."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        looks = itertools.count()
        self.compute.turns = Turns(lambda: next(looks))


async def shown(collector: Collector) -> Counter[str]:
    """How often each job is on the page, with its reason and its label ``team``."""
    page = (await collector.scrape(60, Format.TEXT)).decode()
    return Counter(
        line.partition('job_id="')[2].partition("}")[0]
        for line in page.splitlines()
        if line.startswith(("remote_job_up{", "remote_job_read_failed{")) and "job_id" in line
    )


async def turns_until(done: Callable[[], bool]) -> int:
    """How many turns pass meanwhile."""
    for turn in itertools.count():
        if done():
            return turn
        await asyncio.sleep(0)
    raise AssertionError


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1000.0)


@pytest.fixture
def collector(clock: FakeClock) -> Collector:
    return Collector(Instrumentation("0"), clock=clock)


async def test_found_jobs_are_watched_and_dropped_in_many_turns(
    collector: Collector, clock: FakeClock
) -> None:
    upstream = Slow(clock)
    upstream.listing = listing(*numbered(50))
    collector.replace([plan(upstream, discover=DISCOVER)])
    first = asyncio.create_task(shown(collector))
    assert await turns_until(first.done) >= 50
    assert len(await first) == 50
    clock.turn(60)
    upstream.listing = listing(*numbered(50, "other"))
    second = asyncio.create_task(shown(collector))
    assert await turns_until(second.done) >= 100
    assert len(await second) == 50
    assert not (await first).keys() & (await second).keys()


async def test_a_listing_that_fails_shows_its_reason_in_many_turns(
    collector: Collector, clock: FakeClock
) -> None:
    upstream = Slow(clock)
    upstream.listing = listing(*numbered(50), status=replace(DONE, final=False))
    collector.replace([plan(upstream, discover=DISCOVER)])
    await shown(collector)
    clock.turn(60)
    upstream.listing = Failure(Reason.SERVER_ERROR)
    failing = asyncio.create_task(collector.scrape(60, Format.TEXT))
    assert await turns_until(failing.done) >= 50
    assert (await failing).count(b'reason="server_error"} 1') >= 50


async def test_a_listing_that_misses_the_deadline_shows_it_in_many_turns(
    collector: Collector, clock: FakeClock
) -> None:
    upstream = Slow(clock)
    upstream.listing = listing(*numbered(50), status=replace(DONE, final=False))
    collector.replace([plan(upstream, discover=DISCOVER)])
    await shown(collector)
    clock.turn(60)
    upstream.listed.clear()
    late = asyncio.create_task(collector.scrape(0, Format.TEXT))
    assert await turns_until(late.done) >= 50
    assert (await late).count(b'reason="deadline"} 1') >= 50
    upstream.listed.set()
    await shown(collector)


class Joining:
    """A scrape that waits for a listing whose jobs are read by themselves, and has joined some of them."""

    def __init__(self, collector: Collector, clock: FakeClock) -> None:
        self.jobs = 5 * JOBS_PER_STEP
        self.upstream = Slow(clock)
        self.upstream.answer.clear()
        self.upstream.listing = {each: Found({"id": each}) for each in numbered(self.jobs)}
        self.collector = collector

    async def begin(self) -> "asyncio.Task[Counter[str]]":
        self.collector.replace([plan(self.upstream, discover=DISCOVER, max_jobs=self.jobs)])
        scrape = asyncio.create_task(shown(self.collector))
        await turns_until(lambda: self.reads() > 0)
        return scrape

    def reads(self) -> int:
        return sum(record.is_being_read for record in self.collector.records())


async def test_scrapes_join_the_jobs_of_a_listing_in_steps_and_so_do_those_that_come_meanwhile(
    collector: Collector, clock: FakeClock
) -> None:
    joining = Joining(collector, clock)
    first = await joining.begin()
    second = asyncio.create_task(shown(collector))
    before, most = joining.reads(), 0
    while before < joining.jobs:
        await asyncio.sleep(0)
        before, most = joining.reads(), max(most, joining.reads() - before)
    assert most == JOBS_PER_STEP
    # Until the second one has joined them as well, which begins no read.
    for _ in range(100):
        await asyncio.sleep(0)
    joining.upstream.answer.set()
    assert [len(page) for page in await asyncio.gather(first, second)] == [joining.jobs] * 2


async def test_for_a_scrape_that_leaves_between_two_steps_no_further_job_is_read(
    collector: Collector, clock: FakeClock
) -> None:
    joining = Joining(collector, clock)
    scrape = await joining.begin()
    scrape.cancel()
    for _ in range(100):
        await asyncio.sleep(0)
    under_way = 2
    assert joining.reads() <= under_way
    joining.upstream.answer.set()
    await turns_until(lambda: joining.reads() == 0)
    assert len(joining.upstream.asked) <= 1 + under_way


async def test_of_many_jobs_those_to_watch_are_chosen_in_a_thread(
    collector: Collector, clock: FakeClock
) -> None:
    upstream = FakeUpstream(clock)
    upstream.listing = listing(*numbered(MANY + 1))
    collector.replace([plan(upstream, discover=DISCOVER, max_jobs=5)])
    assert len(await shown(collector)) == 5
    expected, _ = chosen(upstream.listing, {}, newer_than=[None], max_jobs=5, now=clock.time())
    assert len(expected) == 5


@given(st.integers(0, 70), st.booleans())
def test_a_reload_between_two_turns_loses_and_doubles_no_job(after: int, many: bool) -> None:  # noqa: FBT001
    async def reload() -> Counter[str]:
        clock = FakeClock(now=1000.0)
        collector, upstream = Collector(Instrumentation("0"), clock=clock), Slow(clock)
        upstream.listing = listing(*numbered(10, "old"))
        collector.replace([plan(upstream, discover=DISCOVER)])
        await shown(collector)
        clock.turn(60)
        upstream.listing = listing(*numbered(20))
        under_way = asyncio.create_task(shown(collector))
        for _ in range(after):
            await asyncio.sleep(0)
        collector.replace([plan(upstream, discover=DISCOVER, max_jobs=15 if many else 5)])
        await under_way
        # Without another listing: its last result is recent.
        return await shown(collector)

    page = asyncio.run(reload())
    assert set(page.values()) == {1}
    assert sorted(page) == sorted(f'job-{number}"' for number in range(15 if many else 5))
