"""Jobs that a listing finds: what it has named, and which of that is watched."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import inf

from exporter.collector.choice import chosen
from exporter.collector.record import JobRecord
from exporter.collector.records import Records
from exporter.collector.source import Source, Waiter
from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.job import ACTIVE, Job
from exporter.model.pacing import Why
from exporter.providers.base import DiscoverKeys, Found, ListingEnd
from exporter.runtime.compute import Compute
from exporter.upstream.reading import Listed, Outcome, Reading, Upstream
from exporter.upstream.trace import Trace

_log = logging.getLogger(__name__)

MANY = 1000
"""Entries of a listing from which on it is chosen in a thread which of them are watched."""

_GONE = frozenset({Reason.NOT_FOUND, Reason.FORBIDDEN})


class Discovery(Source[Listed]):
    """The listings of one system and the jobs that are watched because of them. They are read together.

    Args:
        listings: the system's ``discover:``.
        on_applied: makes those who wait for a listing wait for reads of its jobs too, in steps.

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
        on_applied: Callable[[Collection[Waiter]], Iterator[None]],
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
        self._version = 0  # changes with each reload

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

    def adopt(
        self, records: dict[str, JobRecord], found: Collection[str], *, same_choice: bool = False
    ) -> None:
        """Takes from ``records`` what this listing has found or may find, then applies the last listing.

        What other keys found stays until the first listing by these: an outage at that moment must not
        look as if the jobs were gone.

        Args:
            records: by ``job_id``, before a change of configuration.
            found: the ids of those that were watched because of a listing.
            same_choice: the last listing would choose the same, so it need not be applied: to choose among
                10,000 entries takes 5 ms, in one step with all that changes.
        """
        for job_id, record in list(records.items()):
            # Keys with slashes may make up the id of a configured job.
            if job_id in self._records.configured:
                continue
            if not same_choice and record.job.keys.keys() != self._records.plan.key_names:
                continue
            del records[job_id]
            if job_id in found and self._records.keep(record):
                self.jobs[job_id] = record
            else:
                record.abandon_queued()
                record.drop()
                self.former[job_id] = record
        if self._listed is not None and not same_choice:
            self._apply(self._listed, self._clock.time())

    def release(self) -> dict[str, JobRecord]:
        """Gives up all records, the dropped ones too."""
        self._version += 1
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

    async def apply(self, result: Listed, waiters: Collection[Waiter] = ()) -> None:
        """Watches what the listing named."""
        self._log_failure(result.failure)
        self.failure = result.failure
        if result.failure is not None:
            # The jobs stay: an outage of the listing must not look as if they were deleted.
            self._pace.failed(self._clock.monotonic(), result.failure)
            failed: Reading = Outcome(None, result.failure, result.read_at, result.seconds)
            await self._for_reported(lambda record: record.remember(failed))
        else:
            # An empty listing does not show whether the system reports states.
            if result.value:
                found = result.value.values()
                self._has_states = any(each.status is not None or each.failure is not None for each in found)
            self._log_end(result.end)
            await self._watch(result)
        for _ in self._on_applied(waiters):
            await self._compute.turns.pause()

    async def missed_deadline(self, seconds: float) -> None:
        """The jobs that only the listing reports show the reason ``deadline``."""
        await self._for_reported(lambda record: record.miss_deadline(seconds))

    async def _for_reported(self, show: Callable[[JobRecord], None]) -> None:
        """Changes the jobs that only the listing reports, but for runs that have ended: that stays true."""
        read, turns = self._read, self._compute.turns
        reported = [each for each in self.jobs.values() if each.in_listing and not each.ended_for_good]
        for record in reported:
            show(record)
            await turns.pause()
            if self._read is not read:  # it is over, so there is a newer result
                return

    @property
    def _compute(self) -> Compute:
        return self._records.plan.upstream.compute

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

    def _apply(self, listed: Listed, now: float) -> None:
        """Applies the configuration to the last listing. If that fails, the listing counts as failed."""
        try:
            keep, self.dropped = self._selection(listed, now, new=False)()
            for _ in self._changes(keep, listed, new=False):
                pass
        except Exception as error:  # noqa: BLE001  values of a plug-in; a reload must not stop half-way
            self._failed_internally(error)

    async def _watch(self, listed: Listed) -> None:
        """Watches what a new listing named, in as many turns as that needs.

        If the configuration changes meanwhile, it starts again. If it fails, the listing counts as failed.
        """
        read, turns, worker = self._read, self._compute.turns, self._compute.worker
        try:
            while self._read is read:
                version = self._version
                select = self._selection(listed, listed.read_at, new=True)
                keep, dropped = await worker.run(select) if len(listed.value) > MANY else select()
                if version != self._version:
                    continue
                self.dropped = dropped
                for _ in self._changes(keep, listed, new=True):
                    await turns.pause()
                    if version != self._version:
                        break
                else:
                    self._listed = listed
                    await self._forget_former(version)
                    return
        except Exception as error:  # noqa: BLE001  values of a plug-in
            self._failed_internally(error)

    async def _forget_former(self, version: int) -> None:
        """Forgets the records that were dropped, unless a reload comes between."""
        for job_id in tuple(self.former):
            if version == self._version:
                self.former.pop(job_id, None)
            await self._compute.turns.pause()

    def _failed_internally(self, error: Exception) -> None:
        _log.exception("failed to apply a listing", extra={"system": self._records.plan.name})
        self.failure = Failure(Reason.INTERNAL, type(error).__name__)

    def _selection(
        self, listed: Listed, now: float, *, new: bool
    ) -> Callable[[], tuple[dict[str, Found | None], int]]:
        """What `chosen` returns for a listing, as far as it is for this shard: a function for any thread.

        Args:
            now: Unix time from which ages count.
            new: the listing has just been read. Else only the configuration has changed, and what is
                known of a job may be newer than what the listing reports of it.
        """
        records, configured = self._records, self._records.configured
        # Configured jobs count first, those of other shards too, so that all shards choose the same.
        max_jobs = max(0, records.plan.max_jobs - len(configured))
        newer_than = [keys.newer_than for keys in self._listings]
        also: Mapping[str, Found] = {}
        if listed.end.incomplete:
            also = self._missing()
        elif new and self._listed is not None and any(keys.reads_unlisted for keys in self._listings):
            also = self._left()
        # Of what an earlier configuration left out, a failed run that only a listing knew may be wanted.
        former = {job_id: record for job_id, record in self.former.items() if record.in_listing}
        known = {**former, **self.jobs}

        def select() -> tuple[dict[str, Found | None], int]:
            found = {job_id: each for job_id, each in listed.value.items() if job_id not in configured}
            found |= {job_id: each for job_id, each in also.items() if job_id not in found}
            keep, dropped = chosen(
                found,
                known,
                newer_than=newer_than,
                found_by=listed.found_by,
                max_jobs=max_jobs,
                now=now,
            )
            return {job_id: each for job_id, each in keep.items() if records.owns(job_id)}, dropped

        return select

    def _changes(self, keep: Mapping[str, Found | None], listed: Listed, *, new: bool) -> Iterator[None]:
        """Watches the jobs to keep and no others, job by job."""
        for job_id in self.jobs.keys() - keep.keys():
            record = self.jobs.pop(job_id)
            record.drop()
            self.former[job_id] = record
            yield
        for job_id, each in keep.items():
            if each is None:
                self._keep_deleted(job_id)
            else:
                self._show(job_id, each, listed, new=new)
            yield

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
            # A probe may have it since.
            record = self.former.pop(job_id, None)
            if record is None or not self._records.keep(record):
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
                record.remember(Outcome(None, found.failure, listed.read_at, listed.seconds))
            elif found.status is not None and (new or record.status is None):
                record.apply_listed(found.status, listed.read_at, listed.seconds)
        except Exception:  # noqa: BLE001  an internal error costs this job, not all that were found
            if not self._records.outages.has(Reason.INTERNAL):
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


def _name_the_same_jobs(listings: Sequence[DiscoverKeys], others: Sequence[DiscoverKeys]) -> bool:
    return len(listings) == len(others) and all(
        one.names_the_jobs_of(other) for one, other in zip(listings, others, strict=True)
    )
