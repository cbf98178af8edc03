"""What is known of a job, and the rows that show it."""

import logging
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from exporter.collector.outages import Example, Outages
from exporter.collector.plan import Plan
from exporter.collector.source import Source, Waiter
from exporter.metrics import JOB_METRICS, JobView
from exporter.metrics.exposition import Format, Page, Row, label_text, render_row
from exporter.model.clock import Clock
from exporter.model.failure import Reason
from exporter.model.history import History
from exporter.model.job import EMPTY, Job, State, Status
from exporter.upstream.reading import Reading, Upstream
from exporter.upstream.trace import Trace

_log = logging.getLogger(__name__)

MAX_CHANGES = 50
"""Of a job, for people; the newest stay."""


class Change(Struct, frozen=True, gc=False):
    """A read that found another state than the one before it, or another reason for a failure.

    Args:
        at: Unix time of the read.
        state: ``None`` if it failed.
        raw: the vendor's word for the state.
        reason: why it failed.
    """

    at: float
    state: State | None
    raw: str
    reason: Reason | None


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """What a job record shows, rendered ahead of a change of the configuration.

    Args:
        view_before: from which ``view`` was made.
        labels_before: from which ``vendor_labels`` were made.
        row_before: kept only so that it is freed with the face: there are many lines in the rows of all jobs.
    """

    job: Job
    current_only: bool
    vendor_labels: Mapping[str, str]
    identity: str
    view: JobView | None
    row: Row | None
    view_before: JobView | None
    labels_before: Mapping[str, str]
    row_before: Row | None


