"""Scrapes of the same moment: what they share, and what each keeps for itself."""

import asyncio
from typing import Any

import pytest

from exporter.collector import gathering
from exporter.collector.collector import Collector
from exporter.metrics.exposition import Format, Row, render_row
from exporter.metrics.instrumentation import Instrumentation
from exporter.providers.sitecore import SitecoreDiscover
from tests.clock import FakeClock
from tests.collector.test_collector import FakeUpstream, plan


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1000.0)


@pytest.fixture
def upstream(clock: FakeClock) -> FakeUpstream:
    return FakeUpstream(clock, slow=True)


@pytest.fixture
def collector(clock: FakeClock, upstream: FakeUpstream) -> Collector:
    made = Collector(Instrumentation("0"), clock=clock)
    made.replace([plan(upstream, "a", "b", concurrency=1)])
    return made


def scrape(collector: Collector, seconds: float = 60) -> asyncio.Task[bytes]:
    return asyncio.create_task(collector.scrape(seconds, Format.TEXT))


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def ups(page: bytes) -> list[bytes]:
    """The values of the jobs a and b."""
    return [line[-1:] for line in page.splitlines() if line.startswith(b"remote_job_up{")]


async def test_a_scrape_that_shares_reads_keeps_its_own_deadline(
    collector: Collector, upstream: FakeUpstream
) -> None:
    short, long = scrape(collector, 0), scrape(collector)
    page = await short
    assert ups(page) == [b"0", b"0"]
    assert page.count(b'reason="deadline"} 1') == 2
    upstream.answer.set()
    assert ups(await long) == [b"1", b"1"]
    assert upstream.asked == ["a", "b"]


async def test_reads_end_with_the_last_scrape_that_waits_and_not_before(
    collector: Collector, upstream: FakeUpstream
) -> None:
    first, *others = [scrape(collector) for _ in range(3)]
    await upstream.was_asked.wait()
    first.cancel()
    upstream.answer.set()
    assert [ups(page) for page in await asyncio.gather(*others)] == [[b"1", b"1"]] * 2
    assert upstream.asked == ["a", "b"]


async def test_reads_that_no_scrape_waits_for_any_more_are_not_sent(
    collector: Collector, upstream: FakeUpstream
) -> None:
    scrapes = [scrape(collector) for _ in range(3)]
    await upstream.was_asked.wait()
    for each in scrapes:
        each.cancel()
    await turns()
    upstream.answer.set()
    await turns()
    assert upstream.asked == ["a"]


async def test_a_scrape_reads_what_has_become_due_since_another_began(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    collector.replace([plan(upstream, "a", discover=SitecoreDiscover())])
    upstream.answer.set()
    upstream.listed.clear()
    first = scrape(collector)
    await turns()
    assert upstream.asked == ["listing", "a"]
    clock.turn(10)
    second = scrape(collector)
    await turns()
    assert upstream.asked == ["listing", "a", "a"]
    upstream.listed.set()
    await asyncio.gather(first, second)


async def looked(collector: Collector) -> float:
    """How often it was looked for due reads, of two jobs that were not due."""
    page = await collector.scrape(60, Format.TEXT)
    return float(page.partition(b'why="fresh"} ')[2].split()[0]) / 2


async def test_for_a_moment_after_nothing_was_due_twice_it_is_not_looked_again_unless_after_a_reload(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    upstream.answer.set()
    await scrape(collector)
    assert [await looked(collector) for _ in range(4)] == [1, 2, 2, 2]
    clock.turn(2 * gathering.QUIET_SECONDS)
    assert [await looked(collector) for _ in range(3)] == [3, 3, 3]
    collector.replace([plan(upstream, "a", "b", "c")])
    await scrape(collector)
    assert upstream.asked == ["a", "b", "c"]


async def fill(collector: Collector, clock: FakeClock, count: int) -> list[asyncio.Task[bytes]]:
    """So many scrapes, each of another moment."""
    scrapes = []
    for _ in range(count):
        scrapes.append(scrape(collector))
        await turns()
        clock.turn(gathering.SHARE_SECONDS)
    return scrapes


async def test_beyond_the_bound_the_oldest_scrape_gets_what_is_known(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    oldest, *others = await fill(collector, clock, gathering.MAX_GATHERINGS)
    assert not oldest.done()
    newest = scrape(collector)
    assert (await oldest).count(b'reason="deadline"} 1') == 2
    assert not any(each.done() for each in others)
    upstream.answer.set()
    assert ups(await newest) == [b"1", b"1"]
    await asyncio.gather(*others)


async def test_many_scrapers_within_a_second_make_no_scrape_end_early(
    collector: Collector, upstream: FakeUpstream
) -> None:
    scrapes = []
    for _ in range(3 * gathering.MAX_GATHERINGS):
        scrapes.append(scrape(collector))
        await turns()
    assert not any(each.done() for each in scrapes)
    upstream.answer.set()
    assert [ups(page) for page in await asyncio.gather(*scrapes)] == [[b"1", b"1"]] * len(scrapes)
    assert upstream.asked == ["a", "b"]


async def test_a_scrape_after_a_reload_waits_for_the_jobs_of_the_new_configuration(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    before = []
    for _ in range(gathering.FREE_GATHERINGS):
        before.append(scrape(collector))
        await turns()
    collector.replace([plan(again := FakeUpstream(clock, slow=True), "c", concurrency=1)])
    after = scrape(collector)
    await turns()
    upstream.answer.set()
    await turns()
    assert not after.done()
    again.answer.set()
    assert ups(await after) == [b"1"]
    assert [ups(page) for page in await asyncio.gather(*before)] == [[b"1"]] * len(before)


async def test_a_page_that_is_made_while_the_configuration_changes_is_made_again(
    collector: Collector, upstream: FakeUpstream
) -> None:
    upstream.answer.set()
    made = 0

    async def make() -> bytes:
        nonlocal made
        made += 1
        page = bytes(await collector.render(Format.TEXT))
        if made == 1:
            collector.replace([plan(upstream, "a", "b", "c")])
        return page

    assert ups(await collector.collected(60, make)) == [b"1", b"1", b"1"]
    assert made == 2


@pytest.mark.parametrize("scrapes", [1, 3])
async def test_of_many_missed_reads_few_rows_are_rendered_without_a_pause_and_each_once(
    scrapes: int, collector: Collector, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.replace([plan(upstream, *(f"job {number}" for number in range(1000)))])
    rows = most = before = 0

    def counted(*arguments: Any, **more: Any) -> Row:
        nonlocal rows
        rows += 1
        return render_row(*arguments, **more)

    monkeypatch.setattr("exporter.collector.record.render_row", counted)
    pages = asyncio.gather(*[scrape(collector, 0) for _ in range(scrapes)])
    while not pages.done():
        await asyncio.sleep(0)
        most, before = max(most, rows - before), rows
    assert most == gathering.ROWS_PER_TURN
    assert rows == 1000
    assert {page.count(b'reason="deadline"} 1') for page in await pages} == {1000}
