"""One scrape: who is due, ask them side by side before the deadline, remember what was read.

A read belongs to the collector and not to a scrape: overlapping scrapes wait for the same read, none
cancels it, and one that is on the wire when a deadline passes serves the next scrape. Everything
runs on one event loop; nothing here waits but for reads.
"""

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exporter.exposition import Format, Page, label_text, render_row
from exporter.job import Job
from exporter.meters import Meters, SystemMeters
from exporter.metrics import JOB_METRICS, SYSTEM_METRICS, JobView, SystemView
from exporter.pacing import Rules, Why
from exporter.upstream import Reading, Upstream
from exporter.watched import Read, Scrape, Watched

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """One system as it is to be watched.

    Args:
        home: what a job's identity is relative to; a job keeps its past while home and id stay.
        labels: on every series of the system itself; those of its jobs are in the jobs.
        concurrency: reads of this system at a time.
        current_only: of ``remote_job_state`` show only the series that is 1.
    """

    name: str
    home: Hashable
    upstream: Upstream
    jobs: Sequence[Job]
    rules: Rules
    labels: Mapping[str, str]
    concurrency: int
    current_only: bool = False


class _System:
    """One system's jobs, its queue (longest unread first) and its readers."""

    def __init__(self, plan: Plan, jobs: Sequence[Watched], meters: SystemMeters) -> None:
        self.upstream = plan.upstream
        self.home = plan.home
        self.jobs = {watched.job.id: watched for watched in jobs}
        self.identity = label_text({"system": plan.name, **plan.labels})
        self._concurrency = plan.concurrency
        self._meters = meters
        self._queue: list[tuple[float, int, Read]] = []
        self._order = itertools.count()
        self._readers: set[asyncio.Task[None]] = set()
        self._late = False
        meters.watching(len(self.jobs))

    def join(self, scrape: Scrape, now: float) -> None:
        """Queues a read for every job that is due; one already under way is shared."""
        skipped = dict.fromkeys(Why, 0)
        self._queue = [entry for entry in self._queue if entry[2].scrapes]
        heapq.heapify(self._queue)
        for watched in self.jobs.values():
            read = watched.read
            if read is None:
                why = watched.pace.why_not(now, self.upstream.not_before)
                if why is not None:
                    skipped[why] += 1
                    continue
                read = watched.read = Read(watched)
                heapq.heappush(self._queue, (watched.pace.asked_at, next(self._order), read))
            read.scrapes.add(scrape)
            scrape.waiting_for.add(read)
        for why, reads in skipped.items():
            self._meters.skipped(why, reads)
        for _ in range(min(len(self._queue), self._concurrency - len(self._readers))):
            reader = asyncio.get_running_loop().create_task(self._work())
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)

    def tell_late(self, late: int) -> None:
        """Logs when the system begins or ceases to be too slow for the scrapes."""
        if bool(late) is not self._late:
            self._late = bool(late)
            system = {"system": self._meters.system, "jobs": late}
            if late:
                _log.warning("jobs were not read before the scrape's deadline", extra=system)
            else:
                _log.info("all jobs were read before the scrape's deadline again", extra=system)

    def retire(self) -> None:
        """Sends nothing more; whoever waits for what was not sent has to ask anew."""
        for _, _, read in self._queue:
            read.end()
        self._queue.clear()

    async def close(self) -> None:
        """Ends all reads."""
        for reader in list(self._readers):
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _work(self) -> None:
        while self._queue:
            _, _, read = heapq.heappop(self._queue)
            if not read.scrapes:
                continue  # nobody waits any more
            read.begun = True
            watched = read.watched
            watched.pace.asked(time.monotonic())
            try:
                reading = await self.upstream.read(watched.job, watched.known)
                self._take(watched, reading)
            finally:
                read.end()

    def _take(self, watched: Watched, reading: Reading) -> None:
        try:
            watched.take(reading, time.monotonic())
        except Exception:  # noqa: BLE001  a mistake of ours costs this job, not all jobs behind it
            _log.exception("a status could not be shown", extra=watched.place)
            watched.broken(reading)


class Collector:
    """Everything that is watched.

    Args:
        meters: the exporter's own metrics.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._systems: dict[str, _System] = {}
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
            known = old.jobs if old and old.home == plan.home else {}
            jobs = [self._watch(plan, job, known.pop(job.id, None)) for job in plan.jobs]
            self._systems[plan.name] = _System(plan, jobs, self._meters.of(plan.name))
        for name, system in before.items():
            for watched in system.jobs.values():
                watched.drop()
            if name not in self._systems:
                self._system_page.drop(name)
                self._meters.forget(name)

    def _watch(self, plan: Plan, job: Job, watched: Watched | None) -> Watched:
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
        late = dict.fromkeys(systems, 0)
        for read in scrape.waiting_for:
            read.watched.late(time.monotonic() - began)
            late[read.watched.job.system] += 1
        for name, jobs in late.items():
            systems[name].tell_late(jobs)

    def views(self) -> Iterator[JobView]:
        """What is known of each job that has been asked about."""
        for system in self._systems.values():
            for watched in system.jobs.values():
                if watched.view is not None:
                    yield watched.view

    def overview(self) -> list[tuple[str, int, str]]:
        """Name, number of jobs and trouble of each system, for people."""
        return [
            (name, len(system.jobs), system.upstream.refusal or "") for name, system in self._systems.items()
        ]

    def render(self, format_: Format, *, jobs: bool = True) -> bytes:
        """The page a scraper gets; with ``jobs`` false the exporter's own metrics alone."""
        openmetrics = format_ is Format.OPENMETRICS
        parts = [self._meters.render(openmetrics=openmetrics)]
        if jobs:
            for name, system in self._systems.items():
                view = SystemView(system.upstream.refusal, system.upstream.rate_limit_remaining)
                self._system_page.put(name, render_row(SYSTEM_METRICS, system.identity, view))
            parts = [self._job_page.render(format_), self._system_page.render(format_), *parts]
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join(parts)

    async def close(self) -> None:
        """Ends all reads."""
        await asyncio.gather(*(system.close() for system in self._systems.values()))