class JobRecord(Source[Reading]):
    """A job that is configured, found or probed. A dropped record keeps its history and may be used again.

    Args:
        plan: of the system.
        page: shows its rows.
        outages: counts why jobs of its system cannot be read.

    Attributes:
        in_listing: a listing reports everything about the job, so it is not read by itself.
        view: what its rows show; ``None`` until the first attempt to read it.
        detail: why the last attempt failed.
        changes: of the state, since the exporter started; the oldest first.
    """

    def __init__(self, job: Job, plan: Plan, page: Page[JobView], outages: Outages, clock: Clock) -> None:
        super().__init__(plan.rules, clock)
        self.job = job
        self.in_listing = False
        self.view: JobView | None = None
        self.detail = ""
        self.changes: tuple[Change, ...] = ()
        self._history = History(watched_since=self._now())
        self._page = page
        self._outages = outages
        self._reason: Reason | None = None
        self._vendor_labels = self._listed_labels = EMPTY
        self._listed_state: State | None = None
        self._has_labels = self._dropped = False
        self._upstream = plan.upstream
        self._row: Row | None = None
        self._current_only = plan.current_only
        self._identify()

    def face(self, job: Job, plan: Plan) -> Face | None:
        """What the record is going to show with this job and plan; ``None`` if it shows the same.

        To render it takes most of the time of a reload, so that is done before anything changes.
        """
        labels = self._labels_with(plan.upstream)
        if (job, plan.current_only, labels) == (self.job, self._current_only, self._vendor_labels):
            return None
        identity, view, row = label_text({**self._fields, **labels, **job.labels}), self.view, None
        if view is not None:
            view = replace(view, job=job)
            same = (identity, plan.current_only) == (self._identity, self._current_only)
            row = render_row(
                JOB_METRICS,
                identity,
                view,
                before=self._row if same else None,
                current_only=plan.current_only,
            )
        before = self.view, self._vendor_labels, self._row
        return Face(job, plan.current_only, labels, identity, view, row, *before)

    def reconfigure(self, job: Job, plan: Plan, face: Face | None = None) -> None:
        """Applies a changed configuration, and shows a dropped record again. The history stays.

        Args:
            face: an earlier result of `face` for the same job and plan. A read may have ended since then.
        """
        if face is None or self.is_stale(face):
            face = self.face(job, plan)
        if plan.upstream is not self._upstream:
            # The next response sets the labels; those that are no longer configured go now.
            self._upstream, self._has_labels, self._listed_labels = plan.upstream, False, EMPTY
        self._pace.rules = plan.rules
        if face is not None:
            self.job, self._current_only = face.job, face.current_only
            self._vendor_labels, self._identity = face.vendor_labels, face.identity
            self.view, self._row = face.view, face.row
            if self._row is not None and not self._dropped:
                self._page.put(self, self._row)
        if self._dropped:
            self._restore()

    def is_stale(self, face: Face | None) -> bool:
        """Whether the record has changed since a face was made of it."""
        return face is not None and (
            face.view_before is not self.view or face.labels_before is not self._vendor_labels
        )

    def drop(self) -> None:
        """Removes its rows; a read under way shows nothing."""
        self._page.drop(self)
        self._dropped = True
        if self._reason is not None:
            self._outages.ended(self, self._reason)
        self._reason = None

    @property
    def size(self) -> int:
        """Of its rendered lines, in bytes."""
        return self._row.size if self._row is not None else 0

    @property
    def dropped(self) -> bool:
        """Whether its rows have been removed."""
        return self._dropped

    def move(self, page: Page[JobView], outages: Outages) -> None:
        """Shows its rows on another page and counts its failures with other outages."""
        self.drop()
        self._page, self._outages = page, outages
        self._restore()

    def _restore(self) -> None:
        self._dropped = False
        if self.view is not None:
            self._put(self.view)
            self._count(self.view.reason)

    def render(self, format_: Format) -> bytes:
        """The families of this job alone."""
        return b"" if self._dropped else self._page.render(format_, only=self)

    def _identify(self) -> None:
        self._identity = label_text({**self._fields, **self._vendor_labels, **self.job.labels})
        self._row = None

    def _labels_with(self, upstream: Upstream) -> Mapping[str, str]:
        """The vendor's labels that stay: with another upstream, those that are still configured."""
        if upstream is self._upstream:
            return self._vendor_labels
        names = {name for _, name in upstream.provider.vendor_labels()}
        return {name: each for name, each in self._vendor_labels.items() if name in names}

    def add_labels(self, labels: Mapping[str, str], *, complete: bool) -> None:
        """Adds the labels that the vendor reports. The first ones stay until a reload changes the system.

        Series with other labels are other series, so a change would end alerts and reset counters.

        Args:
            complete: no other response has more of them: a listing may lack what the job's own read has.
        """
        if not labels or self._has_labels:
            return
        labels = {**labels, **self._listed_labels}
        self._listed_labels, self._has_labels = labels, complete
        if labels != self._vendor_labels:
            self._vendor_labels = labels
            self._identify()

    @property
    def _fields(self) -> Mapping[str, str]:
        return {"system": self.job.system, "job_id": self.job.id}

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its series besides ``system`` and ``job_id``."""
        return {**self._vendor_labels, **self.job.labels}

    @property
    def status(self) -> Status | None:
        """The last status that was understood, however old."""
        return self._history.status

    @property
    def ended_for_good(self) -> bool:
        """Whether the last status that was understood is final."""
        return self.status is not None and self.status.final

    @property
    def first_request(self) -> str:
        """The request with which a read of the job begins, for people; empty if a listing reports the job.

        It is made again, as is all of a read that is not kept: traces of 10,000 jobs would need much memory.
        """
        return "" if self.in_listing else self._upstream.first_request(self.job, self.status)

    @property
    def proxy(self) -> str:
        """The proxy through which it is read, for people; empty if there is none."""
        return self._upstream.place.get("proxy", "")

    @property
    def state_since(self) -> float:
        """Since when the job is in the state of `status`, in Unix seconds."""
        return self._history.state_since

    def follow_listing(self, *, complete: bool) -> None:
        """Whether a listing reports everything about the job from now on, or it is read by itself."""
        self.in_listing = complete

    def apply_listed(self, status: Status, read_at: float, seconds: float) -> None:
        """Remembers what a listing reports of the job.

        Where the listing does not report everything, it counts only if the state has changed: the job's
        own read reports more. A listing that is behind it, or has other words, repeats a state; that is no
        change, except for a run that has ended, which is not read any more.
        """
        known, before = self.status, self._listed_state
        self._listed_state = status.state
        is_change = known is None or (
            known.state is not status.state and (known.final or status.state is not before)
        )
        if self.in_listing or is_change:
            self._pace.final = status.final
            self.detail = ""
            self._show(status, None, read_at, seconds, complete=self.in_listing)

    def _request(self, upstream: Upstream, trace: Trace | None) -> Awaitable[Reading]:
        return upstream.read(self.job, self.status, trace)

    async def apply(self, result: Reading, waiters: Collection[Waiter] = ()) -> None:
        """Remembers the result of a read."""
        self.remember(result)

    def remember(self, result: Reading) -> None:
        """Remembers the result of a read, of its own or of its listing."""
        try:
            self._apply(result)
        except Exception:  # noqa: BLE001  an internal error costs this job, not all jobs after it
            # Once for all jobs of the system: more lines would not say more.
            if not self._outages.has(Reason.INTERNAL):
                _log.exception("failed to show a status", extra=self._fields)
            self.failed_internally(result.read_at, result.seconds)

    def _apply(self, result: Reading) -> None:
        failure, status = result.failure, result.value
        if failure is not None and failure.reason is Reason.NOT_FOUND and self.ended_for_good:
            # The vendor has deleted a run that had ended; how it ended stays true.
            failure, status = None, self.status
        if status is not None:
            self._pace.read(self.status, status)
        elif failure is not None:
            self._pace.failed(self._clock.monotonic(), failure)
        self.detail = failure.detail if failure else ""
        error = failure.__cause__ if failure else None
        reason = failure.reason if failure else None
        self._show(status, reason, result.read_at, result.seconds, error=error)

    def _observe(self, status: Status, now: float, read_at: float, *, complete: bool) -> None:
        notes = self.status.notes if self.status is not None else ()
        self._history.observe(status, now, read_at=read_at)
        self.add_labels(status.labels, complete=complete)
        # Only a change is logged, as for failures.
        if status.notes and status.notes != notes:
            _log.debug("values are left out", extra={**self._fields, "detail": "; ".join(status.notes)})
        elif notes and not status.notes:
            _log.debug("no value is left out any more", extra=self._fields)

    async def missed_deadline(self, seconds: float) -> None:
        """The rows show the reason ``deadline``."""
        self.miss_deadline(seconds)

    def miss_deadline(self, seconds: float) -> None:
        """The same for a job whose listing has missed it."""
        self.detail = "no response before the deadline of the scrape; the next scrape shows it"
        self._show(None, Reason.DEADLINE, self._clock.time() - seconds, seconds)

    def rate_limited(self) -> None:
        """The rows show the reason ``rate_limited`` if nothing better is known of the job."""
        # The last result is better than none, but a deadline says nothing about the job.
        if self.view is None or self.view.reason is Reason.DEADLINE:
            self.detail = "the rate limit of the system is reached; the job is read once it has passed"
            self._show(None, Reason.RATE_LIMITED, self._clock.time(), 0.0)

    def failed_internally(self, read_at: float, seconds: float) -> None:
        """An internal error: a result could not be remembered or shown."""
        self.detail = "internal error while showing a status; see the log"
        self._show(None, Reason.INTERNAL, read_at, seconds)

    def _show(
        self,
        status: Status | None,
        reason: Reason | None,
        read_at: float,
        seconds: float,
        *,
        error: BaseException | None = None,
        complete: bool = True,
    ) -> None:
        now, before = self._now(), self.view
        if status is not None:
            self._observe(status, now, read_at, complete=complete)
            status = self._history.status  # the same object as long as nothing has changed
        capped = self._history.cap(now)
        read_at = min(_rounded(read_at, 1e3), now)
        self._note_change(status, reason, read_at)
        view = JobView(self.job, self._history, status, reason, read_at, _rounded(seconds, 1e6))
        self._put(view, same=not capped and view.finds_the_same(before))
        self._count(reason, error)

    def _note_change(self, status: Status | None, reason: Reason | None, read_at: float) -> None:
        state, raw = (status.state, status.raw) if status is not None else (None, "")
        last = self.changes[-1] if self.changes else None
        if last is None or last.state is not state or last.reason is not reason:
            self.changes = (*self.changes, Change(read_at, state, raw, reason))[-MAX_CHANGES:]

    def _now(self) -> float:
        # Rounded as all times: further digits are noise that makes each page longer.
        return _rounded(self._clock.time(), 1e3)

    def cap_times(self) -> None:
        """Shows no time in the future, after the clock was set back."""
        now, view = self._now(), self.view
        capped = self._history.cap(now)
        if self.changes and self.changes[-1].at > now:
            self.changes = tuple(replace(change, at=min(change.at, now)) for change in self.changes)
        if view is not None and (capped or view.read_at > now):
            self._put(replace(view, read_at=min(view.read_at, now)))

    def _put(self, view: JobView, *, same: bool = False) -> None:
        self.view = view
        if not self._dropped:
            self._row = render_row(
                JOB_METRICS,
                self._identity,
                view,
                before=self._row,
                same=same,
                current_only=self._current_only,
            )
            self._page.put(self, self._row)

    def _count(self, reason: Reason | None, error: BaseException | None = None) -> None:
        """Counts why the job cannot be read now; ``None`` if it can."""
        # Only a change is counted: a job that fails for hours is one event.
        if reason is self._reason or self._dropped:
            return
        if self._reason is not None:
            self._outages.ended(self, self._reason)
        self._reason = reason
        if reason is None:
            _log.debug("job can be read again", extra=self._fields)
        else:
            name = self.view.name if self.view is not None else self.job.name
            self._outages.began(self, reason, Example(self.job.id, name, self.detail), error)
            _log.debug("job cannot be read", extra={**self._fields, "reason": reason, "detail": self.detail})


def _rounded(seconds: float, parts: float) -> float:
    """To so many parts of a second. The same by `round` needs ten times as long."""
    return int(seconds * parts + 0.5) / parts
