"""Everything that is known of one job, for its page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from urllib.parse import urlencode

from exporter.collector.explain import WHY_NOT
from exporter.collector.record import Change, JobRecord
from exporter.metrics import bounded
from exporter.model.job import Category, Expect
from exporter.model.pacing import Why
from exporter.views.outlook import REFUSED, Outlook, outlook, refused_since
from exporter.views.report import JobReport, report
from exporter.views.words import ago, duration

# A read that ended too late has a sentence of its own.
_WHY_NOT = {**WHY_NOT, Why.FRESH: "the last read is younger than min_interval"}
_EXPECTATIONS = {
    "start_within": "to start after it was queued",
    "progress_within": "between two changes of its progress",
    "run_within": "for a run",
    "success_within": "between two successes",
}


@dataclass(frozen=True, slots=True)
class JobDetail:
    """One job in words. Times are Unix seconds, durations seconds.

    Args:
        job: as in the list of jobs.
        times: what they are, and when; those that are known.
        expectations: how long, and for what.
        alerts: that fire or will, the earliest first.
        categories: item counts by the vendor's category.
        changes: of the state, the newest first.
        last_read: how it was read, as a sentence; empty if it was not.
        request: the one with which a read begins; empty if the listing of its system reports the job.
        proxy: through which it is sent; may be empty.
        next_read: when the job may be read again, as a sentence.
        notes: the fields that were left out because of their value.
        probe: the query of ``/probe`` for the job.
        queries: what it shows, and a query for Prometheus.
    """

    job: JobReport
    times: Sequence[tuple[str, float]]
    expectations: Sequence[tuple[float, str]]
    alerts: Sequence[Outlook]
    categories: Sequence[tuple[str, Category]]
    changes: Sequence[Change]
    last_read: str
    request: str
    proxy: str
    next_read: str
    notes: Sequence[str]
    probe: str
    queries: Mapping[str, str]


def detail(
    record: JobRecord, of_system: Iterable[JobRecord], due_in: tuple[Why | None, float], now: float
) -> JobDetail:
    """What is shown of a job at this moment; sends no request.

    Args:
        of_system: all jobs of its system.
        due_in: why it may not be read now, and seconds until it may.
        now: Unix time.
    """
    job, view = report(record), record.view
    status = view.status if view is not None else None
    refused = _refused_since(of_system) if job.problem and job.problem.reason in REFUSED else None
    return JobDetail(
        job,
        _times(record),
        _expectations(record.job.expect),
        outlook(view, record.changes, now, refused) if view is not None else (),
        bounded(status.categories) if status is not None else (),
        record.changes[::-1],
        _last_read(record, now),
        record.first_request,
        record.proxy,
        _next_read(record, *due_in),
        status.notes if status is not None else (),
        urlencode({"system": job.system, **job.keys, "debug": "true"}),
        _queries(job),
    )


def _refused_since(records: Iterable[JobRecord]) -> float | None:
    refused = (each for each in records if each.view is not None and each.view.reason in REFUSED)
    return min((refused_since(each.changes) for each in refused), default=None)


def _times(record: JobRecord) -> list[tuple[str, float]]:
    view = record.view
    if view is None:
        return []
    history, status = view.history, view.status
    times: dict[str, float | None] = {"Watched since": history.watched_since, "Last read": view.read_at}
    if status is not None:
        times |= {
            "Queued": status.queued_at,
            "Started": status.started_at,
            "Ended": status.ended_at,
            "In this state since": history.state_since,
            "Last report of the vendor": status.reported_at,
        }
    times |= {
        "Last change of progress": history.progress_changed,
        "Last success": history.last_success,
        "Last failure": history.last_failure,
    }
    return [(name, at) for name, at in times.items() if at is not None]


def _expectations(expect: Expect) -> list[tuple[float, str]]:
    given = {name: getattr(expect, name) for name in _EXPECTATIONS}
    return [(seconds, _EXPECTATIONS[name]) for name, seconds in given.items() if seconds is not None]


def _last_read(record: JobRecord, now: float) -> str:
    if record.view is None:
        return ""
    how = "with the listing of its system" if record.in_listing else "by itself"
    return f"{ago(record.view.read_at, now)}, {how}, in {record.view.read_seconds * 1000:,.0f} ms."


def _next_read(record: JobRecord, why: Why | None, seconds: float) -> str:
    if record.is_being_read:
        return "A read is under way."
    if why is None:
        return "The next scrape reads it."
    if not seconds:
        return "The next scrape shows the last read, which ended after its deadline; the one after it reads."
    return f"A scrape in {duration(ceil(seconds))} or later reads it; not now because {_WHY_NOT[why]}."


def _queries(job: JobReport) -> dict[str, str]:
    own = f"{{system={_quoted(job.system)}, job_id={_quoted(job.job_id)}}}"
    return {
        "State as a number": f"remote_job_state_code{own}",
        "Progress": f"remote_job_progress_ratio{own}",
        "Why it cannot be read": f"remote_job_read_error_info{own}",
        "Seconds since the last success": f"time() - remote_job_last_success_timestamp_seconds{own}",
        "Alerts": f"ALERTS{own}",
    }


def _quoted(text: str) -> str:
    """A string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
