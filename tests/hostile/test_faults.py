"""Whatever the systems send: the scrape answers, says why, shows the rest, and reads again afterwards."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pytest_asyncio import fixture

from exporter.model.failure import Reason
from tests.clock import FakeClock
from tests.hostile.faults import BODIES, CASES, FEW, Case
from tests.hostile.upstreams import SECRETS, Upstreams, upstreams
from tests.vendor import Exporter, exporter

LATER = 1000.0
"""Seconds after which everything may be asked again: longer than the longest pause of a vendor."""
DEADLINE = 30.0
"""Seconds of a scrape; far more than it needs where the machine is busy."""
OF_JOB = re.compile(r'(remote_job_\w+)\{system="([^"]*)",job_id="([^"]*)",?(.*)\} (\S+)')
OF_SYSTEM = re.compile(r'remote_job_system_read_error_info\{system="([^"]*)",.*reason="(\w+)"\} 1')
LISTINGS = {
    "builds": b"/list?",
    "site-classic": b"/get-per-user.json",
    "twins": b"/reality-modeling/jobs?",
    "xmc": b"/publishing/v1/jobs?",
    "own": b"/own/list",
}
"""What the path of each request of a listing has, by system."""
REASON = re.compile(r'reason="(\w+)"')

# All together they take long, and what they find is seldom near a change.
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

Id = tuple[str, str]


@dataclass
class Page:
    """What a scrape shows of jobs and systems.

    Args:
        jobs: the series of each job but those of its last read, with their values.
        failed: why jobs could not be read.
        systems: why listings or credentials failed.
    """

    jobs: dict[Id, dict[str, str]]
    failed: dict[Id, Reason]
    systems: dict[str, Reason]

    @classmethod
    def of(cls, text: str) -> "Page":
        page = cls({}, {}, {name: Reason(reason) for name, reason in OF_SYSTEM.findall(text)})
        for name, system, job, labels, value in OF_JOB.findall(text):
            series = page.jobs.setdefault((system, job), {})
            if name == "remote_job_read_error_info":
                (reason,) = REASON.findall(labels)
                page.failed[system, job] = Reason(reason)
            elif "_read_" not in name:
                series[f"{name} {labels}"] = value
        return page


@dataclass
class Watch:
    """One exporter of all systems, for many faults.

    Attributes:
        shown: what it shows while there is no fault.
        records: all that it logs.
    """

    running: Exporter
    playing: Upstreams
    clock: FakeClock
    shown: Page | None = None
    records: list[logging.LogRecord] = field(default_factory=list)

    async def scrape(self) -> Page:
        """Scrapes when everything may be asked again."""
        self.clock.turn(LATER)
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": f"{DEADLINE}"}
        async with asyncio.timeout(DEADLINE):
            answered = await self.running.get("/metrics", **headers)
        assert answered.status_code == 200
        page = Page.of(answered.text)
        assert Reason.INTERNAL not in {*page.failed.values(), *page.systems.values()}
        shown = answered.text + str([vars(record) for record in self.records])
        assert not [secret for secret in SECRETS if secret in shown]
        errors = [record for record in self.records if record.levelno >= logging.ERROR or record.exc_info]
        assert [record.getMessage() for record in errors] == []
        return page

    async def through(self, case: Case, hits: Callable[[bytes], bool]) -> tuple[Page, Page, Page]:
        """What it shows before, under and after a fault."""
        self.records.clear()
        before = self.shown or await self.scrape()
        self.playing.hits, self.playing.fault, self.playing.hit = hits, case.fault, 0
        try:
            under, self.shown = await self.scrape(), None
        finally:
            self.playing.fault = None
        assert self.playing.hit, "the fault was not met"
        after = await self.scrape()
        assert (before.failed, before.systems, after.failed, after.systems) == ({}, {}, {}, {})
        self.shown = after
        return before, under, after


class Kept(logging.Handler):
    """Keeps every record."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@asynccontextmanager
