"""One system as it is watched: its jobs and listing, what is queued, and who asks."""

import asyncio
import functools
import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.collector.discovery import Discovery, chosen
from exporter.collector.outages import Outages
from exporter.collector.record import Read, Scrape, Watched
from exporter.collector.summary import Summary
from exporter.metrics import JobView
from exporter.metrics.exposition import label_text
from exporter.metrics.instrumentation import SystemInstrumentation
from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.job import Job
from exporter.model.pacing import Pace, Rules, Why
from exporter.model.shard import Shard
from exporter.providers.base import DiscoverKeys, Found
from exporter.runtime import tasks
from exporter.upstream.client import Listed, Reading, Upstream

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """One system as it is to be watched.

    Args:
        home: what a job's identity is relative to; a job keeps its past while home and id stay.
        labels: on every series of the system itself; those of its jobs are in the jobs.
        concurrency: reads of this system at a time.
        job: makes the job of the keys and the name that a listing gave.
        current_only: of ``remote_job_state`` show only the series that is 1.
        discover: which jobs are found by a listing, if any.
        max_jobs: how many jobs are watched, those written by hand in any case.
        key_names: of a job's keys.
        counted: the system can count its jobs by state.
    """

    name: str
    home: Hashable
    upstream: Upstream
    jobs: Sequence[Job]
    rules: Rules
    labels: Mapping[str, str]
    concurrency: int
    job: Callable[[Mapping[str, str], str], Job]
    current_only: bool = False
    discover: DiscoverKeys | None = None
    max_jobs: int = 0
    key_names: frozenset[str] = frozenset()
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    """How the jobs of one system can be read.

    Args:
        jobs: how many are watched.
        readable: those whose last read worked.
        failing: those whose last read failed; the others have not been read yet.
        reason: why the system as a whole cannot be read, else why most of the failing jobs fail.
        example: a job that fails for it, if there is one.
    """

    system: str
    jobs: int
    readable: int
    failing: int
    reason: Reason | None
    example: Job | None


