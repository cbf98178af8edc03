"""The metrics of a job."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from exporter.metrics.table import Metric, Samples, Value, because
from exporter.model.failure import Reason
from exporter.model.history import History
from exporter.model.job import RESULTS, Category, Expect, Items, Job, State, Status

MAX_CATEGORIES = 50
OTHER = "other"
_EXPECTATIONS = tuple(field.name for field in fields(Expect))

_STATES: Mapping[State, Samples] = {
    state: tuple(((other.value,), int(other is state)) for other in State) for state in State
}


@dataclass(frozen=True, slots=True)
class JobView:
    """All that is known of one job at one moment.

    Args:
        status: what the last attempt understood; ``None`` while it failed.
        reason: why the last attempt failed; ``None`` while it worked.
        read_at: Unix time of the last attempt, its oldest part where it has several.
        read_seconds: how long it took.
    """

    job: Job
    history: History
    status: Status | None
    reason: Reason | None
    read_at: float
    read_seconds: float

    @property
    def name(self) -> str:
        """The job's name for people: as configured, else as the vendor calls it, else none."""
        known = self.history.status
        return self.job.name or (known.name if known is not None else "")


def _of(read: Callable[[Status], Value]) -> Callable[[JobView], Value]:
    """A value of the status; absent while there is none."""

    def get(view: JobView) -> Value:
        status = view.status
        return None if status is None else read(status)

    return get


def _items(name: str) -> Callable[[JobView], Value]:
    return _of(lambda status: getattr(status.items, name))


def _state(view: JobView) -> Samples:
    return () if view.status is None else _STATES[view.status.state]


def _status_info(view: JobView) -> Samples:
    return () if view.status is None else (((view.status.raw, view.status.step), 1),)


def _info(view: JobView) -> Samples:
    job, known = view.job, view.history.status
    words = (known.type, known.level) if known else ("", "")
    return (((job.provider, job.kind.value, view.name, *words), 1),)


def _expected(view: JobView) -> Samples:
    expect = view.job.expect
    limits = ((name, getattr(expect, name)) for name in _EXPECTATIONS)
    return tuple(((name,), seconds) for name, seconds in limits if seconds is not None)


def _finished(view: JobView) -> Samples:
    finished = view.history.finished
    return tuple([((state.value,), finished[state]) for state in RESULTS])


def _duration(status: Status) -> Value:
    if status.state not in RESULTS or status.started_at is None or status.ended_at is None:
        return None
    # No vendor has more digits than microseconds; the rest is an error of the subtraction.
    seconds = round(status.ended_at - status.started_at, 6)
    return seconds if seconds >= 0 else None


def _categories(name: str) -> Callable[[JobView], Samples]:
    def get(view: JobView) -> Samples:
        if view.status is None or not view.status.categories:
            return ()
        categories = _bounded(view.status.categories)
        values = ((label, getattr(category, name)) for label, category in categories)
        return tuple(((label,), value) for label, value in values if value is not None)

    return get


def _bounded(categories: Any) -> list[tuple[str, Category]]:
    """At most 50 categories, by name; the rest summed as ``other``, so that labels stay bounded."""
    ordered = sorted(categories.items())
    if len(ordered) <= MAX_CATEGORIES:
        return ordered
    kept = [(label, category) for label, category in ordered if label != OTHER][: MAX_CATEGORIES - 1]
    rest = [category for label, category in ordered if label not in dict(kept)]
    totals = {
        field.name: _sum(getattr(category, field.name) for category in rest) for field in fields(Category)
    }
    return [*kept, (OTHER, Category(**totals))]


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _flag(read: Callable[[Status], bool | None]) -> Callable[[JobView], Value]:
    def value(status: Status) -> Value:
        flag = read(status)
        return None if flag is None else int(flag)

    return _of(value)


_ITEM_HELP = {
    "total": "Items of the current run known so far.",
    "sent": "Items sent to the vendor's publishing target.",
    "additional_sent": "Items sent in addition to the requested ones, such as dependencies.",
    "processed": "Items of the current run that are processed.",
    "succeeded": "Items of the current run that succeeded.",
    "failed": "Items of the current run that failed.",
    "skipped": "Items of the current run that were skipped.",
    "deleted": "Items of the current run that were deleted.",
    "acknowledged": "Items that the vendor's target has acknowledged.",
}