async def watched(
    folder: Path, change: Callable[[dict[str, Any]], object], limit: str = "20s"
) -> AsyncIterator[Watch]:
    """All systems with these changes, and their exporter, whose reads have this limit."""
    clock = FakeClock()
    async with upstreams() as playing:
        systems = playing.systems()
        for system in systems.values():
            change(system)
        defaults = {"timeout": limit, "min_interval": "0s", "state_series": "current", "max_jobs": 3}
        text = json.dumps({"defaults": defaults, "systems": systems})
        async with exporter(text, folder, clock=clock) as running:
            watch = Watch(running, playing, clock)
            handler = Kept(watch.records)
            logging.getLogger("exporter").addHandler(handler)
            yield watch
            logging.getLogger("exporter").removeHandler(handler)


Watches = dict[bool, Watch]
"""One exporter for faults that end, and one that does not wait for long, for those that do not."""


@asynccontextmanager
async def both(folder: Path, change: Callable[[dict[str, Any]], object]) -> AsyncIterator[Watches]:
    async with (
        watched(folder, change) as patient,
        watched(folder, change, limit="2s") as hasty,
    ):
        yield {False: patient, True: hasty}


def _with_all_that_is_listed(system: dict[str, Any]) -> None:
    # The simulator's time is not that of the clock.
    system.get("discover", {}).pop("newer_than", None)


def _without_listing(system: dict[str, Any]) -> None:
    system.pop("discover", None)


@fixture(scope="module", loop_scope="module")
async def jobs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watches]:
    """Systems of two configured jobs each."""
    async with both(tmp_path_factory.mktemp("jobs"), _without_listing) as watches:
        yield watches


@fixture(scope="module", loop_scope="module")
async def listings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watches]:
    """Systems that also list jobs, where they can."""
    async with both(tmp_path_factory.mktemp("listings"), _with_all_that_is_listed) as watches:
        yield watches


def ids(watch: Watch) -> list[tuple[str, str]]:
    """Each system, and what the path of each request for its first job has and no other."""
    keys = ("build_job_id", "job_id", "site_id", "id")
    firsts = [(name, system["jobs"][0]) for name, system in watch.playing.systems().items()]
    return [(name, next(str(job[key]) for key in keys if key in job)) for name, job in firsts]


@pytest.mark.parametrize("name", CASES)
async def test_a_fault_of_one_job_is_shown_and_harms_no_other(name: str, jobs: Watches) -> None:
    case = CASES[name]
    watch = jobs[case.waits]
    victims = ids(watch)

    def hits(request: bytes) -> bool:
        return any(victim.encode() in request.split(b"\r\n")[0] for _, victim in victims)

    before, under, after = await watch.through(case, hits)
    assert len(before.jobs) == 2 * len(victims)
    for key, values in before.jobs.items():
        reason = under.failed.get(key)
        if any(system == key[0] and victim in key[1] for system, victim in victims):
            assert case.allows(reason), key
        else:
            assert not reason, key
            assert under.jobs[key] == values
        assert set(after.jobs[key]) == set(values), key


@pytest.mark.parametrize("name", [*FEW, *BODIES])
async def test_a_fault_of_a_listing_is_shown_and_its_jobs_stay(name: str, listings: Watches) -> None:
    case = CASES[name]

    def hits(request: bytes) -> bool:
        return any(place in request.split(b"\r\n")[0] for place in LISTINGS.values())

    before, under, after = await listings[case.waits].through(case, hits)
    for system in LISTINGS:
        assert case.allows(under.systems.get(system)), system
    kept = {key for key in before.jobs if key[0] in under.systems}
    assert set(under.jobs) >= kept
    assert set(after.jobs) == set(before.jobs)


@pytest.mark.parametrize("name", [*FEW, *BODIES[::4]])
async def test_a_fault_of_a_sign_in_is_shown_and_harms_no_other_system(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    async with watched(tmp_path, _without_listing, "2s" if case.waits else "20s") as watch:
        watch.shown = Page({}, {}, {})
        _, under, after = await watch.through(case, lambda request: request.startswith(b"POST"))
    for key in after.jobs:
        reason = under.failed.get(key)
        if key[0] == "docs":  # which has a fixed token
            assert not reason
        else:
            assert reason is Reason.AUTH or (case.readable and reason in {None, Reason.UNAUTHORIZED}), key