class System:
    """One system's jobs, its queue (longest unread first) and its readers.

    Args:
        plan: how it is watched.
        make: makes a job that is not known yet.
        outages: counts why jobs of the system cannot be read.
        before: the same system as the config before had it, if what is known of its jobs still holds.
            It hands all of it over and watches nothing any more.
    """

    def __init__(
        self,
        plan: Plan,
        make: Callable[[Plan, Outages, Job], Watched],
        instrumentation: SystemInstrumentation,
        outages: Outages,
        shard: Shard,
        clock: Clock,
        before: "System | None" = None,
    ) -> None:
        self.plan = plan
        self.upstream = plan.upstream
        self.outages = outages
        self.identity = label_text({"system": plan.name, **plan.labels})
        self._clock = clock
        self._make = functools.partial(make, plan, outages)
        self._shard = shard
        self._by_hand = {job.id: job for job in plan.jobs}
        self._concurrency = plan.concurrency
        self._instrumentation = instrumentation
        self._queue: list[tuple[float, int, Read, Watched]] = []
        self._order = itertools.count()
        self._readers: set[asyncio.Task[None]] = set()
        self._listings: set[asyncio.Task[None]] = set()
        known, found = before.hand_over() if before is not None else ({}, frozenset[str]())
        own = [job for job in plan.jobs if shard.owns(plan.name, job.id)]
        self.jobs = {job.id: self._written(job, known) for job in own}
        self.summary = self._summary(before)
        self.discovery = self._discovery(before, known, found)
        for watched in known.values():
            watched.drop()
        if self.discovery is not None:
            self.discovery.take = functools.partial(self._listed, self.discovery)
            if self.discovery.listed is not None:
                self._choose(self.discovery, self.discovery.listed)

    def _written(self, job: Job, known: dict[str, Watched]) -> Watched:
        """A hand-written job, with what is known of it."""
        if job.id not in known or known[job.id].job.keys != job.keys:
            return self._make(job)
        watched = known.pop(job.id)
        self._adopt(watched, job)
        watched.listed = False  # it is read by itself now
        return watched

    def _adopt(self, watched: Watched, job: Job) -> None:
        watched.adopt(job, self.plan.rules, current_only=self.plan.current_only)

    def _summary(self, before: "System | None") -> Summary | None:
        if self._shard.index != 0 or not self.plan.counted:
            return None
        if before is None or before.summary is None:
            return Summary(Pace(self.plan.rules))
        before.summary.pace.rules = self.plan.rules
        return before.summary

    def _discovery(
        self, before: "System | None", known: dict[str, Watched], found: Collection[str]
    ) -> Discovery | None:
        """The listing; takes out of ``known`` what it has found, or may find next.

        What other keys found stays until the first listing by these: an outage at that moment must not
        look as if the jobs were gone.
        """
        plan = self.plan
        if plan.discover is None:
            return None
        if before is None or before.discovery is None:
            discovery = Discovery(plan.discover, plan.max_jobs, Pace(plan.rules))
        else:
            same_way = before.upstream is self.upstream
            discovery = before.discovery.under(plan.discover, plan.max_jobs, plan.rules, same_way=same_way)
        for job_id, watched in list(known.items()):
            # Keys that hold slashes may make up the id of a hand-written job.
            if watched.job.keys.keys() != plan.key_names or job_id in self._by_hand:
                continue
            del known[job_id]
            if job_id in found and (job := self._job(watched.job)) is not None:
                self._adopt(watched, job)
                discovery.jobs[job_id] = watched
            else:
                watched.drop()
                discovery.former[job_id] = watched
        return discovery

    def _job(self, before: Job) -> Job | None:
        """A job that was found as the present config has it; ``None`` where the provider refuses its keys."""
        try:
            return self.plan.job(before.keys, before.name)
        except Exception:  # noqa: BLE001  a reload must not stop half-way for one job
            _log.exception(
                "a found job could not be kept", extra={"system": self.plan.name, "job_id": before.id}
            )
            return None

    def join(self, scrape: Scrape, now: float) -> None:
        """Queues a read for every job that is due; one already under way is shared.

        Found jobs wait for the listing where it is due: it tells which there are and how they stand.
        """
        self._forget_given_up()
        self.join_summary(scrape, now)
        listing = self.join_listing(scrape, now)
        self._join_reads(scrape, now, self.jobs.values() if listing else self.watched())

    def join_job(self, scrape: Scrape, now: float, watched: Watched) -> Why | None:
        """Queues a read for one job if it is due, or the listing that tells of it.

        Returns:
            Why not, if neither is.
        """
        self._forget_given_up()
        if watched.listed and self.discovery is not None:
            why = self._join_listing(self.discovery, scrape, now)
        else:
            # Jobs that nobody configured wait behind those that somebody did, however many are probed.
            own = self.find(watched.job) is watched
            why = self._join_read(scrape, now, watched, watched.pace.asked_at if own else now)
            self._start_readers()
        if why is not None:
            self._instrumentation.skipped(why, 1)
        return why

    def job(self, keys: Mapping[str, str]) -> Job:
        """The job of these keys: as written by hand, for another shard too, or as any job of the system."""
        job = self.plan.job(keys, "")
        by_hand = self._by_hand.get(job.id)
        return by_hand if by_hand is not None and by_hand.keys == keys else job

    def find(self, job: Job) -> Watched | None:
        """The very job as it is watched here, if it is."""
        watched = self.jobs.get(job.id)
        if watched is None and self.discovery is not None:
            watched = self.discovery.jobs.get(job.id)
        # Keys that hold slashes may make up the id of another job.
        return watched if watched is not None and watched.job.keys == job.keys else None

    def take_former(self, job: Job) -> Watched | None:
        """The job as it was watched before it was dropped, for somebody else to watch."""
        former = self.discovery.former if self.discovery is not None else {}
        return former.pop(job.id) if job.id in former and former[job.id].job.keys == job.keys else None

    def watched(self) -> Iterator[Watched]:
        """Every job, written by hand or found."""
        yield from self.jobs.values()
        if self.discovery is not None:
            yield from self.discovery.jobs.values()

    def _join_reads(self, scrape: Scrape, now: float, jobs: Iterable[Watched]) -> None:
        skipped = dict.fromkeys(Why, 0)
        for watched in jobs:
            if not watched.listed and (why := self._join_read(scrape, now, watched, watched.pace.asked_at)):
                skipped[why] += 1
        for why, reads in skipped.items():
            self._instrumentation.skipped(why, reads)
        self._start_readers()

    def _join_read(self, scrape: Scrape, now: float, watched: Watched, unread_since: float) -> Why | None:
        read = watched.read
        if read is None:
            why = self._why_not(watched, now)
            if why is not None:
                return why
            read = watched.read = Read(watched)
            heapq.heappush(self._queue, (unread_since, next(self._order), read, watched))
        read.scrapes.add(scrape)
        scrape.waiting_for.add(read)
        return None

    def _start_readers(self) -> None:
        for _ in range(min(len(self._queue), self._concurrency - len(self._readers))):
            tasks.start(self._work(), self._readers, f"read {self.plan.name}")

    def _forget_given_up(self) -> None:
        self._queue = [entry for entry in self._queue if entry[2].scrapes]
        heapq.heapify(self._queue)

    def join_listing(self, scrape: Scrape, now: float) -> bool:
        """Starts a listing if there is one and it is due; one under way is shared.

        Returns:
            Whether the scrape has to wait for it.
        """
        return self.discovery is not None and self._join_listing(self.discovery, scrape, now) is None

    def _join_listing(self, discovery: Discovery, scrape: Scrape, now: float) -> Why | None:
        return self._join_whole(discovery, functools.partial(self._list, discovery), scrape, now)

    def join_summary(self, scrape: Scrape, now: float) -> None:
        """Asks for the system's own count if there is one and it is due; one under way is shared."""
        if self.summary is not None:
            self._join_whole(self.summary, functools.partial(self._count, self.summary), scrape, now)

    def _join_whole(
        self,
        owner: Discovery | Summary,
        work: Callable[[Read], Coroutine[Any, Any, None]],
        scrape: Scrape,
        now: float,
    ) -> Why | None:
        """Starts what is asked of the system as a whole, if it is due; one under way is shared."""
        if owner.read is None:
            why = owner.why_not(now)
            if why is None and now < self.upstream.not_before:
                why = Why.PACING
            if why is not None:
                return why
            owner.read = Read(owner, begun=True)
            tasks.start(work(owner.read), self._listings, f"list or count {self.plan.name}")
        owner.read.scrapes.add(scrape)
        scrape.waiting_for.add(owner.read)
        return None

    async def _count(self, summary: Summary, read: Read) -> None:
        try:
            summary.pace.asked(self._clock.monotonic())
            counted = await self.upstream.count_jobs()
            summary.unserved = not read.scrapes
            summary.counts = counted.counts
            if counted.failure is not None:
                summary.pace.failed(self._clock.monotonic(), counted.failure)
        finally:
            read.end()

    async def _list(self, discovery: Discovery, read: Read) -> None:
        try:
            discovery.pace.asked(self._clock.monotonic())
            listed = await self.upstream.list_jobs(discovery.keys, read.trace)
            if discovery.take is not None:
                discovery.take(listed, read)
        finally:
            read.end()

    def _listed(self, discovery: Discovery, listed: Listed, read: Read) -> None:
        discovery.unserved = not read.scrapes
        self._tell_listing(discovery.failure, listed.failure)
        if listed.failure is not None:
            self._listing_failed(discovery, listed.failure, listed)
        else:
            discovery.succeeded(listed)
            self._choose(discovery, listed, news=True)
        for scrape in read.scrapes:
            jobs = discovery.jobs.values() if scrape.only is None else scrape.only
            self._join_reads(scrape, self._clock.monotonic(), [each for each in jobs if not each.dropped])

    def _listing_failed(self, discovery: Discovery, failure: Failure, listed: Listed) -> None:
        discovery.failed(self._clock.monotonic(), failure)
        for watched in discovery.jobs.values():
            if watched.listed and not (watched.known and watched.known.final):
                self._take(watched, Reading(None, failure, listed.read_at, listed.seconds))

    def _choose(self, discovery: Discovery, listed: Listed, *, news: bool = False) -> None:
        """Watches what a listing named, as far as the config wants it.

        Args:
            news: the listing has just been read. Else only the config has changed, and what is known of a
                job may be newer than what the listing says of it.
        """
        found = {job_id: each for job_id, each in listed.found.items() if job_id not in self._by_hand}
        # Of what an earlier config left out, a failed run that only a listing knew may be wanted again.
        former = {job_id: watched for job_id, watched in discovery.former.items() if watched.listed}
        keep, discovery.dropped = chosen(
            found,
            {**former, **discovery.jobs},
            newer_than=discovery.keys.newer_than,
            max_jobs=max(0, discovery.max_jobs - len(self._by_hand)),
            now=listed.read_at if news else self._clock.time(),
        )
        keep = {job_id: each for job_id, each in keep.items() if self._shard.owns(self.plan.name, job_id)}
        for job_id in discovery.jobs.keys() - keep.keys():
            watched = discovery.jobs.pop(job_id)
            watched.drop()
            discovery.former[job_id] = watched
        for job_id, each in keep.items():
            if each is None:
                self._keep_forgotten(discovery, job_id)
            else:
                self._show_found(discovery, job_id, each, listed, news=news)
        if news:
            discovery.former.clear()

    def _keep_forgotten(self, discovery: Discovery, job_id: str) -> None:
        """Goes on showing a run that the vendor has forgotten, as it ended."""
        if job_id not in discovery.jobs:
            watched = discovery.former.pop(job_id)
            job = self._job(watched.job)
            if job is None:
                return
            self._adopt(watched, job)
            discovery.jobs[job_id] = watched
        discovery.jobs[job_id].listed = True

    def _show_found(
        self, discovery: Discovery, job_id: str, each: Found, listed: Listed, *, news: bool
    ) -> None:
        try:
            watched = discovery.jobs.get(job_id)
            if watched is None or watched.job.keys != each.keys:
                # Keys that hold slashes may make up the id of another job.
                if watched is not None:
                    watched.drop()
                watched = discovery.jobs[job_id] = self._found(discovery, each)
            watched.listed = each.complete
            if each.status is not None and (news or watched.known is None):
                watched.tell(each.status, listed.read_at, listed.seconds)
        except Exception:  # noqa: BLE001  an error of ours costs this job, not all that were found
            _log.exception(
                "a found job could not be shown", extra={"system": self.plan.name, "job_id": job_id}
            )
            if job_id in discovery.jobs:
                discovery.jobs[job_id].broken(Reading(None, None, listed.read_at, listed.seconds))

    def _found(self, discovery: Discovery, each: Found) -> Watched:
        job = self.plan.job(each.keys, each.name)
        watched = discovery.former.pop(job.id, None)
        if watched is None or watched.job.keys != job.keys:
            return self._make(job)
        self._adopt(watched, job)
        return watched

    def _tell_listing(self, before: Failure | None, failure: Failure | None) -> None:
        """Logs trouble with the listing when it begins, changes or ends."""
        system = {"system": self.plan.name}
        if failure is None:
            if before is not None:
                _log.info("jobs can be listed again", extra=system)
        elif before is None or before.reason is not failure.reason:
            trouble = {"reason": failure.reason, **self.outages.place, "detail": failure.detail}
            _log.warning("jobs cannot be listed", extra={**system, **trouble}, exc_info=failure.__cause__)

    def _why_not(self, watched: Watched, now: float) -> Why | None:
        """Why the job is not asked now but shows what it showed."""
        why = watched.pace.why_not(now)
        if why is None and watched.unserved:
            why = Why.FRESH  # its answer came too late for the scrape that asked, and serves this one
        if why is None and now < self.upstream.not_before:
            why = Why.PACING
            watched.held()
        watched.unserved = False
        return why

    def log_outages(self) -> None:
        """Logs which failures of reads began, changed much or ended."""
        self.outages.log(self._clock.monotonic())

    def trouble(self) -> Reason | None:
        """Why the system as a whole cannot be read: its listing, or a credential not had or refused."""
        if self.discovery is not None and self.discovery.failure is not None:
            return self.discovery.failure.reason
        reasons = {view.reason for view in self.views()}
        return next((reason for reason in (Reason.AUTH, Reason.UNAUTHORIZED) if reason in reasons), None)

    def overview(self) -> Overview:
        """How its jobs can be read."""
        failing = [view for view in self.views() if view.reason is not None]
        readable = sum(1 for _ in self.views()) - len(failing)
        commonest = Counter(view.reason for view in failing).most_common(1)
        worst = self.trouble() or (commonest[0][0] if commonest else None)
        example = next((view.job for view in failing if view.reason is worst), None)
        return Overview(self.plan.name, self.count(), readable, len(failing), worst, example)

    def views(self) -> Iterator[JobView]:
        """What is known of each job that was asked."""
        return (watched.view for watched in self.watched() if watched.view is not None)

    def count(self) -> int:
        """How many jobs are watched, hand-written or found."""
        return len(self.jobs) + (len(self.discovery.jobs) if self.discovery is not None else 0)

    def hand_over(self) -> tuple[dict[str, Watched], frozenset[str]]:
        """Sends nothing more and gives up all jobs; who waits for what was not sent has to ask again.

        Returns:
            The jobs by ``job_id``, those that the next listing may name again among them, and the ids of
            those that a listing has found.
        """
        for _, _, read, _ in self._queue:
            read.end()
        self._queue.clear()
        jobs, found = dict(self.jobs), dict[str, Watched]()
        self.jobs = {}
        if self.discovery is not None:
            self.discovery.take = None
            found = dict(self.discovery.jobs)
            jobs = {**self.discovery.former, **found, **jobs}
            self.discovery.jobs.clear()
            self.discovery.former.clear()
        return jobs, frozenset(found)

    async def close(self) -> None:
        """Ends all reads."""
        under_way = self._readers | self._listings
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _work(self) -> None:
        while self._queue:
            _, _, read, watched = heapq.heappop(self._queue)
            if read.scrapes:  # else nobody waits any more
                await self._ask(read, watched)

    async def _ask(self, read: Read, watched: Watched) -> None:
        now = self._clock.monotonic()
        try:
            if now < self.upstream.not_before:  # forbidden since the read was queued
                watched.held()
                return
            read.begun = True
            watched.pace.asked(now)
            reading = await self.upstream.read(watched.job, watched.known, read.trace)
            watched.unserved = not read.scrapes
            self._take(watched, reading)
        finally:
            read.end()

    def _take(self, watched: Watched, reading: Reading) -> None:
        try:
            watched.take(reading, self._clock.monotonic())
        except Exception:  # noqa: BLE001  an error of ours costs this job, not all jobs behind it
            _log.exception("a status could not be shown", extra=watched.place)
            watched.broken(reading)
