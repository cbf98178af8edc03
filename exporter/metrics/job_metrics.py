"""The metrics of a job.

A `JobView` joins what the configuration, the last read and the history know, so a getter has one argument.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from exporter.metrics.table import Metric, Samples, Table, because, samples
from exporter.model.failure import Reason
from exporter.model.history import History
from exporter.model.job import RESULTS, Category, Expect, Job, State, Status

MAX_CATEGORIES = 50
OTHER = "other"

_RESULTS = tuple((result.value,) for result in RESULTS)
_STATES: Mapping[State, Samples] = {
    state: tuple(((other.value,), int(other is state)) for other in State) for state in State
}
_CODES: Mapping[State, int] = {state: code for code, state in enumerate(State)}


class JobView(Struct, frozen=True, gc=False):
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
        return self.job.name or (known.name if known else "")

    def finds_the_same(self, before: "JobView | None") -> bool:
        """Whether nothing of the job has changed since ``before`` but its last read."""
        return (
            before is not None
            and self.job is before.job
            and self.status is before.status
            and self.reason is before.reason
        )


def _of(read: Callable[[Status], Any]) -> Callable[[JobView], Any]:
    """A value of the status; absent while there is none."""

    def get(view: JobView) -> Any:
        return None if view.status is None else read(view.status)

    return get


def _by_category(name: str, help_: str, count: str) -> Metric[JobView]:
    """A gauge of one count of every category of the status."""

    def show(categories: Mapping[str, Category] | None) -> Samples:
        if not categories:
            return ()
        return samples((label, getattr(each, count)) for label, each in bounded(categories))

    return Metric(name, help_, "status.categories", show=show, labels=("category",))


def _info(view: JobView) -> tuple[str, ...]:
    job, known = view.job, view.history.status
    words = (known.type, known.level) if known else ("", "")
    return job.provider, job.kind, view.name, *words


def _one(labels: tuple[str, ...]) -> Samples:
    """The sample of an info metric."""
    return ((labels, 1),)


@functools.lru_cache(maxsize=100)
def _expected(expect: Expect) -> Samples:
    return samples((name, getattr(expect, name)) for name in Expect.__struct_fields__)


def _duration(status: Status) -> float | None:
    if status.state not in RESULTS or status.started_at is None or status.ended_at is None:
        return None
    # No vendor has more digits than microseconds; the rest is an error of the subtraction.
    seconds = round(status.ended_at - status.started_at, 6)
    return seconds if seconds >= 0 else None


def bounded(categories: Mapping[str, Category]) -> list[tuple[str, Category]]:
    """At most 50 categories, by name; the rest summed as ``other``, so that labels stay bounded."""
    ordered = sorted(categories.items())
    if len(ordered) <= MAX_CATEGORIES:
        return ordered
    kept = [(label, category) for label, category in ordered if label != OTHER][: MAX_CATEGORIES - 1]
    rest = [category for label, category in ordered if label not in dict(kept)]
    return [*kept, (OTHER, Category(*(_sum(rest, count) for count in Category.__struct_fields__)))]


def _sum(categories: Iterable[Category], count: str) -> int | None:
    known = [value for category in categories if (value := getattr(category, count)) is not None]
    return sum(known) if known else None


JOB_METRICS: Table[JobView] = Table(
    Metric(
        "remote_job_up",
        "1 if the last read of the job succeeded, else 0.",
        "reason",
        show=lambda reason: int(reason is None),
        kept=True,
    ),
    Metric(
        "remote_job_read_error_info",
        "Reason why the last read of the job failed; absent while reads succeed.",
        "reason",
        show=because,
        labels=("reason",),
        kept=True,
        type="info",
    ),
    Metric(
        "remote_job_read_duration_seconds",
        "Duration of the last read of the job.",
        "read_seconds",
        kept=True,
        each_read=True,
    ),
    Metric(
        "remote_job_read_timestamp_seconds",
        "Start of the last read of the job.",
        "read_at",
        kept=True,
        each_read=True,
    ),
    Metric(
        "remote_job_watched_since_timestamp_seconds",
        "Time when this exporter started to watch the job.",
        "history.watched_since",
        kept=True,
    ),
    Metric(
        "remote_job_expected_seconds",
        "What the configuration expects of the job; the thresholds of alerts.",
        "job.expect",
        show=_expected,
        labels=("expectation",),
        shared=True,
        kept=True,
    ),
    Metric(
        "remote_job_info",
        "Identity of the job. job_kind: slot (one identity, run after run) or run (ends once).",
        _info,
        show=_one,
        labels=("provider", "job_kind", "job_name", "job_type", "job_level"),
        kept=True,
        type="info",
    ),
    Metric(
        "remote_job_status_info",
        "The vendor's own words for the status and the step of the job.",
        _of(lambda status: (status.raw, status.step)),
        show=lambda words: _one(words) if words else (),
        labels=("status", "step"),
        type="info",
    ),
    Metric(
        "remote_job_state",
        "State of the job in one vocabulary for all systems; exactly one is 1.",
        "status.state",
        show=_STATES.get,
        labels=("remote_job_state",),
        shared=True,
        type="stateset",
    ),
    Metric(
        "remote_job_state_code",
        f"State of the job as a number: {', '.join(f'{code} {state}' for state, code in _CODES.items())}.",
        "status.state",
        show=_CODES.get,
    ),
    Metric(
        "remote_job_state_timestamp_seconds",
        "Time when the job entered its state: as reported by the vendor, else as first seen.",
        lambda view: view.history.state_since if view.status is not None else None,
    ),
    Metric(
        "remote_job_progress_ratio",
        "Progress of the current run, 0 to 1; absent if it is not known.",
        "status.progress",
    ),
    Metric(
        "remote_job_progress_changed_timestamp_seconds",
        "Time of the last change of step, progress or an item count.",
        "history.progress_changed",
        kept=True,
    ),
    Metric("remote_job_items", "Items of the current run known so far.", "status.items.total"),
    Metric("remote_job_items_sent", "Items sent to the vendor's publishing target.", "status.items.sent"),
    Metric(
        "remote_job_items_additional_sent",
        "Items sent in addition to the requested ones, such as dependencies.",
        "status.items.additional_sent",
    ),
    Metric(
        "remote_job_items_processed",
        "Items of the current run that are processed.",
        "status.items.processed",
    ),
    Metric(
        "remote_job_items_succeeded", "Items of the current run that succeeded.", "status.items.succeeded"
    ),
    Metric("remote_job_items_failed", "Items of the current run that failed.", "status.items.failed"),
    Metric("remote_job_items_skipped", "Items of the current run that were skipped.", "status.items.skipped"),
    Metric("remote_job_items_deleted", "Items of the current run that were deleted.", "status.items.deleted"),
    Metric(
        "remote_job_items_acknowledged",
        "Items that the vendor's target has acknowledged.",
        "status.items.acknowledged",
    ),
    Metric(
        "remote_job_items_sending_complete",
        "1 if no more items will be sent, so that the item counts are final.",
        "status.sending_complete",
    ),
    Metric(
        "remote_job_cancelable",
        "1 if the job can be canceled, as reported by the vendor.",
        "status.cancelable",
    ),
    Metric("remote_job_enabled", "0 if publishing is disabled.", "status.enabled"),
    _by_category("remote_job_category_items", "Items of the current run by the vendor's category.", "total"),
    _by_category(
        "remote_job_category_items_succeeded",
        "Items of the current run that succeeded, by the vendor's category.",
        "succeeded",
    ),
    _by_category(
        "remote_job_category_items_failed",
        "Items of the current run that failed, by the vendor's category.",
        "failed",
    ),
    Metric(
        "remote_job_queued_timestamp_seconds",
        "Time at which the newest run was queued.",
        "status.queued_at",
    ),
    Metric("remote_job_start_timestamp_seconds", "Start of the newest run.", "status.started_at"),
    Metric("remote_job_end_timestamp_seconds", "End of the newest run.", "status.ended_at"),
    Metric(
        "remote_job_last_report_timestamp_seconds",
        "Time at which the vendor last updated the status.",
        "status.reported_at",
    ),
    Metric(
        "remote_job_last_success_timestamp_seconds",
        "End of the newest run known to have succeeded, with or without errors.",
        "history.last_success",
        kept=True,
    ),
    Metric(
        "remote_job_last_failure_timestamp_seconds",
        "End of the newest run known to have failed.",
        "history.last_failure",
        kept=True,
    ),
    Metric(
        "remote_job_runs_finished_total",
        "Runs that this exporter saw end, by final state.",
        "history.finished",
        show=lambda finished: (*zip(_RESULTS, finished.values(), strict=True),),
        labels=("result",),
        kept=True,
        type="counter",
    ),
    Metric(
        "remote_job_run_duration_seconds",
        "Duration of the newest run, once it has ended.",
        _of(_duration),
    ),
    Metric("remote_job_run_number", "The vendor's number of the newest run.", "status.run_number"),
)
