"""Jobs that are known only from probes, and the result of a probe."""

from collections import OrderedDict
from collections.abc import Container, Iterator
from dataclasses import dataclass

from exporter.collector.outages import Outages
from exporter.collector.plan import Plan
from exporter.collector.record import JobRecord
from exporter.metrics import JOB_METRICS, PROBE_METRICS, JobView, ProbeView
from exporter.metrics.exposition import Format, Page, render_row
from exporter.model.clock import Clock
from exporter.model.job import Job
from exporter.model.pacing import Why
from exporter.upstream.trace import Trace

MAX_PROBED = 1000
MAX_PROBED_BYTES = 8 << 20
"""Of rendered lines. 1,000 jobs with usual ids need half of it; one with the longest ids and 50 categories
needs 1 MB. The values of these lines need up to as much again."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of one probe.

    Args:
        seconds: how long the probe took.
        why_not: why the job was not read and the last result is shown; ``None`` if it was read.
        trace: the requests and responses, if they were recorded.
    """

    record: JobRecord
    seconds: float
    why_not: Why | None
    trace: Trace | None

    @property
    def success(self) -> bool:
        """Whether the last attempt to read the job was understood."""
        view = self.record.view
        return view is not None and view.reason is None and not self.record.dropped

    def render(self, format_: Format) -> bytes:
        """The job's families as on the page of all jobs, and those of the probe."""
        own: Page[ProbeView] = Page(PROBE_METRICS)
        own.put("", render_row(PROBE_METRICS, "", ProbeView(self.success, round(self.seconds, 6))))
        end = b"# EOF\n" if format_ is Format.OPENMETRICS else b""
        return self.record.render(format_) + own.render(format_) + end


class ProbedJobs:
    """The records of the jobs probed last, limited in number and in bytes; older ones are forgotten.

    Args:
        in_use: the records that probes wait for, limited in number by the caller; they are not forgotten.
    """

    def __init__(self, clock: Clock, in_use: Container[JobRecord]) -> None:
        self._clock = clock
        self._in_use = in_use
        # Never logged: the client of a probe sees the result.
        self._outages = Outages("")
        self._page: Page[JobView] = Page(JOB_METRICS)
        self._records: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], JobRecord] = OrderedDict()

    def record(self, job: Job, plan: Plan) -> JobRecord:
        """The record of a job, from an earlier probe or new."""
        key = _key(job)
        record = self._records.get(key)
        if record is None:
            record = JobRecord(job, plan, self._page, self._outages, self._clock)
            self._add(record)
        else:
            self._records.move_to_end(key)
            record.reconfigure(job, plan)
            self._limit()
        return record

    def keep(self, record: JobRecord) -> None:
        """Keeps the record of a job that is not watched any more."""
        record.move(self._page, self._outages)
        record.follow_listing(complete=False)
        self._add(record)

    def _add(self, record: JobRecord) -> None:
        self._records[_key(record.job)] = record
        self._limit()

    def _limit(self) -> None:
        """Forgets the oldest records beyond the limits, but not the newest, which a probe is about to use."""
        # At the next probe and not when a read ends: until then nothing refers to the records of this moment.
        number, size = len(self._records), sum(record.size for record in self._records.values())
        if number <= MAX_PROBED and size <= MAX_PROBED_BYTES:
            return
        for key, record in [*self._records.items()][:-1]:
            if record not in self._in_use:
                self._records.pop(key).drop()
                number, size = number - 1, size - record.size
                if number <= MAX_PROBED and size <= MAX_PROBED_BYTES:
                    break

    def release(self, job: Job) -> JobRecord | None:
        """Gives up the record of a job that is watched from now on."""
        return self._records.pop(_key(job), None)

    def records(self) -> Iterator[JobRecord]:
        """All of them."""
        yield from self._records.values()

    def forget(self, system: str) -> None:
        """Drops all jobs of a system."""
        for key in [key for key in self._records if key[0] == system]:
            self._records.pop(key).drop()


def _key(job: Job) -> tuple[str, tuple[tuple[str, str], ...]]:
    # Not the id: keys with slashes may make up that of another job.
    return job.system, tuple(job.keys.items())
