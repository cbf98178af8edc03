"""Jobs that are watched only because somebody probed them, and what a probe brought."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from exporter.collector.outages import Outages
from exporter.collector.record import Watched
from exporter.metrics import JOB_METRICS, PROBE_METRICS, JobView, ProbeView
from exporter.metrics.exposition import Format, Page, render_row
from exporter.model.clock import Clock
from exporter.model.job import Job
from exporter.model.pacing import Rules, Why
from exporter.upstream.trace import Trace

MAX_PROBED = 1000


@dataclass(frozen=True, slots=True)
class Probe:
    """One job as one probe saw it.

    Args:
        seconds: how long the probe took.
        why_not: why the vendor was not asked and the last result holds; ``None`` if it was asked.
        trace: what went over the wire, if that was wanted.
    """

    watched: Watched
    seconds: float
    why_not: Why | None
    trace: Trace | None

    @property
    def success(self) -> bool:
        """Whether the last attempt to read the job was understood."""
        view = self.watched.view
        return view is not None and view.reason is None and not self.watched.dropped

    def render(self, format_: Format) -> bytes:
        """The job's families as on the page of all jobs, and those of the probe."""
        own: Page[ProbeView] = Page(PROBE_METRICS)
        own.put("", render_row(PROBE_METRICS, "", ProbeView(self.success, round(self.seconds, 6))))
        end = b"# EOF\n" if format_ is Format.OPENMETRICS else b""
        return self.watched.render(format_) + own.render(format_) + end


class Probed:
    """The jobs probed last, at most 1,000 of them; what is known of older ones is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Never logged: who probes a job that nobody configured sees what comes of it.
        self._outages = Outages("")
        self._page: Page[JobView] = Page(JOB_METRICS)
        self._jobs: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], Watched] = OrderedDict()

    def watch(self, job: Job, rules: Rules, *, current_only: bool) -> Watched:
        """The job, known from earlier probes or new."""
        key = _key(job)
        watched = self._jobs.get(key)
        if watched is None:
            watched = self._jobs[key] = Watched(
                job, rules, self._page, self._outages, self._clock, current_only=current_only
            )
            self._bound()
        else:
            self._jobs.move_to_end(key)
            if (watched.job, watched.pace.rules, watched.current_only) != (job, rules, current_only):
                watched.adopt(job, rules, current_only=current_only)
        return watched

    def keep(self, former: Watched) -> None:
        """Takes over a job that is not configured any more; what is known of it stays."""
        former.move(self._page, self._outages)
        self._jobs[_key(former.job)] = former
        self._bound()

    def _bound(self) -> None:
        if len(self._jobs) > MAX_PROBED:
            self._jobs.popitem(last=False)[1].drop()

    def take(self, job: Job) -> Watched | None:
        """Hands over a job that is to be watched for good from now on."""
        return self._jobs.pop(_key(job), None)

    def forget(self, systems: Iterable[str]) -> None:
        """Drops all jobs of these systems."""
        gone = set(systems)
        for key in [key for key in self._jobs if key[0] in gone]:
            self._jobs.pop(key).drop()


def _key(job: Job) -> tuple[str, tuple[tuple[str, str], ...]]:
    # Not the id: keys that hold slashes may make up that of another job.
    return job.system, tuple(job.keys.items())
