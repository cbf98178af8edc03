"""Jobs that a listing finds: what it has named, and which of that is watched."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import Protocol

from exporter.collector.record import JobRecord, Records
from exporter.collector.source import Source, Waiter
from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.job import ACTIVE, Job, State, Status
from exporter.model.pacing import Why
from exporter.model.retention import too_old
from exporter.providers.base import DiscoverKeys, Found, ListingEnd
from exporter.upstream.reading import Listed, Outcome, Reading, Upstream
from exporter.upstream.trace import Trace

_log = logging.getLogger(__name__)

_GONE = frozenset({Reason.NOT_FOUND, Reason.FORBIDDEN})


class Discovery(Source[Listed]):
    """The listings of one system and the jobs that are watched because of them. They are read together.

    Args:
        listings: the system's ``discover:``.
        on_applied: called after a listing with its waiters, so that they can wait for reads of jobs too.

    Attributes:
        jobs: what is watched because of a listing, by ``job_id``.
        former: records that were dropped; the next listing or configuration may name them again.
        failure: why the last listing failed.
        dropped: how many jobs are not watched because of ``max_jobs``.
    """

    def __init__(
        self,
        listings: Sequence[DiscoverKeys],
        records: Records,
        clock: Clock,
        on_applied: Callable[[Collection[Waiter]], None],
    ) -> None:
        super().__init__(records.plan.rules, clock)
        self.jobs: dict[str, JobRecord] = {}
        self.former: dict[str, JobRecord] = {}
        self.failure: Failure | None = None
        self.dropped = 0
        self._listings = listings
        self._records = records
        self._on_applied = on_applied
        self._waiting_since: float | None = None
        self._listed: Listed | None = None
        self._has_states = True

    def reconfigure(self, listings: Sequence[DiscoverKeys], *, same_upstream: bool) -> None:
        """Applies a changed configuration; `adopt` must follow.

        If the keys differ, or a read under way uses another upstream, the listing is due immediately, unless
        the vendor asked to wait. What was listed stays valid as long as the keys name the same jobs.

        Args:
            same_upstream: the same connections and credentials are used.
        """
        self._pace.rules = self._records.plan.rules
        if listings == self._listings and (same_upstream or self._read is None):
            return
        self.abandon()
        self._pace.asked_at = -inf
        if not _name_the_same_jobs(listings, self._listings):
            self.dropped, self._listed, self._waiting_since = 0, None, None
            self._has_states, self._unserved = True, False
        self._listings = listings

    def adopt(self, records: dict[str, JobRecord], found: Collection[str]) -> None:
        """Takes from ``records`` what this listing has found or may find, then applies the last listing.

        What other keys found stays until the first listing by these: an outage at that moment must not
        look as if the jobs were gone.

        Args:
            records: by ``job_id``, before a change of configuration.
            found: the ids of those that were watched because of a listing.
        """
        for job_id, record in list(records.items()):
            # Keys with slashes may make up the id of a configured job.
            if record.job.keys.keys() != self._records.plan.key_names or job_id in self._records.configured:
                continue
            del records[job_id]
            if job_id in found and self._records.keep(record):
                self.jobs[job_id] = record
            else:
                record.drop()
                self.former[job_id] = record
        if self._listed is not None:
            self._apply(self._listed, self._clock.time())

    def release(self) -> dict[str, JobRecord]:
        """Gives up all records, the dropped ones too."""
        records = {**self.former, **self.jobs}
        self.jobs.clear()
        self.former.clear()
        return records

    def take_former(self, job: Job) -> JobRecord | None:
        """Gives up the record of a job that was dropped, for a probe."""
        record = self.former.get(job.id)
        return self.former.pop(job.id) if record is not None and record.job.keys == job.keys else None

    def unlisted_for(self, now: float) -> float | None:
        """Seconds since the first attempt; ``None`` once a listing has been understood."""
        if self._listed is not None:
            return None
        return 0.0 if self._waiting_since is None else now - self._waiting_since

    @property
    def skipped(self) -> int:
        """How many entries of the last listing that was understood name no job."""
        return sum(self._listed.end.skipped.values()) if self._listed is not None else 0

    @property
    def incomplete(self) -> str:
        """Why jobs are missing in the last listing that was understood; empty if none is known to be."""
        return self._listed.end.incomplete if self._listed is not None else ""

    def _why_not(self, now: float, not_before: float) -> Why | None:
        if self._waiting_since is None:
            self._waiting_since = now
        why = super()._why_not(now, not_before)
        # A listing that only names jobs is read at its own interval: nothing in it is urgent.
        interval = min(getattr(keys, "interval", 0.0) for keys in self._listings)
        if not self._has_states and now - self.asked_at < interval:
            return Why.FRESH
        return why

    async def _request(self, upstream: Upstream, trace: Trace | None) -> Listed:
        return await upstream.list_jobs(self._listings, trace)

    def apply(self, result: Listed, waiters: Collection[Waiter] = ()) -> None:
        """Watches what the listing named."""
        self._log_failure(result.failure)
        self.failure = result.failure
        if result.failure is not None:
            # The jobs stay: an outage of the listing must not look as if they were deleted.
            self._pace.failed(self._clock.monotonic(), result.failure)
            failed: Reading = Outcome(None, result.failure, result.read_at, result.seconds)
            for record in self._reported():
                record.apply(failed)
        else:
            # An empty listing does not show whether the system reports states.
            if result.value:
                found = result.value.values()
                self._has_states = any(each.status is not None or each.failure is not None for each in found)
            self._log_end(result.end)
            self._apply(result, result.read_at, new=True)
        self._on_applied(waiters)

    def missed_deadline(self, seconds: float) -> None:
        """The jobs that only the listing reports show the reason ``deadline``."""
        for record in self._reported():
            record.missed_deadline(seconds)

    def _reported(self) -> list[JobRecord]:
        """The jobs that only the listing reports, but for runs that have ended: that stays true."""
        return [record for record in self.jobs.values() if record.in_listing and not record.ended_for_good]

    def _log_failure(self, failure: Failure | None) -> None:
        """Logs when the listing begins to fail, fails for another reason, or works again."""
        fields = {"system": self._records.plan.name}
        if failure is None:
            if self.failure is not None:
                _log.info("jobs can be listed again", extra=fields)
        elif self.failure is None or self.failure.reason is not failure.reason:
            why = {"reason": failure.reason, **self._records.outages.place, "detail": failure.detail}
            _log.warning("jobs cannot be listed", extra={**fields, **why}, exc_info=failure.__cause__)

    def _log_end(self, end: ListingEnd) -> None:
        """Logs when the listing begins to lack jobs, or lacks none again; and which entries it skipped."""
        fields = {"system": self._records.plan.name}
        if end.incomplete and not self.incomplete:
            _log.warning("the listing is incomplete", extra={**fields, "detail": end.incomplete})
        elif self.incomplete and not end.incomplete:
            _log.info("the listing is complete again", extra=fields)
        for why, entries in end.skipped.items():
            if entries:
                _log.debug("entries are skipped", extra={**fields, "entries": entries, "detail": why})

    def _apply(self, listed: Listed, now: float, *, new: bool = False) -> None:
        """Watches what a listing named. One that cannot be applied counts as failed and changes nothing."""
        try:
            self._choose(listed, now, new=new)
        except Exception as error:  # noqa: BLE001  values of a plug-in; a reload must not stop half-way
            _log.exception("failed to apply a listing", extra={"system": self._records.plan.name})
            self.failure = Failure(Reason.INTERNAL, type(error).__name__)
        else:
            self._listed = listed
            if new:
                self.former.clear()

    def _choose(self, listed: Listed, now: float, *, new: bool) -> None:
        """Watches what a listing named, as far as the configuration wants it.

        Args:
            now: Unix time from which ages count.
            new: the listing has just been read. Else only the configuration has changed, and what is
                known of a job may be newer than what the listing reports of it.
        """
        plan, configured = self._records.plan, self._records.configured
        found = {job_id: each for job_id, each in listed.value.items() if job_id not in configured}
        if listed.end.incomplete:
            found |= {job_id: each for job_id, each in self._missing().items() if job_id not in found}
        elif new and self._listed is not None and any(keys.reads_unlisted for keys in self._listings):
            found |= {job_id: each for job_id, each in self._left().items() if job_id not in found}
        # Of what an earlier configuration left out, a failed run that only a listing knew may be wanted.
        former = {job_id: record for job_id, record in self.former.items() if record.in_listing}
        keep, self.dropped = chosen(
            found,
            {**former, **self.jobs},
            newer_than=[keys.newer_than for keys in self._listings],
            found_by=listed.found_by,
            # Configured jobs count first, those of other shards too, so that all shards choose the same.
            max_jobs=max(0, plan.max_jobs - len(configured)),
            now=now,
        )
        keep = {job_id: each for job_id, each in keep.items() if self._records.owns(job_id)}
        for job_id in self.jobs.keys() - keep.keys():
            record = self.jobs.pop(job_id)
            record.drop()
            self.former[job_id] = record
        for job_id, each in keep.items():
            if each is None:
                self._keep_deleted(job_id)
            else:
                self._show(job_id, each, listed, new=new)

    def _missing(self) -> dict[str, Found]:
        """Jobs that an incomplete listing may lack, to be read by themselves: those that may go on."""
        return self._to_read(lambda record: not record.ended_for_good)

    def _left(self) -> dict[str, Found]:
        """Jobs that a listing named while they ran, to be read by themselves until they have ended."""
        return self._to_read(lambda record: record.status is not None and record.status.state in ACTIVE)

    def _to_read(self, wanted: Callable[[JobRecord], bool]) -> dict[str, Found]:
        return {
            job_id: Found(record.job.keys, name=record.job.name)
            for job_id, record in self.jobs.items()
            if wanted(record) and (record.view is None or record.view.reason not in _GONE)
        }

    def _keep_deleted(self, job_id: str) -> None:
        """Keeps showing the final status of a run that the vendor has deleted."""
        if job_id not in self.jobs:
            record = self.former.pop(job_id)
            if not self._records.keep(record):
                return
            self.jobs[job_id] = record
        self.jobs[job_id].follow_listing(complete=True)

    def _show(self, job_id: str, found: Found, listed: Listed, *, new: bool) -> None:
        try:
            record = self.jobs.get(job_id)
            if record is None or record.job.keys != found.keys:
                # Keys with slashes may make up the id of another job.
                if record is not None:
                    record.drop()
                record = self.jobs[job_id] = self._record(found)
            record.follow_listing(complete=found.complete)
            record.add_labels(found.labels, complete=False)
            if found.failure is not None and (new or record.view is None):
                record.apply(Outcome(None, found.failure, listed.read_at, listed.seconds))
            elif found.status is not None and (new or record.status is None):
                record.apply_listed(found.status, listed.read_at, listed.seconds)
        except Exception:  # noqa: BLE001  an internal error costs this job, not all that were found
            fields = {"system": self._records.plan.name, "job_id": job_id}
            _log.exception("failed to show a found job", extra=fields)
            if job_id in self.jobs:
                self.jobs[job_id].failed_internally(listed.read_at, listed.seconds)

    def _record(self, found: Found) -> JobRecord:
        job = self._records.plan.job(found.keys, found.name)
        record = self.former.pop(job.id, None)
        if record is None or record.job.keys != job.keys:
            return self._records.create(job)
        self._records.reconfigure(record, job)
        return record


class Known(Protocol):
    """What is known of a job that a listing no longer names."""

    @property
    def status(self) -> Status | None:
        """The last status that was understood."""

    @property
    def state_since(self) -> float:
        """Since when it is in that state."""


def chosen(
    found: Mapping[str, Found],
    known: Mapping[str, Known],
    *,
    newer_than: Sequence[float | None],
    found_by: Mapping[str, int] = MappingProxyType({}),
    max_jobs: int,
    now: float,
) -> tuple[dict[str, Found | None], int]:
    """Which jobs are watched after a listing.

    Args:
        found: what the listing named.
        known: what is watched because of earlier listings.
        newer_than: of each listing: runs that ended more seconds ago are left out; failed ones stay for a
            day at least.
        found_by: the number of the listing that found a job, if it is not the first.

    Returns:
        The jobs by ``job_id``, ``None`` for one that is no longer listed but stays, and how many were
        left out because of ``max_jobs``: first of all those that ended longest ago.
    """
    ended: dict[str, float | None] = {}
    kept: dict[str, Found | None] = {}
    for job_id, each in found.items():
        end = _end(each.status)
        limit = newer_than[found_by.get(job_id, 0)]
        if each.status is None or not too_old(each.status.state, end, limit, now):
            kept[job_id], ended[job_id] = each, end
    longest = max((limit for limit in newer_than if limit is not None), default=0.0)
    for job_id, record in known.items():
        status = record.status
        if job_id in found or status is None or not status.final or status.state is not State.FAILED:
            continue
        end = status.result_at or record.state_since
        if not too_old(State.FAILED, end, longest, now):
            kept[job_id], ended[job_id] = None, end
    if len(kept) <= max_jobs:
        return kept, 0
    # Active runs first, then those that ended last; a stable sort keeps the listing's order.
    ranked = sorted(kept, key=lambda job_id: -(ended[job_id] or now + 1))
    return {job_id: kept[job_id] for job_id in ranked[:max_jobs]}, len(kept) - max_jobs


def _end(status: Status | None) -> float | None:
    """When a run ended for good; ``None`` if it has not, or if the vendor does not report it."""
    return status.result_at if status is not None and status.final else None


def _name_the_same_jobs(listings: Sequence[DiscoverKeys], others: Sequence[DiscoverKeys]) -> bool:
    return len(listings) == len(others) and all(
        one.names_the_jobs_of(other) for one, other in zip(listings, others, strict=True)
    )