JOB_METRICS: tuple[Metric[JobView], ...] = (
    Metric(
        "remote_job_up",
        "1 if the last read of the job succeeded, else 0.",
        lambda view: int(view.reason is None),
        kept=True,
    ),
    Metric(
        "remote_job_read_error_info",
        "Reason why the last read of the job failed; absent while reads succeed.",
        lambda view: because(view.reason),
        labels=("reason",),
        kept=True,
        type="info",
    ),
    Metric(
        "remote_job_read_duration_seconds",
        "Duration of the last read of the job.",
        lambda view: view.read_seconds,
        kept=True,
    ),
    Metric(
        "remote_job_read_timestamp_seconds",
        "Start of the last read of the job.",
        lambda view: view.read_at,
        kept=True,
    ),
    Metric(
        "remote_job_watched_since_timestamp_seconds",
        "Time since when this exporter has watched the job.",
        lambda view: view.history.watched_since,
        kept=True,
    ),
    Metric(
        "remote_job_expected_seconds",
        "What the configuration expects of the job; the thresholds of alerts.",
        _expected,
        labels=("expectation",),
        kept=True,
    ),
    Metric(
        "remote_job_info",
        "Identity of the job. job_kind: slot (one identity, run after run) or run (ends once).",
        _info,
        labels=("provider", "job_kind", "job_name", "job_type", "job_level"),
        kept=True,
        type="info",
    ),
    Metric(
        "remote_job_status_info",
        "The vendor's own words for the status and the step of the job.",
        _status_info,
        labels=("status", "step"),
        type="info",
    ),
    Metric(
        "remote_job_state",
        "State of the job in one vocabulary for all systems; exactly one is 1.",
        _state,
        labels=("remote_job_state",),
        type="stateset",
    ),
    Metric(
        "remote_job_state_timestamp_seconds",
        "Time since when the job has been in its state: as reported by the vendor, else as first seen.",
        lambda view: view.history.state_since if view.status is not None else None,
    ),
    Metric(
        "remote_job_progress_ratio",
        "Progress of the current run, 0 to 1; absent if it is not known.",
        _of(lambda status: status.progress),
    ),
    Metric(
        "remote_job_progress_changed_timestamp_seconds",
        "Time of the last change of step, progress or an item count.",
        lambda view: view.history.progress_changed,
        kept=True,
    ),
    *(
        Metric(
            "remote_job_items" if field.name == "total" else f"remote_job_items_{field.name}",
            _ITEM_HELP[field.name],
            _items(field.name),
        )
        for field in fields(Items)
    ),
    Metric(
        "remote_job_items_sending_complete",
        "1 if no more items will be sent, so that the item counts are final.",
        _flag(lambda status: status.sending_complete),
    ),
    Metric(
        "remote_job_cancelable",
        "1 if the job can be canceled, as reported by the vendor.",
        _flag(lambda status: status.cancelable),
    ),
    Metric(
        "remote_job_enabled",
        "0 if publishing is disabled.",
        _flag(lambda status: status.enabled),
    ),
    Metric(
        "remote_job_category_items",
        "Items of the current run by the vendor's category.",
        _categories("total"),
        labels=("category",),
    ),
    Metric(
        "remote_job_category_items_succeeded",
        "Items of the current run that succeeded, by the vendor's category.",
        _categories("succeeded"),
        labels=("category",),
    ),
    Metric(
        "remote_job_category_items_failed",
        "Items of the current run that failed, by the vendor's category.",
        _categories("failed"),
        labels=("category",),
    ),
    Metric(
        "remote_job_queued_timestamp_seconds",
        "Time at which the newest run was queued.",
        _of(lambda status: status.queued_at),
    ),
    Metric(
        "remote_job_start_timestamp_seconds",
        "Start of the newest run.",
        _of(lambda status: status.started_at),
    ),
    Metric(
        "remote_job_end_timestamp_seconds",
        "End of the newest run.",
        _of(lambda status: status.ended_at),
    ),
    Metric(
        "remote_job_last_report_timestamp_seconds",
        "Time at which the vendor last updated the status.",
        _of(lambda status: status.reported_at),
    ),
    Metric(
        "remote_job_last_success_timestamp_seconds",
        "End of the newest run known to have succeeded, with or without errors.",
        lambda view: view.history.last_success,
        kept=True,
    ),
    Metric(
        "remote_job_last_failure_timestamp_seconds",
        "End of the newest run known to have failed.",
        lambda view: view.history.last_failure,
        kept=True,
    ),
    Metric(
        "remote_job_runs_finished_total",
        "Runs that this exporter saw end, by final state.",
        _finished,
        labels=("result",),
        kept=True,
        type="counter",
    ),
    Metric(
        "remote_job_run_duration_seconds",
        "Duration of the newest run, once it has ended.",
        _of(_duration),
    ),
    Metric(
        "remote_job_run_number",
        "The vendor's number of the newest run.",
        _of(lambda status: status.run_number),
    ),
)
