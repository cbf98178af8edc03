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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from exporter.exposition import Format, Page, Row, label_text, render_row
from exporter.failure import Failure, Reason
from exporter.history import History
from exporter.job import Job, Status
from exporter.meters import Meters, SystemMeters
from exporter.metrics import JOB_METRICS, SYSTEM_METRICS, JobView, SystemView
from exporter.pacing import Pace, Rules, Why
from exporter.upstream import Reading, Upstream

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Scrape:
    """One caller waiting for reads."""

    done: asyncio.Future[None]
    waiting_for: "set[_Read]" = field(default_factory=set)

    def leave(self, read: "_Read") -> None:
        self.waiting_for.discard(read)
        if not self.waiting_for and not self.done.done():
            self.done.set_result(None)


@dataclass(eq=False, slots=True)
class _Read:
    """One read, queued or on the wire, and who waits for it."""

    watched: "_Watched"
    queued_at: float
    scrapes: set[_Scrape] = field(default_factory=set)
    begun: bool = False


class _Watched:
    """One job: its pace, its past, and the row that is shown of it."""

    def __init__(self, job: Job, rules: Rules, page: Page[JobView], *, current_only: bool) -> None:
        self.job = job
        self.pace = Pace(rules)
        self.read: _Read | None = None
        self._history = History(watched_since=round(time.time(), 3))
        self.view: JobView | None = None
        self._row: Row | None = None
        self._page = page
        self._current_only = current_only
        self._reason: Reason | None = None
        self.place = {"system": job.system, "job_id": job.id}
        self._identity = label_text({**self.place, **job.labels})

    @property
    def known(self) -> Status | None:
        """The last status that was understood, however long ago."""
        return self._history.status

    def take(self, reading: Reading, now: float) -> None:
        """Takes in what a read brought, at monotonic time ``now``."""
        failure, status = reading.failure, reading.status
        if failure is not None and failure.reason is Reason.NOT_FOUND and self.known and self.known.final:
            # The vendor has forgotten a run that had ended for good; how it ended stays true.
            failure, status = None, self.known
        if status is not None:
            self.pace.read(self.known, status)
            self._history.observe(status, round(time.time(), 3))
        elif failure is not None:
            self.pace.failed(now, failure)
        self._tell(failure)
        self._show(status, failure.reason if failure else None, reading.read_at, reading.seconds)

    def late(self, seconds: float) -> None:
        """A scrape's deadline passed before the job was read."""
        self._show(None, Reason.DEADLINE, time.time() - seconds, seconds)

    def broken(self, reading: Reading) -> None:
        """What was read could not be taken in."""
        self._show(None, Reason.INTERNAL, reading.read_at, reading.seconds)

    def _show(self, status: Status | None, reason: Reason | None, read_at: float, seconds: float) -> None:
        self.view = JobView(self.job, self._history, status, reason, round(read_at, 3), round(seconds, 6))
        self._row = render_row(
            JOB_METRICS, self._identity, self.view, before=self._row, current_only=self._current_only
        )
        self._page.put((self.job.system, self.job.id), self._row)

    def _tell(self, failure: Failure | None) -> None:
        """Logs trouble when it begins, changes or ends; not at every scrape."""
        reason = failure.reason if failure else None
        if reason is self._reason:
            return
        self._reason = reason
        if failure is None:
            _log.info("job can be read again", extra=self.place)
        else:
            trouble = {"reason": failure.reason, "detail": failure.detail}
            _log.warning("job cannot be read", extra={**self.place, **trouble})


