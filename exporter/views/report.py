"""What is shown of one job. The field names are those of `/jobs.json`: adding one is free."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from exporter.collector.record import JobRecord
from exporter.model.failure import Failure
from exporter.model.job import Items, Job, State, Status
from exporter.views.reasons import Problem, problem

UNREADABLE = "unreadable"
"""The state of a job whose last read failed."""
UNREAD = "unread"
"""The state of a job that has not been read yet."""
NO_ITEMS = Items()
REPORTS_PER_TURN = 100
"""Reports that are made without a pause, each in some microseconds."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """One job as people see it. Times are Unix seconds, durations seconds.

    Args:
        system: its name in the configuration.
        job_id: as in the label.
        name: as configured, else as the vendor calls it; empty if there is none.
        provider: of the system.
        kind: `slot` or `run`.
        keys: of the job, as under `jobs:`.
        link: address of the job's page at the vendor, by `link:` of the system; may be empty.
        labels: of the series of the job, besides `system` and `job_id`.
        state: one of the ten states, `unreadable` if the last read failed, `unread` before the first one.
        word: the vendor's word for the state.
        step: the vendor's word for the step of the run.
        progress: 0 to 1.
        items: of the current run.
        since: start of the run while it is in progress, else since when the job is in this state.
        expected_seconds: how long the state may last by `expect:` of the configuration.
        read_at: when the last read began.
        last_success: end of the newest run known to have succeeded.
        last_failure: end of the newest run known to have failed.
        problem: why the last read failed.
    """

    system: str
    job_id: str
    name: str
    provider: str
    kind: str
    keys: Mapping[str, str] = field(default_factory=dict)
    link: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = UNREAD
    word: str = ""
    step: str = ""
    progress: float | None = None
    items: Items = NO_ITEMS
    since: float | None = None
    expected_seconds: float | None = None
    read_at: float | None = None
    last_success: float | None = None
    last_failure: float | None = None
    problem: Problem | None = None

    @property
    def title(self) -> str:
        """The name, else the id."""
        return self.name or self.job_id

    @property
    def items_done(self) -> int | None:
        """Items that need no more work: as processed, else those that succeeded, failed or were skipped."""
        items = self.items
        if items.processed is not None:
            return items.processed
        ended = [count for count in (items.succeeded, items.failed, items.skipped) if count is not None]
        return sum(ended) if ended else None

    @property
    def in_progress(self) -> bool:
        """Whether its `since` is compared with what is expected."""
        return self.state in (State.QUEUED, State.RUNNING, State.CANCELING)

    def is_late(self, now: float) -> bool:
        """Whether the state lasts longer than the configuration expects, at Unix time ``now``."""
        if self.since is None or self.expected_seconds is None:
            return False
        return now - self.since > self.expected_seconds


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A system whose last listing failed, so that jobs of it may be missing.

    Args:
        system: its name in the configuration.
        problem: why the last listing failed, as that of a job.
    """

    system: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class JobList:
    """The content of `/jobs.json`.

    Args:
        version: of the exporter.
        time: Unix time of this response.
        total: jobs that are watched.
        counts: jobs by state, of all that match the filters other than the one by state.
        unlisted: systems whose last listing failed, so that jobs of them may be missing.
        jobs: those that match all filters, trouble first.
    """

    version: str
    time: float
    total: int
    counts: Mapping[str, int]
    unlisted: list[Unlisted] = field(default_factory=list)
    jobs: list[JobReport] = field(default_factory=list)


def report(record: JobRecord) -> JobReport:
    """What is shown of a job at this moment. Takes some microseconds; sends no request."""
    job, view = record.job, record.view
    if view is None:
        return JobReport(
            job.system, job.id, job.name, job.provider, job.kind.value, job.keys, job.link, record.labels
        )
    status, history = view.status, view.history
    since, expected = lasting(job, status, history.state_since)
    return JobReport(
        system=job.system,
        job_id=job.id,
        name=view.name,
        provider=job.provider,
        kind=job.kind.value,
        keys=job.keys,
        link=job.link,
        labels=record.labels,
        state=UNREADABLE if status is None else status.state.value,
        word=status.raw if status else "",
        step=status.step if status else "",
        progress=status.progress if status else None,
        items=status.items if status else NO_ITEMS,
        since=since if status else record.changes[-1].at,
        expected_seconds=expected,
        read_at=view.read_at,
        last_success=history.last_success,
        last_failure=history.last_failure,
        problem=problem(view.reason, record.detail) if view.reason else None,
    )


async def reports(records: Iterable[JobRecord]) -> list[JobReport]:
    """The same for many jobs, in as many turns of the event loop as that needs."""
    made = []
    for number, record in enumerate(tuple(records), 1):
        made.append(report(record))
        if number % REPORTS_PER_TURN == 0:
            await asyncio.sleep(0)
    return made


def lasting(job: Job, status: Status | None, state_since: float) -> tuple[float, float | None]:
    """Since when the state lasts, and for how many seconds it may. The alerts measure the same times."""
    if status is None or status.state not in (State.QUEUED, State.RUNNING, State.CANCELING):
        return state_since, None
    queued = state_since if status.queued_at is None else status.queued_at
    if status.state is State.QUEUED:
        return queued, job.expect.start_within
    return queued if status.started_at is None else status.started_at, job.expect.run_within


def unlisted(failures: Mapping[str, Failure], systems: Collection[str] = ()) -> list[Unlisted]:
    """The systems whose last listing failed.

    Args:
        failures: by system.
        systems: that a filter selects; empty for all.
    """
    return [
        Unlisted(name, problem(failure.reason, failure.detail))
        for name, failure in failures.items()
        if not systems or name in systems
    ]
