"""One system: its jobs, its listing, its count, and the reads that are under way."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from exporter.collector.discovery import Discovery
from exporter.collector.outages import Outages
from exporter.collector.plan import Plan
from exporter.collector.readers import Readers
from exporter.collector.record import JobRecord
from exporter.collector.records import Create, Records
from exporter.collector.source import Waiter
from exporter.collector.summary import Summary
from exporter.metrics import JobView, SystemView
from exporter.metrics.exposition import label_text
from exporter.metrics.instrumentation import SystemInstrumentation
from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.job import Job
from exporter.model.pacing import Why
from exporter.model.shard import Shard

JOBS_PER_STEP = 100
"""Jobs of a listing that a scrape joins without a pause, in up to half a millisecond."""


@dataclass(frozen=True, slots=True)
class Overview:
    """How many jobs of one system can be read.

    Args:
        jobs: how many are watched.
        readable: those whose last read worked.
        failing: those whose last read failed; the others have not been read yet.
        reason: why the system as a whole cannot be read, else why most of the failing jobs fail.
        example: a job that fails for this reason, if there is one.
        incomplete: the last listing ended before its own total.
    """

    system: str
    jobs: int
    readable: int
    failing: int
    reason: Reason | None
    example: Job | None
    incomplete: bool


class System:
    """One system as it is watched.

    Args:
        plan: what is watched, once it is applied.
        new: makes the record of a job, which nothing knows yet.
        create: makes the record of a job that is watched.

    Attributes:
        identity: the labels of the system's own series.
    """

    def __init__(
        self,
        plan: Plan,
        new: Callable[[Plan, Outages, Job], JobRecord],
        create: Create,
        instrumentation: SystemInstrumentation,
        shard: Shard,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._shard = shard
        self._instrumentation = instrumentation
        self._outages = Outages(plan.name)
        self._records = Records(plan, new, create, self._outages, shard)
        self._readers = Readers(plan.name, plan.upstream, plan.concurrency)
        self._jobs: dict[str, JobRecord] = {}
        self._summary: Summary | None = None
        self._discovery: Discovery | None = None

    @property
    def _found(self) -> Mapping[str, JobRecord]:
        return self._discovery.jobs if self._discovery is not None else {}

    @property
    def plan(self) -> Plan:
        """What is watched at present."""
        return self._records.plan

    def prepare(self, plan: Plan) -> Generator[None, None, int]:
        """Does most of the work of `apply` ahead, in steps. Nothing changes yet.

        Returns:
            How many jobs were not prepared: 0 if it is called again and nothing has happened meanwhile.
        """
        late, same_origin = 0, plan.origin == self.plan.origin
        for job in plan.jobs:
            if self._records.owns(job.id):
                late += self._records.prepare(plan, job, self._known(job) if same_origin else None)
            yield
        for record in tuple(self._found.values()) if same_origin else ():
            late += self._records.prepare_found(plan, record)
            yield
        return late

    def _known(self, job: Job) -> JobRecord | None:
        """What `apply` is going to find of a configured job."""
        record = self._jobs.get(job.id)
        if record is None and self._discovery is not None:
            record = self._discovery.jobs.get(job.id) or self._discovery.former.get(job.id)
        return record if record is not None and record.job.keys == job.keys else None

    def apply(self, plan: Plan) -> list[object]:
        """Applies another plan immediately.

        Jobs that stay keep what is known of them, and their place in the queue, unless the plan has another
        ``origin``; jobs that go leave no series. The waiters then have to join what is new.

        Returns:
            What is not needed any more. There can be so much that its memory is better freed in steps.
        """
        same_origin = plan.origin == self.plan.origin
        gone: list[object] = [] if same_origin else self.drop()
        same_upstream = plan.upstream is self._readers.upstream
        same_choice = same_origin and same_upstream and self._chooses_the_same(plan)
        if not same_upstream:
            # Reads under way end with their own upstream, and do not delay reads with the new one.
            if same_origin:
                plan.upstream.hold_until(self._readers.upstream.not_before)
            queue = self._readers.give_up()
            self._readers = Readers(plan.name, plan.upstream, plan.concurrency, queue)
        self._records.apply(plan)
        self.identity = label_text({"system": plan.name, **plan.labels})
        found = frozenset(self._found)
        records = {**(self._discovery.release() if self._discovery is not None else {}), **self._jobs}
        self._jobs = {
            job.id: self._configured(job, records) for job in plan.jobs if self._records.owns(job.id)
        }
        self._apply_summary(plan)
        self._apply_discovery(plan, same_upstream=same_upstream)
        if self._discovery is not None:
            self._discovery.adopt(records, found, same_choice=same_choice)
        for record in records.values():
            record.abandon_queued()
            record.drop()
        self._readers.work()
        ahead = self._records.applied()
        return [*gone, *records.values(), *ahead.changed.values(), *ahead.new.values()]

    def _chooses_the_same(self, plan: Plan) -> bool:
        """Whether the last listing would choose the same jobs by another plan."""
        before = self.plan
        return (
            (plan.discover, plan.max_jobs, plan.key_names)
            == (before.discover, before.max_jobs, before.key_names)
            and len(plan.jobs) == len(self._records.configured)
            and all(job.id in self._records.configured for job in plan.jobs)
        )

    def _configured(self, job: Job, records: dict[str, JobRecord]) -> JobRecord:
        if job.id not in records or records[job.id].job.keys != job.keys:
            return self._records.create(job)
        record = records.pop(job.id)
        self._records.reconfigure(record, job)
        record.follow_listing(complete=False)
        return record

    def _apply_summary(self, plan: Plan) -> None:
        # The count is of the whole system, so one shard shows it; a sum over shards must not multiply it.
        if not plan.counted or self._shard.index != 0:
            self._summary = None
        elif self._summary is None:
            self._summary = Summary(plan.rules, self._clock)
        else:
            self._summary.reconfigure(plan.rules)

    def _apply_discovery(self, plan: Plan, *, same_upstream: bool) -> None:
        if not plan.discover:
            if self._discovery is not None:
                self._discovery.abandon()
            self._discovery = None
        elif self._discovery is None:
            self._discovery = Discovery(plan.discover, self._records, self._clock, self._join_listed)
        else:
            self._discovery.reconfigure(plan.discover, same_upstream=same_upstream)

    def drop(self) -> list[object]:
        """Forgets everything that is known of its jobs, and returns it."""
        self._readers.clear()
        records = [*self._jobs.values()]
        if self._discovery is not None:
            self._discovery.abandon()
            records += self._discovery.release().values()
        for record in records:
            record.drop()
        self._jobs, self._summary, self._discovery = {}, None, None
        return [*records]

    def join(self, waiter: Waiter, now: float) -> None:
        """Makes a waiter wait for every read that is due.

        Found jobs wait for the listing if it is due: it names them, and may report their states.
        """
        # Here and not when a waiter leaves: to search the queue then would cost n² for n jobs.
        self._readers.drop_abandoned()
        self.join_summary(waiter, now)
        listing = self.join_listing(waiter, now)
        self._join_jobs(waiter, now, self._jobs.values() if listing else self.records())

    def join_job(self, waiter: Waiter, now: float, record: JobRecord) -> Why | None:
        """Makes a waiter wait for the read of one job, or for the listing that reports it, if it is due.

        Returns:
            Why neither is due, or ``None``.
        """
        self._readers.drop_abandoned()
        if record.in_listing and self._discovery is not None:
            why = self._join_direct(self._discovery, waiter, now)
        else:
            # A job that is only probed waits for those that are watched, however many are probed.
            unread_since = None if self.find(record.job) is record else now
            start = functools.partial(self._readers.queue, unread_since=unread_since)
            why = record.join(waiter, now, self._readers.upstream.not_before, start)
            self._readers.work()
        if why is not None:
            self._instrumentation.skipped(why, 1)
        return why

    def join_listing(self, waiter: Waiter, now: float) -> bool:
        """Makes a waiter wait for the listing, if there is one and it is due.

        Returns:
            Whether it waits.
        """
        return self._discovery is not None and self._join_direct(self._discovery, waiter, now) is None

    def join_summary(self, waiter: Waiter, now: float) -> None:
        """Makes a waiter wait for the system's own count, if there is one and it is due."""
        if self._summary is not None:
            self._join_direct(self._summary, waiter, now)

    def _join_direct(self, source: Discovery | Summary, waiter: Waiter, now: float) -> Why | None:
        return source.join(waiter, now, self._readers.upstream.not_before, self._readers.begin)

    def _join_listed(self, waiters: Collection[Waiter]) -> Iterator[None]:
        """Makes those who wait for the listing wait for the jobs that it named, in steps.

        Args:
            waiters: those of the listing's read. Meanwhile others may join it, and some may leave.
        """
        ready: set[Waiter] = set()
        while (waiter := next((each for each in waiters if each not in ready), None)) is not None:
            plan, only, now = self.plan, waiter.only, self._clock.monotonic()
            found = iter([each for each in self._found.values() if only is None or each in only])
            while waiter in waiters and (some := [*islice(found, JOBS_PER_STEP)]):
                self._join_jobs(waiter, now, [each for each in some if not each.dropped])
                yield
            if self.plan is plan:  # else a reload may have made other records
                ready.add(waiter)

    def _join_jobs(self, waiter: Waiter, now: float, records: Iterable[JobRecord]) -> None:
        skipped = dict.fromkeys(Why, 0)
        not_before, start = self._readers.upstream.not_before, self._readers.queue
        for record in records:
            if record in waiter.joined or record.in_listing:
                continue
            if why := record.join(waiter, now, not_before, start):
                skipped[why] += 1
        for why, reads in skipped.items():
            self._instrumentation.skipped(why, reads)
        self._readers.work()

    def job(self, keys: Mapping[str, str]) -> Job:
        """The job with these keys: as configured, for another shard too, or as any job of the system."""
        job = self.plan.job(keys, "")
        configured = self._records.configured.get(job.id)
        return configured if configured is not None and configured.keys == keys else job

    def find(self, job: Job) -> JobRecord | None:
        """The record of this very job, if it is watched."""
        record = self._jobs.get(job.id) or self._found.get(job.id)
        # Keys with slashes may make up the id of another job.
        return record if record is not None and record.job.keys == job.keys else None

    def watched(self, job_id: str) -> JobRecord | None:
        """The record of the job with this id, if it is watched."""
        return self._jobs.get(job_id) or self._found.get(job_id)

    def due_in(self, record: JobRecord, now: float) -> tuple[Why | None, float]:
        """Why a job, or the listing that reports it, may not be read, and seconds until it may."""
        source = self._discovery if record.in_listing and self._discovery is not None else record
        return source.due_in(now, self._readers.upstream.not_before)

    def take_former(self, job: Job) -> JobRecord | None:
        """Gives up the record of a job that was dropped, for a probe."""
        return self._discovery.take_former(job) if self._discovery is not None else None

    def records(self) -> Iterator[JobRecord]:
        """Every job that is watched, configured or found."""
        yield from self._jobs.values()
        yield from self._found.values()

    def views(self) -> Iterator[JobView]:
        """What the rows of each job show; jobs that have not been read yet have no rows."""
        return (record.view for record in self.records() if record.view is not None)

    def unlisted_for(self, now: float) -> float | None:
        """Seconds that a first listing has been awaited; ``None`` if there was one, or is no listing."""
        return self._discovery.unlisted_for(now) if self._discovery is not None else None

    def log_outages(self) -> None:
        """Logs which failures of reads began, grew much or ended."""
        self._outages.log(self._clock.monotonic())

    def view(self) -> SystemView:
        """What the system's own row shows."""
        self._instrumentation.watching(self._count())
        upstream = self.plan.upstream
        return SystemView(
            self._reason(),
            upstream.rate_limit_remaining,
            upstream.credentials_expiry(),
            self._discovery.dropped if self._discovery is not None else None,
            self._discovery.skipped if self._discovery is not None else None,
            self._summary.counts if self._summary is not None else None,
            self._is_incomplete(),
        )

    def _is_incomplete(self) -> bool:
        return self._discovery is not None and bool(self._discovery.incomplete)

    @property
    def listing_failure(self) -> Failure | None:
        """Why the last listing failed."""
        return self._discovery.failure if self._discovery is not None else None

    def _reason(self) -> Reason | None:
        """Why the system as a whole cannot be read: its listing or its credential fails."""
        if (failure := self.listing_failure) is not None:
            return failure.reason
        return next((each for each in (Reason.AUTH, Reason.UNAUTHORIZED) if self._outages.has(each)), None)

    def overview(self) -> Overview:
        """How many of its jobs can be read."""
        views = [*self.views()]
        failing = [view for view in views if view.reason is not None]
        commonest = Counter(view.reason for view in failing).most_common(1)
        worst = self._reason() or (commonest[0][0] if commonest else None)
        example = next((view.job for view in failing if view.reason is worst), None)
        readable = len(views) - len(failing)
        return Overview(
            self.plan.name, self._count(), readable, len(failing), worst, example, self._is_incomplete()
        )

    def _count(self) -> int:
        return len(self._jobs) + len(self._found)

    async def close(self) -> None:
        """Cancels every read."""
        await self._readers.close()
