"""One scrape: who is due, ask them side by side before the deadline, remember what was read.

A read belongs to the collector and not to a scrape: overlapping scrapes wait for the same read, none
cancels it, and one that is on the wire when a deadline passes serves the next scrape. Everything
runs on one event loop; nothing here waits but for reads.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator

from exporter.collector.outages import Outages
from exporter.collector.probed import Probe, Probed
from exporter.collector.query import Pairs, keys_of
from exporter.collector.record import Scrape, Watched
from exporter.collector.system import Overview, Plan, System
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
    """Everything that is watched.

    Args:
        instrumentation: the exporter's own metrics.
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
        self._probed = Probed(clock)
        self._plans = 0
        self._unlisted = frozenset[str]()

    def replace(self, plans: Iterable[Plan]) -> None:
        """Watches exactly these systems from now on.

        Happens at once: no scrape ever shows a part of one config and a part of another. Jobs that
        stay keep what is known of them, jobs that go leave no series.
        """
        before, self._systems = self._systems, {}
        self._plans += 1
        for plan in plans:
            old = before.pop(plan.name, None)
            outages = old.outages if old is not None else Outages(plan.name)
            if old is not None and old.plan.home != plan.home:
                self._end(old)
                old = None
            instrumentation = self._instrumentation.of(plan.name)
            outages.place = plan.upstream.place
            self._systems[plan.name] = System(
                plan, self._make, instrumentation, outages, self.shard, self._clock, before=old
            )
        for name, system in before.items():
            self._end(system)
            system.log_outages()
            self._system_page.drop(name)
            self._instrumentation.forget(name)

    def _end(self, system: System) -> None:
        """Nothing that is known of a system's jobs holds any more."""
        jobs, _ = system.hand_over()
        for watched in jobs.values():
            watched.drop()
        self._probed.forget([system.plan.name])

    def _make(self, plan: Plan, outages: Outages, job: Job) -> Watched:
        """A job that becomes known, with what was read of it when somebody probed it."""
        watched = self._probed.take(job)
        if watched is None:
            return Watched(
                job, plan.rules, self._job_page, outages, self._clock, current_only=plan.current_only
            )
        watched.move(self._job_page, outages)
        watched.adopt(job, plan.rules, current_only=plan.current_only)
        return watched

    async def scrape(self, seconds: float, format_: Format, *, jobs: bool = True) -> bytes:
        """Reads every job that is due, for ``seconds`` at most, and renders the page.

        Jobs that were not read by then show reason ``deadline``. Where the config changes meanwhile, its
        jobs are read from the start, within the same time.

        Args:
            seconds: to wait for reads.
            format_: of the page.
            jobs: whether it shows them; if not, none is read, only what systems tell of themselves.
        """
        end, plans = self._clock.monotonic() + seconds, -1
        while plans != self._plans:
            plans = self._plans
            await self._collect(end, jobs=jobs)
            if self._clock.monotonic() >= end:
                break
        return self._render(format_, jobs=jobs)

    async def _collect(self, end: float, *, jobs: bool) -> None:
        systems = dict(self._systems)
        began = self._clock.monotonic()
        scrape = Scrape(asyncio.get_running_loop().create_future())
        for system in systems.values():
            if jobs:
                system.join(scrape, began)
            else:
                system.join_summary(scrape, began)
        await self._wait(scrape, end)
        for read in scrape.waiting_for:
            read.owner.late(self._clock.monotonic() - began)
        for system in systems.values():
            system.log_outages()

    async def probe(self, pairs: Pairs, seconds: float, trace: Trace | None = None) -> Probe:
        """Reads one job of a configured system if it is due, for ``seconds`` at most.

        One that is watched anyway is the same job under the same pacing; any other is remembered for
        a while.

        Args:
            pairs: ``system`` and the keys of the job.
            trace: takes in what goes over the wire.

        Raises:
            QueryError: they name no job; also where a config says so that came meanwhile.
        """
        began = self._clock.monotonic()
        while True:
            plans = self._plans
            system, watched = self._find(pairs)
            scrape = Scrape(asyncio.get_running_loop().create_future(), {watched}, trace)
            why_not = system.join_job(scrape, self._clock.monotonic(), watched)
            await self._wait(scrape, began + seconds)
            took = self._clock.monotonic() - began
            # Under a new config, or where the listing knows it no more, the same words may mean another job.
            if (plans == self._plans and not watched.dropped) or took >= seconds:
                break
        if scrape.waiting_for:
            watched.late(took)
        system.log_outages()
        return Probe(watched, took, why_not, trace)

    def _find(self, pairs: Pairs) -> tuple[System, Watched]:
        providers = {name: system.upstream.provider for name, system in self._systems.items()}
        name, keys = keys_of(pairs, providers)
        system = self._systems[name]
        job, plan = system.job(keys), system.plan
        watched = system.find(job)
        if watched is None:
            if (former := system.take_former(job)) is not None:
                self._probed.keep(former)
            watched = self._probed.watch(job, plan.rules, current_only=plan.current_only)
        return system, watched

    async def jobs(self, seconds: float) -> list[Job]:
        """Every job of this shard, once the listings that are due have been read, none of the jobs.

        Raises:
            UnlistedError: a listing has not succeeded yet, so nobody knows which jobs there are. After
                `UNLISTED_SECONDS` the jobs that are known have to do.
        """
        end, plans = self._clock.monotonic() + seconds, -1
        while plans != self._plans:
            plans = self._plans
            scrape = Scrape(asyncio.get_running_loop().create_future(), ())
            for system in self._systems.values():
                system.join_listing(scrape, self._clock.monotonic())
            await self._wait(scrape, end)
            if self._clock.monotonic() >= end:
                break
        self._check_listed()
        return [watched.job for system in self._systems.values() for watched in system.watched()]

    def _check_listed(self) -> None:
        now = self._clock.monotonic()
        waits = {
            name: now - (system.discovery.waiting_since or now)
            for name, system in self._systems.items()
            if system.discovery is not None and system.discovery.listed is None
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
        """The page a scraper gets; with ``jobs`` false that of the systems and the exporter itself."""
        openmetrics = format_ is Format.OPENMETRICS
        for name, system in self._systems.items():
            upstream = system.upstream
            self._instrumentation.of(name).watching(system.count())
            view = SystemView(
                system.trouble(),
                upstream.rate_limit_remaining,
                upstream.credentials_expiry(),
                system.discovery.dropped if system.discovery is not None else None,
                system.summary.counts if system.summary is not None else None,
            )
            self._system_page.put(name, render_row(SYSTEM_METRICS, system.identity, view))
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

    async def _wait(self, scrape: Scrape, end: float) -> None:
        try:
            if scrape.waiting_for:
                await asyncio.wait([scrape.done], timeout=max(0.0, end - self._clock.monotonic()))
        finally:
            # Also when the scraper hung up: what nobody waits for is not asked.
            scrape.abandon()
