"""Listings that end before their own total, or skip entries: what is shown, read and logged."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.collector.collector import Collector
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.model.job import State, Status
from exporter.providers.base import Found, ListingEnd
from exporter.providers.sitecore import SitecoreDiscover
from tests.clock import FakeClock
from tests.collector.test_collector import RUNNING, FakeUpstream, plan, scrape
from tests.vendor import Asked, Told, exporter, vendor

SHORT = ListingEnd(incomplete="it ended after 1 of 2 entries")
DONE = Status(State.SUCCEEDED, final=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1000.0)


@pytest.fixture
def upstream(clock: FakeClock) -> FakeUpstream:
    return FakeUpstream(clock)


@pytest.fixture
def collector(clock: FakeClock, upstream: FakeUpstream) -> Collector:
    collector = Collector(Instrumentation("0"), clock=clock)
    collector.replace([plan(upstream, discover=SitecoreDiscover())])
    return collector


def listed(**states: Status) -> Mapping[str, Found]:
    return {job_id: Found({"id": job_id}, status, complete=True) for job_id, status in states.items()}


async def test_an_incomplete_listing_is_shown_and_logged_and_the_system_is_up(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "exporter.collector.discovery")
    upstream.listing = listed(a=RUNNING)
    for end in (ListingEnd(), SHORT, SHORT, ListingEnd()):
        upstream.end = end
        samples = await scrape(collector)
        shown = samples.get(("remote_job_system_read_error_info", "incomplete"))
        assert shown == (1 if end.incomplete else None)
        assert (samples["remote_job_system_up", ""], samples["remote_job_up", "a"]) == (1, 1)
        assert [each.incomplete for each in collector.overview()] == [bool(end.incomplete)]
        clock.turn(60)
    assert [(line.message, getattr(line, "detail", "")) for line in caplog.records] == [
        ("the listing is incomplete", "it ended after 1 of 2 entries"),
        ("the listing is complete again", ""),
    ]


async def test_a_job_that_an_incomplete_listing_lacks_is_read_by_itself_until_it_ends(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    upstream.listing, upstream.end = listed(a=RUNNING, b=RUNNING, done=DONE), ListingEnd()
    await scrape(collector)
    upstream.listing, upstream.end = listed(a=RUNNING), SHORT
    for status, is_shown in ((RUNNING, True), (DONE, True), (DONE, False)):
        upstream.results["b"] = status
        clock.turn(60)
        samples = await scrape(collector)
        assert (("remote_job_up", "b") in samples) is is_shown
        assert ("remote_job_up", "done") not in samples
    assert upstream.asked == ["listing", "listing", "b", "listing", "b", "listing"]


async def test_a_job_that_was_deleted_goes_with_the_next_incomplete_listing(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    upstream.listing = listed(a=RUNNING)
    await scrape(collector)
    upstream.listing, upstream.end = {}, SHORT
    upstream.results["a"] = Failure(Reason.NOT_FOUND)
    for is_shown in (True, False):
        clock.turn(60)
        assert (("remote_job_up", "a") in await scrape(collector)) is is_shown


async def test_a_job_that_is_listed_again_costs_no_read_of_its_own(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    for names, end in (("ab", ListingEnd()), ("a", SHORT), ("ab", SHORT)):
        upstream.listing, upstream.end = listed(**dict.fromkeys(names, RUNNING)), end
        assert (await scrape(collector))["remote_job_up", "b"] == 1
        clock.turn(60)
    assert upstream.asked == ["listing", "listing", "b", "listing"]


async def test_skipped_entries_are_counted_and_logged_by_their_reason(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "exporter.collector.discovery")
    upstream.listing, upstream.end = listed(a=RUNNING), ListingEnd({"no id": 2, "id: odd": 1})
    assert (await scrape(collector))["remote_job_system_entries_skipped", ""] == 3
    lines = [
        (line.message, getattr(line, "entries", 0), getattr(line, "detail", "")) for line in caplog.records
    ]
    assert lines == [("entries are skipped", 2, "no id"), ("entries are skipped", 1, "id: odd")]
    upstream.listing = Failure(Reason.CONNECT)
    clock.turn(60)
    assert (await scrape(collector))["remote_job_system_entries_skipped", ""] == 3
    upstream.listing, upstream.end = {}, ListingEnd()
    clock.turn(600)
    assert (await scrape(collector))["remote_job_system_entries_skipped", ""] == 0


CONFIG = """systems:
  ci:
    provider: json
    base_url: {url}
    read: {{path: "/runs/{{dag}}/{{run}}", state: s}}
    discover:
      path: /runs
      query: {{limit: 100}}
      items: runs
      keys: {{dag: d, run: r}}
      state: s
      paging: {{page: offset, first: 0, step: 100, size: 100}}
"""


async def test_a_system_that_limits_its_pages_and_ends_too_early_is_reported(tmp_path: Path) -> None:
    runs = [{"d": "d", "r": f"r{number}", "s": "succeeded"} for number in range(5)]

    def answer(asked: Asked) -> Told:
        page = [*runs, {"d": "d"}] if asked.path.endswith("offset=0") else []
        return Told({"runs": page, "total_entries": 12})

    async with vendor(answer) as ci, exporter(CONFIG.format(url=ci.url), tmp_path) as running:
        samples = await running.scrape()
        assert [asked.path for asked in ci.asked] == ["/runs?limit=100&offset=0", "/runs?limit=100&offset=6"]
        assert len(samples.all("remote_job_up")) == 5
        assert samples.get_one("remote_job_system_up", system="ci") == 1
        assert samples.get_one("remote_job_system_read_error_info", reason="incomplete") == 1
        assert samples.get_one("remote_job_system_entries_skipped", system="ci") == 1
        assert "incomplete" in (await running.get("/")).text
