"""One scrape: find the jobs that are due, read them side by side before the deadline, render the page.

A read belongs to its source and not to a scrape: overlapping scrapes wait for the same read, none
cancels it, and one that is under way when a deadline passes is shown by the next scrape. Everything runs
on one event loop; nothing here waits but for reads.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from exporter.collector.gathering import ROWS_PER_TURN, Gatherings
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
from exporter.model.clock import SYSTEM_CLOCK, Clock, SetBack
from exporter.model.failure import Failure
from exporter.model.job import Job
from exporter.model.pacing import Why
from exporter.model.shard import Shard
from exporter.runtime.memory import joined
from exporter.upstream.trace import Trace

_log = logging.getLogger(__name__)

T = TypeVar("T")

UNLISTED_SECONDS = 300.0
"""How long service discovery waits for the first success of a listing before it leaves the system out."""

MAX_ROUNDS = 5
"""How often a reload looks for jobs that a read has changed since it has rendered them."""
FEW = 50
"""So many jobs are rendered together with the change, in less than 5 ms."""

MAX_PROBES = 200
"""Jobs that are not watched and are probed at the same time. Watched jobs have a bound of their own: that of
connections."""


class TooManyProbesError(Exception):
    """`MAX_PROBES` jobs that are not watched are being probed."""

    def __str__(self) -> str:
        return "too many probes of jobs that are not watched; try again later"


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
        self._probes: Counter[JobRecord] = Counter()
        self._probed = ProbedJobs(clock, self._probes)
        self._plans = 0
        self._gatherings = {
            True: Gatherings(self._join, clock),
            False: Gatherings(self._join_summaries, clock),
        }
        self._unlisted = frozenset[str]()
        self._set_back = SetBack(clock)
        # Of the last page by how many parts it has, with jobs or without: the next one has about as many.
        self._bytes: dict[int, int] = {}

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of all systems, as configured."""
        return (*self._systems,)

    @property
    def is_idle(self) -> bool:
        """Whether no scrape waits for reads."""
        return all(each.is_empty for each in self._gatherings.values())

    def replace(self, plans: Iterable[Plan]) -> None:
        """Watches exactly these systems from now on.

        The change is atomic: no scrape shows parts of two configurations. Jobs that stay keep what is known
        of them, jobs that go leave no series.
        """
        for _ in self.replacing(plans):
            pass

    def replacing(self, plans: Iterable[Plan]) -> Iterator[None]:
        """The same in short steps, between which everything else goes on.

        All jobs and systems change in one step. Those before it render what is going to be shown; those after
        it remove what is only counted of systems that are gone, and free memory.
        """
        plans = tuple(plans)
        if [*map(id, plans)] == [id(system.plan) for system in self._systems.values()]:
            return
        systems: dict[str, System] = {}
        changed: list[tuple[System, Plan]] = []
        for plan in plans:
            known = self._systems.get(plan.name)
            system = systems[plan.name] = known or self._new_system(plan)
            if known is None or known.plan is not plan:
                changed.append((system, plan))
            yield
        for _ in range(MAX_ROUNDS):
            late = 0
            for system, plan in changed:
                late += yield from system.prepare(plan)
            # A read that has ended meanwhile has changed what its job shows.
            if late <= FEW:
                break
        removed = self._systems.keys() - systems.keys()
        gone = self._change(systems, changed)
        for name in removed:
            self._probed.forget(name)
            self._instrumentation.forget(name)
            yield
        while gone:
            gone.pop()
            yield

    def _change(self, systems: dict[str, System], changed: Iterable[tuple[System, Plan]]) -> list[object]:
        gone: list[object] = []
        for system, plan in changed:
            if system.plan.origin != plan.origin:
                self._probed.forget(plan.name)
            gone += system.apply(plan)
        before, self._systems = self._systems, systems
        for name in before.keys() - systems.keys():
            gone += before[name].drop()
            before[name].log_outages()
            self._system_page.drop(name)
        self._plans += 1
        for gatherings in self._gatherings.values():
            gatherings.join_again()
        return gone

    def _new_system(self, plan: Plan) -> System:
        instrumentation = self._instrumentation.of(plan.name)
        return System(plan, self._new_record, self._record, instrumentation, self.shard, self._clock)

    def _new_record(self, plan: Plan, outages: Outages, job: Job) -> JobRecord:
        return JobRecord(job, plan, self._job_page, outages, self._clock)

    def _record(self, plan: Plan, outages: Outages, job: Job, new: JobRecord | None) -> JobRecord:
        """The record of a job that is watched from now on, with what probes have read of it."""
        record = self._probed.release(job)
        if record is None:
            return new or self._new_record(plan, outages, job)
        record.move(self._job_page, outages)
        record.reconfigure(job, plan)
        return record

    async def scrape(self, seconds: float, format_: Format, *, jobs: bool = True) -> bytes:
        """Collects for ``seconds`` at most, and renders the page."""
        return bytes(await self.collected(seconds, lambda: self.render(format_, jobs=jobs), jobs=jobs))

    async def collected(self, seconds: float, make: Callable[[], Awaitable[T]], *, jobs: bool = True) -> T:
        """Collects for ``seconds`` at most, and makes a page.

        If the configuration changes before the page is made, both are done again within the same time: the
        page must show the jobs of the new configuration.
        """
        end = self._clock.monotonic() + seconds
        while True:
            await self.collect(end - self._clock.monotonic(), jobs=jobs)
            plans = self._plans
            page = await make()
            if plans == self._plans or self._clock.monotonic() >= end:
                return page

    async def collect(self, seconds: float, *, jobs: bool = True) -> None:
        """Reads every job that is due, for ``seconds`` at most.

        Jobs that were not read by then show the reason ``deadline``. If the configuration changes
        meanwhile, its new jobs are read too, within the same time.

        Args:
            seconds: to wait for reads.
            jobs: whether jobs are read; if not, only each system's own count.
        """
        end = self._clock.monotonic() + seconds
        await self._check_clock()
        await self._gatherings[jobs].current().wait(end)
        for system in self._systems.values():
            system.log_outages()

    async def _check_clock(self) -> None:
        """If the clock was set back, caps the times that it has left in the future."""
        seconds = self._set_back.seconds()
        if not seconds:
            return
        fields = {"seconds": round(seconds, 1)}
        _log.warning("the clock was set back; future times are set to now", extra=fields)
        self._instrumentation.cap_times(self._clock.time())
        # Those of other jobs are capped when they are read.
        for number, record in enumerate((*self.records(), *self._probed.records()), 1):
            record.cap_times()
            if number % ROWS_PER_TURN == 0:
                await asyncio.sleep(0)

    def _join(self, waiter: Waiter, now: float) -> None:
        for system in self._systems.values():
            system.join(waiter, now)

    def _join_summaries(self, waiter: Waiter, now: float) -> None:
        for system in self._systems.values():
            system.join_summary(waiter, now)

    async def probe(self, pairs: Pairs, seconds: float, trace: Trace | None = None) -> Probe:
        """Reads one job of a configured system if it is due, for ``seconds`` at most.

        A job that is watched anyway is the same job under the same pacing; any other is remembered for
        a while.

        Args:
            pairs: ``system`` and the keys of the job.
            trace: records requests and responses.

        Raises:
            QueryError: they name no job, perhaps since the configuration has changed.
            TooManyProbesError: the job is not watched, and too many such jobs are being probed.
        """
        began = self._clock.monotonic()
        await self._check_clock()
        while True:
            system, record = self._find(pairs)
            with self._probing(system, record):
                waiter = Waiter({record}, trace)
                why_not = system.join_job(waiter, self._clock.monotonic(), record)
                await waiter.wait(began + seconds - self._clock.monotonic())
            took = self._clock.monotonic() - began
            # After a reload, or if a listing no longer names the job, the same query may mean another job.
            if took >= seconds or (waiter.joined and not record.dropped and self._find(pairs)[1] is record):
                break
        if waiter.reads:
            await record.missed_deadline(took)
        system.log_outages()
        return Probe(record, took, why_not, trace)

    @contextlib.contextmanager
    def _probing(self, system: System, record: JobRecord) -> Iterator[None]:
        """Counts a job that is probed and not watched."""
        if system.find(record.job) is record:
            yield
            return
        if record not in self._probes and len(self._probes) >= MAX_PROBES:
            raise TooManyProbesError
        self._probes[record] += 1
        try:
            yield
        finally:
            self._probes[record] -= 1
            if not self._probes[record]:
                del self._probes[record]

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

    async def list_due(self, seconds: float) -> None:
        """Reads the listings that are due, for ``seconds`` at most; no job is read.

        Raises:
            UnlistedError: a listing has not succeeded yet, so it is not known which jobs there are. After
                `UNLISTED_SECONDS` the jobs that are known are enough.
        """
        end, plans, waiter = self._clock.monotonic() + seconds, -1, Waiter(only=())
        while plans != self._plans:
            plans = self._plans
            for system in self._systems.values():
                system.join_listing(waiter, self._clock.monotonic())
            await waiter.wait(end - self._clock.monotonic())
            if self._clock.monotonic() >= end:
                break
        self._check_listed()

    def jobs(self) -> list[Job]:
        """Every job of this shard, as far as listings have been read."""
        return [record.job for record in self.records()]

    def records(self) -> list[JobRecord]:
        """The record of each of these jobs."""
        return [record for system in self._systems.values() for record in system.records()]

    def records_of(self, system: str) -> Iterator[JobRecord]:
        """The same of one system."""
        return self._systems[system].records()

    @property
    def is_unread(self) -> bool:
        """Whether neither a job nor, if no job is known, each listing has been read."""
        records, now = self.records(), self._clock.monotonic()
        if not records:
            return any(system.unlisted_for(now) is not None for system in self._systems.values())
        return all(record.view is None for record in records)

    def watched(self, system: str, job_id: str) -> JobRecord | None:
        """The record of one of these jobs; ``None`` if there is none."""
        return self._systems[system].watched(job_id) if system in self._systems else None

    def due_in(self, record: JobRecord) -> tuple[Why | None, float]:
        """Why one of these jobs may not be read now, and seconds until it may."""
        return self._systems[record.job.system].due_in(record, self._clock.monotonic())

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

    def listing_failures(self) -> Mapping[str, Failure]:
        """Why the last listing of a system failed, by system."""
        failures = {name: system.listing_failure for name, system in self._systems.items()}
        return {name: failure for name, failure in failures.items() if failure is not None}

    async def render(self, format_: Format, *, jobs: bool = True) -> memoryview:
        """The page of this moment.

        Args:
            jobs: whether it shows the jobs, or only the systems and the exporter itself.
        """
        for name, system in self._systems.items():
            self._system_page.put(name, render_row(SYSTEM_METRICS, system.identity, system.view()))
        pages: list[Page[Any]] = [*([self._job_page.copy()] if jobs else []), self._system_page.copy()]
        # In a thread: a large page would block the loop. The copies are of one moment, and change no more.
        return await asyncio.to_thread(self._joined, pages, format_)

    def _joined(self, pages: Sequence[Page[Any]], format_: Format) -> memoryview:
        body = joined(self._parts(pages, format_), self._bytes.get(len(pages), 0))
        self._bytes[len(pages)] = len(body)
        return body

    def _parts(self, pages: Iterable[Page[Any]], format_: Format) -> Iterator[bytes]:
        for page in pages:
            yield from page.families(format_)
        openmetrics = format_ is Format.OPENMETRICS
        yield self._instrumentation.render(openmetrics=openmetrics)
        yield b"# EOF\n" if openmetrics else b""

    async def close(self) -> None:
        """Ends all reads."""
        await asyncio.gather(*(system.close() for system in self._systems.values()))
