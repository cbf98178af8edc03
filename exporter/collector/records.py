"""The job records of one system: how they are made, and how another plan changes them."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from exporter.collector.outages import Outages
from exporter.collector.plan import Plan
from exporter.collector.record import Face, JobRecord
from exporter.model.job import Job
from exporter.model.shard import Shard

_log = logging.getLogger(__name__)

MAX_OWNED = 200_000
"""Jobs of which it is remembered whether this shard watches them: twice as many as a listing can find."""


class Create(Protocol):
    """Makes the record of a job that is watched from now on, or finds the one that probes have made."""

    def __call__(self, plan: Plan, outages: Outages, job: Job, new: JobRecord | None) -> JobRecord:
        """Returns the record: ``new`` if that is one, and probes have made none."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is made for a plan before it is applied, since that takes most of the time of a reload.

    Args:
        configured: the jobs of the plan by ``job_id``.
        new: records of jobs that are not watched yet, by ``job_id``.
        changed: the job of each record that stays, and what the record is going to show.
    """

    plan: Plan
    configured: Mapping[str, Job]
    new: dict[str, JobRecord] = field(default_factory=dict)
    changed: dict[JobRecord, tuple[Job, Face | None]] = field(default_factory=dict)


class Records:
    """Makes the job records of one system by its present plan.

    Args:
        new: makes a record that nothing knows yet.
        create: makes a record that is watched.
        outages: why jobs of the system cannot be read.

    Attributes:
        plan: the present one; only the system replaces it.
        configured: the configured jobs by ``job_id``, those of other shards too.
    """

    def __init__(
        self,
        plan: Plan,
        new: Callable[[Plan, Outages, Job], JobRecord],
        create: Create,
        outages: Outages,
        shard: Shard,
    ) -> None:
        self.outages = outages
        self._new = new
        self._create = create
        self._shard = shard
        self._owned: dict[str, bool] = {}
        self._ahead = _ahead(plan)
        self.apply(plan)

    def prepare(self, plan: Plan, job: Job, record: JobRecord | None) -> bool:
        """Makes what a configured job needs once another plan is applied.

        Args:
            record: of the job, if it is known.

        Returns:
            Whether it was not there yet: a read may have ended since then.
        """
        ahead = self._ahead_of(plan)
        if record is None:
            missing = job.id not in ahead.new
            if missing:
                ahead.new[job.id] = self._new(plan, self.outages, job)
            return missing
        known = ahead.changed.get(record)
        if known is not None and known[0] is job and not record.is_stale(known[1]):
            return False
        ahead.changed[record] = job, record.face(job, plan)
        return True

    def prepare_found(self, plan: Plan, record: JobRecord) -> bool:
        """The same for a job that was found."""
        ahead = self._ahead_of(plan)
        if record.job.id in ahead.configured:
            return False
        try:
            job = ahead.changed[record][0] if record in ahead.changed else _found(plan, record)
        except Exception:  # noqa: BLE001  `keep` logs it
            return False
        return self.prepare(plan, job, record)

    def _ahead_of(self, plan: Plan) -> Ahead:
        if self._ahead.plan is not plan:
            self._ahead = _ahead(plan)
        return self._ahead

    def apply(self, plan: Plan) -> None:
        """Makes records by another plan from now on."""
        self.plan = plan
        self.configured = self._ahead_of(plan).configured
        self.outages.move(plan.upstream.place)

    def applied(self) -> Ahead:
        """Gives up what was made ahead, once all records follow the plan."""
        ahead, self._ahead = self._ahead, Ahead(self.plan, self.configured)
        return ahead

    def owns(self, job_id: str) -> bool:
        """Whether this shard watches the job."""
        if self._shard.count == 1:
            return True
        owned = self._owned.get(job_id)
        if owned is None:
            if len(self._owned) >= MAX_OWNED:
                self._owned.clear()
            owned = self._owned[job_id] = self._shard.owns(self.plan.name, job_id)
        return owned

    def create(self, job: Job) -> JobRecord:
        """A record of a job that is not watched yet."""
        return self._create(self.plan, self.outages, job, self._ahead.new.pop(job.id, None))

    def reconfigure(self, record: JobRecord, job: Job) -> None:
        """Applies the plan to a record."""
        known = self._ahead.changed.get(record)
        record.reconfigure(job, self.plan, known[1] if known is not None and known[0] is job else None)

    def keep(self, record: JobRecord) -> bool:
        """Applies the plan to the record of a job that was found.

        Returns:
            Whether the provider accepts the job's keys.
        """
        job, face = self._ahead.changed.get(record, (None, None))
        try:
            record.reconfigure(job or _found(self.plan, record), self.plan, face)
        except Exception:  # noqa: BLE001  one job must not stop a reload half-way
            fields = {"system": self.plan.name, "job_id": record.job.id}
            _log.exception("failed to keep a found job", extra=fields)
            return False
        return True


def _ahead(plan: Plan) -> Ahead:
    return Ahead(plan, {job.id: job for job in plan.jobs})


def _found(plan: Plan, record: JobRecord) -> Job:
    """The job of a record as a plan makes it."""
    job = plan.job(record.job.keys, record.job.name)
    return record.job if job == record.job else job
