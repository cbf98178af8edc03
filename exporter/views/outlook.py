"""Which alerts fire for a job, and when others will. The rules are those of ``grafana/alerts/rules.yaml``."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from exporter.metrics import JobView
from exporter.model.failure import Reason
from exporter.model.job import Items, Kind, State, Status
from exporter.views.reasons import DOCUMENTATION

DAY = 86400.0
FAILING_SHARE = 0.05
FEWEST_ITEMS = 20
UNREADABLE_FOR = 300.0
RATE_LIMITED_FOR = 900.0
STOPPED_FOR = 600.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """An alert that fires, or will unless the job changes.

    Args:
        at: Unix time from which it fires. Prometheus may notice it some scrapes later.
        because: the reason, as the end of a sentence.
    """

    alert: str
    at: float
    because: str

    @property
    def runbook(self) -> str:
        """Address of its runbook."""
        return f"{DOCUMENTATION}grafana/alerts/runbooks/{self.alert}.md"


def outlook(view: JobView, changed_at: float, now: float) -> list[Outlook]:
    """The alerts of a job, the earliest first.

    Args:
        changed_at: Unix time since when the state or the reason is as it is.
        now: Unix time.
    """
    found = [*_of_results(view, now), *_of_expectations(view)]
    if view.status is not None:
        found += _of_state(view.status, changed_at)
    elif view.reason is not None:
        found.append(_of_reason(view.reason, changed_at))
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
    if status.state is State.QUEUED and expect.start_within is not None:
        queued = history.state_since if status.queued_at is None else status.queued_at
        yield Outlook("RemoteJobQueuedTooLong", queued + expect.start_within, "it is queued for too long")
    if status.state not in (State.RUNNING, State.CANCELING):
        return
    if expect.run_within is not None:
        began = history.state_since if status.started_at is None else status.started_at
        yield Outlook("RemoteJobRunningTooLong", began + expect.run_within, "it runs for too long")
    if expect.progress_within is not None and history.progress_changed is not None:
        moved = max(history.progress_changed, history.state_since)
        yield Outlook("RemoteJobStuck", moved + expect.progress_within, "it makes no progress")


def _of_state(status: Status, since: float) -> Iterator[Outlook]:
    if status.state is State.STOPPED:
        yield Outlook("RemoteJobPublishingStopped", since + STOPPED_FOR, "publishing is disabled")
    if status.state is State.UNKNOWN:
        yield Outlook("RemoteJobStateUnknown", since, "the exporter does not know the word of the vendor")
    if status.state is State.RUNNING and _many_fail(status.items):
        yield Outlook("RemoteJobItemsFailing", since, "over 5 % of its items have failed")


def _many_fail(items: Items) -> bool:
    if items.failed is None:
        return False
    done = items.processed
    if done is None and items.succeeded is not None:
        done = items.succeeded + items.failed
    done = items.total if done is None else done
    return done is not None and done >= FEWEST_ITEMS and items.failed > FAILING_SHARE * done


def _of_reason(reason: Reason, since: float) -> Outlook:
    if reason is Reason.RATE_LIMITED:
        return Outlook("RemoteJobRateLimited", since + RATE_LIMITED_FOR, "the vendor limits the requests")
    if reason in (Reason.AUTH, Reason.UNAUTHORIZED):
        text = "the system rejects the credential, or there is none"
        return Outlook("RemoteJobCredentialsRejected", since + UNREADABLE_FOR, text)
    return Outlook("RemoteJobUnreadable", since + UNREADABLE_FOR, "it cannot be read")
