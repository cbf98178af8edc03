"""Which alerts fire for a job, and when others will. The rules are those of ``grafana/alerts/rules.yaml``."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from exporter.collector.record import Change
from exporter.metrics import JobView
from exporter.model.failure import Reason
from exporter.model.job import Items, Kind, State, Status
from exporter.views.reasons import DOCUMENTATION
from exporter.views.report import lasting

DAY = 86400.0
FAILING_SHARE = 0.05
FEWEST_ITEMS = 20
UNREADABLE_FOR = 300.0
RATE_LIMITED_FOR = 900.0
STOPPED_FOR = 600.0
STOPPED_BRIDGES = 300.0
"""A failure to read for less than this does not end that publishing is stopped."""
REFUSED = frozenset({Reason.AUTH, Reason.UNAUTHORIZED})
"""Reasons that the alert on the credentials of a system is about."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """An alert that fires, or will unless the job changes.

    Args:
        at: Unix time from which it fires; now if it fires and the time is not known. Prometheus may notice it
            some scrapes later.
        because: the reason, as the end of a sentence.
    """

    alert: str
    at: float
    because: str

    @property
    def runbook(self) -> str:
        """Address of its runbook."""
        return f"{DOCUMENTATION}docs/on-call/alerts/{self.alert}.md"


def outlook(
    view: JobView, changes: Sequence[Change], now: float, refused_since: float | None = None
) -> list[Outlook]:
    """The alerts of a job, the earliest first.

    Args:
        changes: of the state of the job, the oldest first.
        now: Unix time.
        refused_since: Unix time since when the system rejects the credential, of all its jobs; the alert is
            one for the system.
    """
    found = [*_of_results(view, now), *_of_expectations(view)]
    if view.status is not None:
        found += _of_state(view.status, changes[-1].at, now)
    elif view.reason is not None:
        found.append(_of_reason(view.reason, changes, refused_since))
    if (since := _stopped_since(changes, now)) is not None:
        found.append(Outlook("RemoteJobPublishingStopped", since + STOPPED_FOR, "publishing is disabled"))
    return sorted(found, key=lambda each: each.at)


def _of_results(view: JobView, now: float) -> Iterator[Outlook]:
    failure, success = view.history.last_failure, view.history.last_success
    # The alerts of a single run end after a day.
    oldest = now - DAY if view.job.kind is Kind.RUN else -inf
    if failure is not None and failure > oldest and (success is None or failure > success):
        yield Outlook("RemoteJobFailed", failure, "the newest run that ended has failed")
    state = view.status.state if view.status is not None else None
    if state is State.SUCCEEDED_WITH_ERRORS and success is not None and success > oldest:
        yield Outlook("RemoteJobFinishedWithErrors", success, "the newest run ended with errors")


def _of_expectations(view: JobView) -> Iterator[Outlook]:
    history, expect, status = view.history, view.job.expect, view.status
    if expect.success_within is not None:
        since = history.watched_since if history.last_success is None else history.last_success
        yield Outlook("RemoteJobOverdue", since + expect.success_within, "no run has succeeded in time")
    if status is None:
        return
    since, expected = lasting(view.job, status, history.state_since)
    if expected is not None and status.state is State.QUEUED:
        yield Outlook("RemoteJobQueuedTooLong", since + expected, "it is queued for too long")
    elif expected is not None:
        yield Outlook("RemoteJobRunningTooLong", since + expected, "it runs for too long")
    if status.state not in (State.RUNNING, State.CANCELING):
        return
    if expect.progress_within is not None and history.progress_changed is not None:
        moved = max(history.progress_changed, history.state_since)
        yield Outlook("RemoteJobStuck", moved + expect.progress_within, "it makes no progress")


def _of_state(status: Status, since: float, now: float) -> Iterator[Outlook]:
    if status.state is State.UNKNOWN:
        yield Outlook("RemoteJobStateUnknown", since, "the exporter does not know the word of the vendor")
    if status.state is State.RUNNING and _many_fail(status.items):
        yield Outlook("RemoteJobItemsFailing", now, "over 5 % of its items have failed")


def _many_fail(items: Items) -> bool:
    if items.failed is None:
        return False
    done = items.processed
    if done is None and items.succeeded is not None:
        done = items.succeeded + items.failed
    done = items.total if done is None else done
    return done is not None and done >= FEWEST_ITEMS and items.failed > FAILING_SHARE * done


def refused_since(changes: Sequence[Change]) -> float:
    """Unix time since when a job has no valid credential; it has none now."""
    return _since(changes, REFUSED.__contains__)


def _of_reason(reason: Reason, changes: Sequence[Change], refused: float | None) -> Outlook:
    if reason is Reason.RATE_LIMITED:
        since = _since(changes, lambda each: each is Reason.RATE_LIMITED)
        return Outlook("RemoteJobRateLimited", since + RATE_LIMITED_FOR, "the vendor limits the requests")
    if reason in REFUSED:
        since = refused_since(changes) if refused is None else refused
        text = "the system rejects the credential, or there is none"
        return Outlook("RemoteJobCredentialsRejected", since + UNREADABLE_FOR, text)
    since = _since(changes, lambda each: each is not None and each not in {Reason.RATE_LIMITED, *REFUSED})
    return Outlook("RemoteJobUnreadable", since + UNREADABLE_FOR, "it cannot be read")


def _since(changes: Sequence[Change], holds: Callable[[Reason | None], bool]) -> float:
    """Since when the reason is one of several: a change from one to another does not restart the alert."""
    since = changes[-1].at
    for change in reversed(changes):
        if not holds(change.reason):
            break
        since = change.at
    return since


def _stopped_since(changes: Sequence[Change], now: float) -> float | None:
    since, until = None, now
    for change in reversed(changes):
        if change.state is State.STOPPED:
            since = change.at
        elif change.state is not None or until - change.at >= STOPPED_BRIDGES:
            break
        until = change.at
    return since
