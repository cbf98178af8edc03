"""One scrape: who is due, ask them side by side before the deadline, remember what was read.

A read belongs to the collector and not to a scrape: overlapping scrapes wait for the same read, none
cancels it, and one that is on the wire when a deadline passes serves the next scrape. Everything
runs on one event loop; nothing here waits but for reads.
"""

import asyncio
import functools
import time
from collections.abc import Iterable, Iterator

from exporter.exposition import Format, Page, render_row
from exporter.job import Job
from exporter.meters import Meters
from exporter.metrics import JOB_METRICS, SYSTEM_METRICS, JobView, SystemView
from exporter.shard import Shard
from exporter.system import Plan, System, discovery_of
from exporter.watched import Scrape, Watched


class Collector:
    """Everything that is watched.

    Args:
        meters: the exporter's own metrics.
        shard: which jobs are watched here; every system is, so that it can be listed and probed.
    """

    def __init__(self, meters: Meters, shard: Shard | None = None) -> None:
        self._meters = meters
        self.shard = shard or Shard()
        self._systems: dict[str, System] = {}
        self._job_page: Page[JobView] = Page(JOB_METRICS)
        self._system_page: Page[SystemView] = Page(SYSTEM_METRICS)
        self._plans = 0

    def replace(self, plans: Iterable[Plan]) -> None:
        """Watches exactly these systems from now on.

        Happens at once: no scrape ever shows a part of one config and a part of another. Jobs that
        stay keep what is known of them, jobs that go leave no series.
        """
        before, self._systems = self._systems, {}
        self._plans += 1
        for system in before.values():
            system.retire()
        for plan in plans:
            old = before.get(plan.name)
            known = {watched.job.id: watched for watched in old.watched()} if old else {}
            if old is None or old.plan.home != plan.home:
                known = {}
            watch = functools.partial(self._watch, plan, known)
            jobs = {job.id: watch(job) for job in plan.jobs if self.shard.owns(plan.name, job.id)}
            discovery = discovery_of(plan, old, watch)
            meters = self._meters.of(plan.name)
            self._systems[plan.name] = System(plan, jobs, discovery, watch, meters, self.shard)
        kept = {watched for system in self._systems.values() for watched in system.watched()}
        for name, system in before.items():
            for watched in system.watched():
                if watched not in kept:
                    watched.drop()
            if name not in self._systems:
                self._system_page.drop(name)
                self._meters.forget(name)

    def _watch(self, plan: Plan, known: dict[str, Watched], job: Job) -> Watched:
        watched = known.pop(job.id, None)
        if watched is None:
            return Watched(job, plan.rules, self._job_page, current_only=plan.current_only)
        watched.adopt(job, plan.rules, current_only=plan.current_only)
        return watched

    async def scrape(self, seconds: float, format_: Format) -> bytes:
        """Reads every job that is due, for ``seconds`` at most, and renders the page.

        Jobs that were not read by then show reason ``deadline``. A config that changes meanwhile is
        read again from the start, within the same time.
        """
        end = time.monotonic() + seconds
        plans = -1
        while plans != self._plans:
            plans = self._plans
            await self._collect(end)
        return self.render(format_)

    async def _collect(self, end: float) -> None:
        systems = dict(self._systems)
        began = time.monotonic()
        scrape = Scrape(asyncio.get_running_loop().create_future())
        for system in systems.values():
            system.join(scrape, began)
        try:
            if scrape.waiting_for:
                await asyncio.wait([scrape.done], timeout=max(0.0, end - time.monotonic()))
        finally:
            # Also when the scraper hung up: what nobody waits for is not asked.
            scrape.abandon()
        for read in scrape.waiting_for:
            read.owner.late(time.monotonic() - began)
        for system in systems.values():
            system.tell_late()

    def views(self) -> Iterator[JobView]:
        """What is known of each job that has been asked about."""
        for system in self._systems.values():
            for watched in system.watched():
                if watched.view is not None:
                    yield watched.view

    def overview(self) -> list[tuple[str, int, str]]:
        """Name, number of jobs and trouble of each system, for people."""
        return [
            (name, sum(1 for _ in system.watched()), system.trouble() or "")
            for name, system in self._systems.items()
        ]

    def render(self, format_: Format, *, jobs: bool = True) -> bytes:
        """The page a scraper gets; with ``jobs`` false the exporter's own metrics alone."""
        openmetrics = format_ is Format.OPENMETRICS
        parts = [self._meters.render(openmetrics=openmetrics)]
        if jobs:
            for name, system in self._systems.items():
                upstream = system.upstream
                view = SystemView(
                    system.trouble(),
                    upstream.rate_limit_remaining,
                    upstream.credentials_expiry(),
                    system.discovery.dropped if system.discovery is not None else None,
                )
                self._system_page.put(name, render_row(SYSTEM_METRICS, system.identity, view))
            parts = [self._job_page.render(format_), self._system_page.render(format_), *parts]
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join(parts)

    async def close(self) -> None:
        """Ends all reads."""
        await asyncio.gather(*(system.close() for system in self._systems.values()))
