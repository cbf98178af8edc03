"""Whatever the systems send: the scrape answers, says why, shows the rest, and reads again afterwards."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_asyncio import fixture

from exporter.model.failure import Reason
from tests.hostile.faults import BODIES, CASES, FEW, Case
from tests.hostile.upstreams import Upstreams, upstreams
from tests.hostile.watch import Page, Watch, watching

LISTINGS = {
    "builds": b"/list?",
    "site-classic": b"/get-per-user.json",
    "twins": b"/reality-modeling/jobs?",
    "xmc": b"/publishing/v1/jobs?",
    "own": b"/own/list",
}
"""What the path of each request of a listing has, by system."""
# All together they take long, and what they find is seldom near a change.
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Play:
    """An exporter, and the systems that it reads."""

    watch: Watch
    playing: Upstreams

    async def through(self, case: Case, hits: Callable[[bytes], bool]) -> tuple[Page, Page, Page]:
        """The pages before, under and after a fault of the requests that are chosen."""

        def begin() -> None:
            self.playing.hits, self.playing.fault, self.playing.hit = hits, case.fault, 0

        def end() -> None:
            self.playing.fault = None
            assert self.playing.hit, "the fault was not met"

        return await self.watch.through(begin, end)


@asynccontextmanager
async def played(
    folder: Path, change: Callable[[dict[str, Any]], object], limit: str = "20s"
) -> AsyncIterator[Play]:
    """All systems with these changes, and their exporter, whose reads have this limit."""
    async with upstreams() as playing:
        systems = playing.systems()
        for system in systems.values():
            change(system)
        defaults = {"timeout": limit, "min_interval": "0s", "state_series": "current", "max_jobs": 3}
        text = json.dumps({"defaults": defaults, "systems": systems})
        async with watching(text, folder) as watch:
            yield Play(watch, playing)


Plays = dict[bool, Play]
"""One exporter for faults that end, and one that does not wait for long, for those that do not."""


@asynccontextmanager
async def both(folder: Path, change: Callable[[dict[str, Any]], object]) -> AsyncIterator[Plays]:
    async with (
        played(folder, change) as patient,
        played(folder, change, limit="2s") as hasty,
    ):
        yield {False: patient, True: hasty}


def _with_all_that_is_listed(system: dict[str, Any]) -> None:
    # The simulator's time is not that of the clock.
    system.get("discover", {}).pop("newer_than", None)


def _without_listing(system: dict[str, Any]) -> None:
    system.pop("discover", None)


@fixture(scope="module", loop_scope="module")
async def jobs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plays]:
    """Systems of two configured jobs each."""
    async with both(tmp_path_factory.mktemp("jobs"), _without_listing) as watches:
        yield watches


@fixture(scope="module", loop_scope="module")
async def listings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plays]:
    """Systems that also list jobs, where they can."""
    async with both(tmp_path_factory.mktemp("listings"), _with_all_that_is_listed) as watches:
        yield watches


def ids(play: Play) -> list[tuple[str, str]]:
    """Each system, and what the path of each request for its first job has and no other."""
    keys = ("build_job_id", "job_id", "site_id", "id")
    firsts = [(name, system["jobs"][0]) for name, system in play.playing.systems().items()]
    return [(name, next(str(job[key]) for key in keys if key in job)) for name, job in firsts]


@pytest.mark.parametrize("name", CASES)
async def test_a_fault_of_one_job_is_shown_and_harms_no_other(name: str, jobs: Plays) -> None:
    case = CASES[name]
    play = jobs[case.waits]
    victims = ids(play)

    def hits(request: bytes) -> bool:
        return any(victim.encode() in request.split(b"\r\n")[0] for _, victim in victims)

    before, under, after = await play.through(case, hits)
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
async def test_a_fault_of_a_listing_is_shown_and_its_jobs_stay(name: str, listings: Plays) -> None:
    case = CASES[name]

    def hits(request: bytes) -> bool:
        return any(place in request.split(b"\r\n")[0] for place in LISTINGS.values())

    before, under, after = await listings[case.waits].through(case, hits)
    for system in LISTINGS:
        assert case.allows(under.systems.get(system)), system
    kept = {key for key in before.jobs if key[0] in under.systems}
    assert set(under.jobs) >= kept
    assert set(after.jobs) == set(before.jobs)


# The end of a request that takes too long is noticed when the scrape is over and the clock has been turned.
@pytest.mark.parametrize("name", [name for name in (*FEW, *BODIES[::4]) if not CASES[name].waits])
async def test_a_fault_of_a_sign_in_is_shown_and_harms_no_other_system(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    async with played(tmp_path, _without_listing) as play:
        play.watch.shown = Page({}, {}, {})
        _, under, after = await play.through(case, lambda request: request.startswith(b"POST"))
    for key in after.jobs:
        reason = under.failed.get(key)
        if key[0] == "docs":  # which has a fixed token
            assert not reason
        else:
            assert reason is Reason.AUTH or (case.readable and reason in {None, Reason.UNAUTHORIZED}), key
