"""What a reload does in one step, in which nothing else runs: little, and only what a change needs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from exporter.collector import choice, discovery, record
from exporter.collector.collector import FEW, Collector
from exporter.collector.plan import Plan
from exporter.metrics import exposition
from exporter.metrics.exposition import Format
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.job import Job
from exporter.model.pacing import Rules
from exporter.providers.base import Found
from exporter.providers.sitecore import SitecoreDiscover
from tests.clock import FakeClock
from tests.collector.test_collector import RUNNING, FakeUpstream, job, plan

JOBS = 4 * FEW


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1000.0)


@pytest.fixture
def upstream(clock: FakeClock) -> FakeUpstream:
    made = FakeUpstream(clock)
    names = map(str, range(JOBS))
    made.listing = {name: Found({"id": name}, status=RUNNING, complete=True) for name in names}
    return made


@pytest.fixture
def collector(clock: FakeClock) -> Collector:
    return Collector(Instrumentation("0"), clock=clock)


class Rendered:
    """Counts rows that are rendered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = 0
        real = exposition.render_row

        def render_row(*arguments: Any, **named: Any) -> object:
            self.rows += 1
            return real(*arguments, **named)

        monkeypatch.setattr(record, "render_row", render_row)

    def in_each_step(self, steps: Iterable[None]) -> list[int]:
        """How many rows each step of a reload renders."""
        counts, before = [], self.rows
        for _ in steps:
            counts.append(self.rows - before)
            before = self.rows
        return [*counts, self.rows - before]


def planned(upstream: FakeUpstream, squad: str, *, found: bool) -> Plan:
    def labelled(keys: Mapping[str, str], name: str = "") -> Job:
        return replace(job(keys, name), labels={"squad": squad})

    ids = () if found else tuple(map(str, range(JOBS)))
    made = plan(upstream, *ids, discover=SitecoreDiscover() if found else None, max_jobs=JOBS)
    return replace(made, jobs=[labelled(each.keys) for each in made.jobs], job=labelled)


@pytest.mark.parametrize("found", [False, True])
async def test_a_label_of_all_jobs_changes_step_by_step(
    collector: Collector, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, *, found: bool
) -> None:
    collector.replace([planned(upstream, "a", found=found)])
    before = await collector.scrape(60, Format.TEXT)
    rendered = Rendered(monkeypatch)
    rows = rendered.in_each_step(collector.replacing([planned(upstream, "b", found=found)]))
    assert (sum(rows), max(rows)) == (JOBS, 1)
    after = await collector.scrape(60, Format.TEXT)
    pages = [page.partition(b"# HELP remote_job_system")[0] for page in (before, after)]
    assert pages[1] == pages[0].replace(b'squad="a"', b'squad="b"')


async def test_a_job_that_changes_is_the_only_one_that_is_rendered(
    collector: Collector, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = planned(upstream, "a", found=False)
    collector.replace([first])
    await collector.scrape(60, Format.TEXT)
    rendered = Rendered(monkeypatch)
    # As they are loaded again: equal jobs that are other objects.
    jobs = [replace(each) for each in first.jobs]
    jobs[7] = replace(jobs[7], name="seven")
    assert sum(rendered.in_each_step(collector.replacing([replace(first, jobs=jobs)]))) == 1
    other = replace(first, jobs=jobs, rules=Rules(min_interval=60, final_interval=600), concurrency=3)
    assert sum(rendered.in_each_step(collector.replacing([other]))) == 0
    assert b'job_name="seven"' in await collector.scrape(60, Format.TEXT)


@pytest.mark.parametrize("after", [JOBS // 2, 2 * JOBS - 1], ids=["in the middle", "before the change"])
async def test_a_job_that_is_read_between_two_steps_shows_its_new_status(
    after: int,
    collector: Collector,
    upstream: FakeUpstream,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collector.replace([planned(upstream, "a", found=False)])
    await collector.scrape(60, Format.TEXT)
    rendered = Rendered(monkeypatch)
    steps = collector.replacing([planned(upstream, "b", found=False)])
    for _ in range(after):
        next(steps)
    clock.turn(10)
    upstream.results["7"] = structs.replace(RUNNING, raw="Later")
    await collector.probe([("system", "xmc"), ("id", "7")], 60)
    for _ in steps:
        pass
    assert rendered.rows == JOBS + 2  # by the read, and again with the other label
    page = (await collector.scrape(60, Format.TEXT)).decode()
    assert 'remote_job_status_info{system="xmc",job_id="7",squad="b",status="Later",step=""} 1' in page


async def test_jobs_that_are_all_read_between_two_steps_are_rendered_step_by_step_again(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.replace([planned(upstream, "a", found=False)])
    await collector.scrape(60, Format.TEXT)
    steps = collector.replacing([planned(upstream, "b", found=False)])
    for _ in range(JOBS - 1):
        next(steps)
    clock.turn(10)
    await collector.scrape(60, Format.TEXT)
    rows = Rendered(monkeypatch).in_each_step(steps)
    assert (sum(rows), max(rows)) == (JOBS, 1)


@pytest.mark.parametrize(
    ("changes", "choices"),
    [({}, 0), ({"max_jobs": JOBS - 1}, 1), ({"jobs": [job({"id": "0"})]}, 1), ({"upstream": None}, 1)],
    ids=["labels", "the number of jobs", "a configured job", "what is reached"],
)
async def test_a_reload_chooses_among_listed_jobs_only_if_it_can_choose_others(
    collector: Collector,
    upstream: FakeUpstream,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    choices: int,
) -> None:
    chosen: list[object] = []
    real = choice.chosen

    def counted(*arguments: Any, **named: Any) -> object:
        chosen.append(arguments)
        return real(*arguments, **named)

    collector.replace([planned(upstream, "docs", found=True)])
    await collector.scrape(60, Format.TEXT)
    if "upstream" in changes:
        changes = {"upstream": FakeUpstream(clock)}
    monkeypatch.setattr(discovery, "chosen", counted)
    collector.replace([replace(planned(upstream, "web", found=True), **changes)])
    assert len(chosen) == choices
    page = bytes(await collector.render(Format.TEXT))
    assert page.count(b"\nremote_job_up{") == changes.get("max_jobs", JOBS)
