"""One scrape: find the jobs that are due, read them side by side before the deadline, render the page.

A read belongs to its source and not to a scrape: overlapping scrapes wait for the same read, none
cancels it, and one that is under way when a deadline passes is shown by the next scrape. Everything runs
on one event loop; nothing here waits but for reads.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator

from exporter.collector.outages import Outages
from exporter.collector.plan import Plan
from exporter.collector.probed import Probe, ProbedJobs
from exporter.collector.query import Pairs, keys_of
from exporter.collector.record import JobRecord
from exporter.collector.source import Waiter
from exporter.collector.system import Overview, System
from exporter.metrics import JOB_METRICS, SYSTEM_METRICS, JobView, SystemView
from exporter.metrics.exposition import Format, Page, render_row
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.model.job import Job
from exporter.model.shard import Shard
from exporter.upstream.trace import Trace

_log = logging.getLogger(__name__)

UNLISTED_SECONDS = 300.0
"""How long service discovery waits for the first success of a listing before it leaves the system out."""


class UnlistedError(Exception):
    """Some systems have not been listed yet; ``str()`` names them."""

    def __init__(self, systems: Iterable[str]) -> None:
        super().__init__(", ".join(systems))


class Collector:
    """All systems that are watched.

    Args:
        shard: which jobs are watched here; every system is, so that it can be listed and probed.
    """

    def __init__(
        self, instrumentation: Instrumentation, shard: Shard | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._clock = clock
        self._instrumentation = instrumentation
        self.shard = shard or Shard()
        self._systems: dict[str, System] = {}
        self._job_page: Page[JobView] = Page(JOB_METRICS)
        self._system_page: Page[SystemView] = Page(SYSTEM_METRICS)
        self._probed = ProbedJobs(clock)
        self._plans = 0
        self._unlisted = frozenset[str]()

    def replace(self, plans: Iterable[Plan]) -> None:
        """Watches exactly these systems from now on.

        The change is atomic: no scrape shows parts of two configurations. Jobs that stay keep what is known
        of them, jobs that go leave no series.
        """
        before, systems = dict(self._systems), dict[str, System]()
        self._plans += 1
        for plan in plans:
            system = before.pop(plan.name, None)
            if system is None:
                instrumentation = self._instrumentation.of(plan.name)
                system = System(plan, self._record, instrumentation, self.shard, self._clock)
            elif system.plan is not plan:
                if system.plan.origin != plan.origin:
                    self._probed.forget(plan.name)
                system.apply(plan)
            systems[plan.name] = system
        self._systems = systems
        for name, system in before.items():
            system.drop()
            system.log_outages()
            self._probed.forget(name)
            self._system_page.drop(name)
            self._instrumentation.forget(name)

    def _record(self, plan: Plan, outages: Outages, job: Job) -> JobRecord:
        """The record of a job that is watched from now on, with what probes have read of it."""
        record = self._probed.release(job)
        if record is None:
            return JobRecord(job, plan, self._job_page, outages, self._clock)
        record.move(self._job_page, outages)
        record.reconfigure(job, plan)
        return record

    async def scrape(self, seconds: float, format_: Format, *, jobs: bool = True) -> bytes:
        """Reads every job that is due, for ``seconds`` at most, and renders the page.

        Jobs that were not read by then show the reason ``deadline``. If the configuration changes
        meanwhile, its jobs are read from the start, within the same time.

        Args:
            seconds: to wait for reads.
            format_: of the page.
            jobs: whether it shows them; if not, no job is read, only each system's own count.
        """
        end, plans = self._clock.monotonic() + seconds, -1
        # A reload while the scrape waits: the page must show the jobs of the new configuration.
        while plans != self._plans:
            plans = self._plans
            await self._collect(end, jobs=jobs)
            if self._clock.monotonic() >= end:
                break
        return self._render(format_, jobs=jobs)

    async def _collect(self, end: float, *, jobs: bool) -> None:
        systems = tuple(self._systems.values())
        began = self._clock.monotonic()
        waiter = Waiter()
        for system in systems:
            if jobs:
                system.join(waiter, began)
            else:
                system.join_summary(waiter, began)
        await waiter.wait(end - self._clock.monotonic())
        for read in waiter.reads:
            read.source.missed_deadline(self._clock.monotonic() - began)
        for system in systems:
            system.log_outages()

    async def probe(self, pairs: Pairs, seconds: float, trace: Trace | None = None) -> Probe:
        """Reads one job of a configured system if it is due, for ``seconds`` at most.

        A job that is watched anyway is the same job under the same pacing; any other is remembered for
        a while.

        Args:
            pairs: ``system`` and the keys of the job.
            trace: records requests and responses.

        Raises:
            QueryError: they name no job, perhaps since the configuration has changed.
        """
        began = self._clock.monotonic()
        while True:
            plans = self._plans
            system, record = self._find(pairs)
            waiter = Waiter({record}, trace)
            why_not = system.join_job(waiter, self._clock.monotonic(), record)
            await waiter.wait(began + seconds - self._clock.monotonic())
            took = self._clock.monotonic() - began
            # After a reload, or if a listing no longer names the job, the same query may mean another job.
            if (plans == self._plans and not record.dropped) or took >= seconds:
                break
        if waiter.reads:
            record.missed_deadline(took)
        system.log_outages()
        return Probe(record, took, why_not, trace)

    def _find(self, pairs: Pairs) -> tuple[System, JobRecord]:
        providers = {name: system.plan.upstream.provider for name, system in self._systems.items()}
        name, keys = keys_of(pairs, providers)
        system = self._systems[name]
        job = system.job(keys)
        record = system.find(job)
        if record is None:
            if (former := system.take_former(job)) is not None:
                self._probed.keep(former)
            record = self._probed.record(job, system.plan)
        return system, record

    async def jobs(self, seconds: float) -> list[Job]:
        """Every job of this shard, once the listings that are due have been read; no job is read.

        Raises:
            UnlistedError: a listing has not succeeded yet, so it is not known which jobs there are. After
                `UNLISTED_SECONDS` the jobs that are known are returned.
        """
        end, plans = self._clock.monotonic() + seconds, -1
        while plans != self._plans:
            plans = self._plans
            waiter = Waiter(only=())
            for system in self._systems.values():
                system.join_listing(waiter, self._clock.monotonic())
            await waiter.wait(end - self._clock.monotonic())
            if self._clock.monotonic() >= end:
                break
        self._check_listed()
        return [record.job for system in self._systems.values() for record in system.records()]

    def _check_listed(self) -> None:
        now = self._clock.monotonic()
        waits = {
            name: seconds
            for name, system in self._systems.items()
            if (seconds := system.unlisted_for(now)) is not None
        }
        if any(seconds < UNLISTED_SECONDS for seconds in waits.values()):
            raise UnlistedError(waits)
        missing = frozenset(waits)
        if missing - self._unlisted:
            fields = {"systems": ", ".join(waits)}
            _log.warning("service discovery leaves out systems that could not be listed yet", extra=fields)
        self._unlisted = missing

    def views(self) -> Iterator[JobView]:
        """What is known of each job that has been asked about."""
        for system in self._systems.values():
            yield from system.views()

    def overview(self) -> list[Overview]:
        """How each system does, for people."""
        return [system.overview() for system in self._systems.values()]

    def _render(self, format_: Format, *, jobs: bool) -> bytes:
        """The page of a scrape."""
        openmetrics = format_ is Format.OPENMETRICS
        for name, system in self._systems.items():
            self._system_page.put(name, render_row(SYSTEM_METRICS, system.identity, system.view()))
        parts = [
            self._job_page.render(format_) if jobs else b"",
            self._system_page.render(format_),
            self._instrumentation.render(openmetrics=openmetrics),
            b"# EOF\n" if openmetrics else b"",
        ]
        return b"".join(parts)

    async def close(self) -> None:
        """Ends all reads."""
        await asyncio.gather(*(system.close() for system in self._systems.values()))
