"""One job as it is watched: its pace, its past, the row that is shown of it, and who waits for it."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Protocol

from exporter.collector.outages import Example, Outages
from exporter.metrics import JOB_METRICS, JobView
from exporter.metrics.exposition import Format, Page, Row, label_text, render_row
from exporter.model.clock import Clock
from exporter.model.failure import Reason
from exporter.model.history import History
from exporter.model.job import Job, Status
from exporter.model.pacing import Pace, Rules
from exporter.upstream.client import Reading
from exporter.upstream.trace import Trace

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Scrape:
    """One caller waiting for reads; ``done`` is set when there are none left.

    Args:
        only: the jobs it wants to see; ``None`` is all there are.
        trace: takes in how its reads go, where somebody wants to know.
    """

    done: asyncio.Future[None]
    only: "Collection[Watched] | None" = None
    trace: Trace | None = None
    waiting_for: "set[Read]" = field(default_factory=set)

    def abandon(self) -> None:
        """Waits no longer; a read that was not sent is given up with the last who waits for it."""
        for read in self.waiting_for:
            read.scrapes.discard(self)
            if not read.scrapes and not read.begun:
                read.owner.read = None


class Owner(Protocol):
    """What is read: a job, or a listing."""

    read: "Read | None"

    def late(self, seconds: float) -> None:
        """A scrape's deadline passed before it was read."""


@dataclass(eq=False, slots=True)
class Read:
    """One read, queued or on the wire, and who waits for it."""

    owner: Owner
    scrapes: set[Scrape] = field(default_factory=set)
    begun: bool = False

    @property
    def trace(self) -> Trace | None:
        """That of the first who waits and has one."""
        return next((scrape.trace for scrape in self.scrapes if scrape.trace is not None), None)

    def end(self) -> None:
        """The read is over; everybody who waited for it is told."""
        self.owner.read = None
        for scrape in self.scrapes:
            scrape.waiting_for.discard(self)
            if not scrape.waiting_for and not scrape.done.done():
                scrape.done.set_result(None)
        self.scrapes.clear()