class _System:
    """One system's jobs, its queue (longest unread first) and its readers."""

    def __init__(
        self, upstream: Upstream, jobs: Iterable[_Watched], concurrency: int, meters: SystemMeters
    ) -> None:
        self.upstream = upstream
        self.jobs = list(jobs)
        self._concurrency = concurrency
        self._meters = meters
        self._queue: list[tuple[float, int, _Read]] = []
        self._order = itertools.count()
        self._readers: set[asyncio.Task[None]] = set()
        self._late = False
        meters.watching(len(self.jobs))

    def join(self, scrape: _Scrape, now: float) -> None:
        """Queues a read for every job that is due; one already under way is shared."""
        skipped = dict.fromkeys(Why, 0)
        self._queue = [entry for entry in self._queue if entry[2].scrapes]
        heapq.heapify(self._queue)
        for watched in self.jobs:
            read = watched.read
            if read is None:
                why = watched.pace.why_not(now, self.upstream.not_before)
                if why is not None:
                    skipped[why] += 1
                    continue
                read = watched.read = _Read(watched, now)
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

    async def close(self) -> None:
        for reader in list(self._readers):
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self.upstream.close()

    async def _work(self) -> None:
        while self._queue:
            _, _, read = heapq.heappop(self._queue)
            if not read.scrapes:
                continue  # nobody waits any more; `abandon` has taken it off the job
            read.begun = True
            watched = read.watched
            watched.pace.asked(time.monotonic())
            try:
                reading = await self.upstream.read(watched.job, watched.known)
                self._take(watched, reading)
            finally:
                watched.read = None
                for scrape in read.scrapes:
                    scrape.leave(read)

    def _take(self, watched: _Watched, reading: Reading) -> None:
        try:
            watched.take(reading, time.monotonic())
        except Exception:  # noqa: BLE001  a mistake of ours costs this job, not all jobs behind it
            _log.exception("a status could not be shown", extra=watched.place)
            watched.broken(reading)


def _abandon(read: _Read, scrape: _Scrape) -> None:
    """A scrape no longer waits for a read; one that was not sent leaves the queue with its last waiter."""
    read.scrapes.discard(scrape)
    if not read.scrapes and not read.begun:
        read.watched.read = None


class Collector:
    """Everything that is watched.

    Args:
        meters: the exporter's own metrics.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._systems: dict[str, _System] = {}
        self._identities: dict[str, str] = {}
        self._jobs: Page[JobView] = Page(JOB_METRICS)
        self._system_page: Page[SystemView] = Page(SYSTEM_METRICS)

    def add(
        self,
        name: str,
        upstream: Upstream,
        jobs: Iterable[Job],
        rules: Rules,
        *,
        labels: dict[str, str],
        concurrency: int,
        current_only: bool = False,
    ) -> None:
        """Begins to watch the jobs of one system.

        Args:
            labels: on every series of the system itself; those of its jobs are in the jobs.
            concurrency: reads of this system at a time.
            current_only: of ``remote_job_state`` show only the series that is 1.
        """
        watched = [_Watched(job, rules, self._jobs, current_only=current_only) for job in jobs]
        self._systems[name] = _System(upstream, watched, concurrency, self._meters.of(name))
        self._identities[name] = label_text({"system": name, **labels})

    async def collect(self, seconds: float) -> None:
        """Reads every job that is due and returns when all are read, or after ``seconds``.

        Jobs that were not read by then show reason ``deadline``.
        """
        began = time.monotonic()
        scrape = _Scrape(asyncio.get_running_loop().create_future())
        for system in self._systems.values():
            system.join(scrape, began)
        late: dict[str, int] = dict.fromkeys(self._systems, 0)
        try:
            if scrape.waiting_for:
                await asyncio.wait([scrape.done], timeout=max(0.0, began + seconds - time.monotonic()))
        finally:
            # Also when the scraper hung up: what nobody waits for is not asked.
            for read in scrape.waiting_for:
                _abandon(read, scrape)
        for read in scrape.waiting_for:
            read.watched.late(time.monotonic() - began)
            late[read.watched.job.system] += 1
        for name, jobs in late.items():
            self._systems[name].tell_late(jobs)

    def views(self) -> Iterator[JobView]:
        """What is known of each job that has been asked about."""
        for system in self._systems.values():
            for watched in system.jobs:
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
                self._system_page.put(name, render_row(SYSTEM_METRICS, self._identities[name], view))
            parts = [self._jobs.render(format_), self._system_page.render(format_), *parts]
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join(parts)

    async def close(self) -> None:
        """Ends all reads and connections."""
        await asyncio.gather(*(system.close() for system in self._systems.values()))
