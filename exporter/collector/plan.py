"""What is watched of one system, as its configuration says, and how its job records are made."""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from exporter.collector.outages import Outages
from exporter.collector.record import JobRecord
from exporter.model.job import Job
from exporter.model.pacing import Rules
from exporter.model.shard import Shard
from exporter.providers.base import DiscoverKeys
from exporter.upstream.client import Upstream

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """One system as it is to be watched.

    Args:
        home: what a job's identity is relative to; a job keeps its history while home and id stay.
        labels: on every series of the system itself; those of its jobs are in the jobs.
        concurrency: reads of this system at a time.
        job: makes the job with the keys and the name that a listing reports.
        current_only: of ``remote_job_state`` show only the series that is 1.
        discover: the keys of the listing that finds jobs, if there is one.
        max_jobs: how many jobs are watched; configured jobs are watched in any case.
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


class Records:
    """Makes the job records of one system by its present plan.

    Args:
        create: makes a record, or finds the one that probes have made.
        outages: why jobs of the system cannot be read.

    Attributes:
        plan: the present one; only the system replaces it.
        configured: the configured jobs by ``job_id``, those of other shards too.
    """

    def __init__(
        self, plan: Plan, create: Callable[[Plan, Outages, Job], JobRecord], outages: Outages, shard: Shard
    ) -> None:
        self.outages = outages
        self._create = create
        self._shard = shard
        self.apply(plan)

    def apply(self, plan: Plan) -> None:
        """Makes records by another plan from now on."""
        self.plan = plan
        self.configured = {job.id: job for job in plan.jobs}
        self.outages.place = plan.upstream.place

    def owns(self, job_id: str) -> bool:
        """Whether this shard watches the job."""
        return self._shard.owns(self.plan.name, job_id)

    def create(self, job: Job) -> JobRecord:
        """A record of a job that is not watched yet."""
        return self._create(self.plan, self.outages, job)

    def reconfigure(self, record: JobRecord, job: Job) -> None:
        """Applies the plan to a record."""
        record.reconfigure(job, self.plan.rules, current_only=self.plan.current_only)

    def keep(self, record: JobRecord) -> bool:
        """Applies the plan to the record of a job that was found.

        Returns:
            Whether the provider accepts the job's keys.
        """
        try:
            self.reconfigure(record, self.plan.job(record.job.keys, record.job.name))
        except Exception:  # noqa: BLE001  one job must not stop a reload half-way
            fields = {"system": self.plan.name, "job_id": record.job.id}
            _log.exception("failed to keep a found job", extra=fields)
            return False
        return True