class Watched:
    """A job that is read: configured, found or probed. One that was dropped keeps its past and may come back.

    Args:
        page: where its row is shown.
        outages: counts why jobs of its system cannot be read.
        current_only: of ``remote_job_state`` show only the series that is 1.

    Attributes:
        listed: a listing tells all there is to tell of it, so it is not read by itself.
        unserved: what the last read brought has not been shown by any scrape yet.
        read: the read that is queued or on the wire.
        view: what is shown of it; ``None`` until it was asked about.
        detail: why the last attempt failed, in our own words.
    """

    def __init__(
        self,
        job: Job,
        rules: Rules,
        page: Page[JobView],
        outages: Outages,
        clock: Clock,
        *,
        current_only: bool,
    ) -> None:
        self.job = job
        self._clock = clock
        self.pace = Pace(rules)
        self.read: Read | None = None
        self.listed = False
        self.unserved = False
        self.view: JobView | None = None
        self.detail = ""
        self._history = History(watched_since=round(self._clock.time(), 3))
        self._home = page
        self._page: Page[JobView] | None = page
        self._outages = outages
        self._reason: Reason | None = None
        self._label(current_only=current_only)

    def adopt(self, job: Job, rules: Rules, *, current_only: bool) -> None:
        """Is shown under a new config: what is known of the job stays, what is said of it may change."""
        self.job = job
        self.pace.rules = rules
        self._label(current_only=current_only)
        if self.view is not None:
            self.view = replace(self.view, job=job)
        self._restore()

    def drop(self) -> None:
        """Leaves the page; a read under way shows nothing any more."""
        if self._page is not None:
            self._page.drop(self)
        self._page = None
        if self._reason is not None:
            self._outages.ended(self, self._reason)
        self._reason = None

    @property
    def dropped(self) -> bool:
        """Whether it is watched no more."""
        return self._page is None

    def move(self, page: Page[JobView], outages: Outages) -> None:
        """Is shown on another page from now on, and counted with other outages."""
        self.drop()
        self._home, self._outages = page, outages
        self._restore()

    def _restore(self) -> None:
        self._page = self._home
        if self.view is not None:
            self._put(self.view)
            self._count(self.view.reason)

    def render(self, format_: Format) -> bytes:
        """The families of this job alone."""
        return b"" if self._page is None else self._page.render(format_, only=self)

    def _label(self, *, current_only: bool) -> None:
        self.place = {"system": self.job.system, "job_id": self.job.id}
        self._identity = label_text({**self.place, **self.job.labels})
        self.current_only = current_only
        self._row: Row | None = None

    @property
    def known(self) -> Status | None:
        """The last status that was understood, however long ago."""
        return self._history.status

    @property
    def state_since(self) -> float:
        """Since when the job is in the state of `known`, in Unix seconds."""
        return self._history.state_since

    def tell(self, status: Status, read_at: float, seconds: float) -> None:
        """Takes in how a listing says that the job stands.

        Where the listing does not tell everything, it is only news if the state has changed: what
        the job's own read told besides is worth more.
        """
        known = self.known
        if self.listed or known is None or known.state is not status.state:
            self.pace.final = status.final
            self._history.observe(status, round(self._clock.time(), 3))
            self.detail = ""
            self._show(status, None, read_at, seconds)

    def take(self, reading: Reading, now: float) -> None:
        """Takes in what a read brought, at monotonic time ``now``."""
        failure, status = reading.failure, reading.status
        if failure is not None and failure.reason is Reason.NOT_FOUND and self.known and self.known.final:
            # The vendor has forgotten a run that had ended for good; how it ended stays true.
            failure, status = None, self.known
        if status is not None:
            self.pace.read(self.known, status)
            self._history.observe(status, round(self._clock.time(), 3))
        elif failure is not None:
            self.pace.failed(now, failure)
        self.detail = failure.detail if failure else ""
        error = failure.__cause__ if failure else None
        reason = failure.reason if failure else None
        self._show(status, reason, reading.read_at, reading.seconds, error=error)

    def late(self, seconds: float) -> None:
        """A scrape's deadline passed before the job was read."""
        self.detail = "no answer before the scrape's deadline; what is under way serves the next one"
        self._show(None, Reason.DEADLINE, self._clock.time() - seconds, seconds)

    def held(self) -> None:
        """The vendor wants no request of the whole system, and nothing better is known of the job."""
        if self.view is None or self.view.reason is Reason.DEADLINE:
            self.detail = "the vendor wants no request of ours to this system for now"
            self._show(None, Reason.RATE_LIMITED, self._clock.time(), 0.0)

    def broken(self, reading: Reading) -> None:
        """What was read could not be taken in."""
        self.detail = "what was read could not be shown"
        self._show(None, Reason.INTERNAL, reading.read_at, reading.seconds)

    def _show(
        self,
        status: Status | None,
        reason: Reason | None,
        read_at: float,
        seconds: float,
        *,
        error: BaseException | None = None,
    ) -> None:
        self._put(JobView(self.job, self._history, status, reason, round(read_at, 3), round(seconds, 6)))
        self._count(reason, error)

    def _put(self, view: JobView) -> None:
        self.view = view
        if self._page is None:
            return
        self._row = render_row(
            JOB_METRICS, self._identity, view, before=self._row, current_only=self.current_only
        )
        self._page.put(self, self._row)

    def _count(self, reason: Reason | None, error: BaseException | None = None) -> None:
        """Counts why the job cannot be read now; ``None`` where it can."""
        if reason is self._reason or self.dropped:
            return
        if self._reason is not None:
            self._outages.ended(self, self._reason)
        self._reason = reason
        if reason is None:
            _log.debug("job can be read again", extra=self.place)
        else:
            name = self.view.name if self.view is not None else self.job.name
            self._outages.began(self, reason, Example(self.job.id, name, self.detail), error)
            _log.debug("job cannot be read", extra={**self.place, "reason": reason, "detail": self.detail})
