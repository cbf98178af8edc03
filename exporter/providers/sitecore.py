"""Sitecore XM Cloud Publishing API: one publishing job, a ``run`` by nature.

Source: the page "Retrieve a publishing job" of the Publishing API and the user guide's page on what
the status labels mean. All of a job's answer but its words and identity may be missing or null.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from exporter.failure import Failure, Reason
from exporter.fields import Keys, KeyValue
from exporter.job import Items, Job, Kind, State, Status
from exporter.providers.base import Ask, Provider, Steps, path
from exporter.providers.fields import count, flag, instant, mapping, ratio, text

_STATES = {
    "queued": State.QUEUED,
    "running": State.RUNNING,
    "completed": State.SUCCEEDED,
    "failed": State.FAILED,
    "canceling": State.CANCELING,
    "cancelling": State.CANCELING,
    "canceled": State.CANCELED,
    "cancelled": State.CANCELED,
}
_FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED})
_CANCELABLE = frozenset({State.QUEUED, State.RUNNING})


class SitecoreOptions(Keys):
    """Sitecore needs no keys of its own."""


class SitecoreJob(Keys):
    """One publishing job."""

    id: KeyValue = Field(description="id of the publishing job, such as job_41B25")


class Sitecore(Provider):
    """Reads ``GET /authoring/publishing/v1/jobs/{id}``."""

    name: ClassVar[str] = "sitecore"
    Options: ClassVar[type[Keys]] = SitecoreOptions
    JobKeys: ClassVar[type[Keys]] = SitecoreJob

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """A run: every publish has an id of its own."""
        return keys["id"], Kind.RUN

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request tells everything."""
        answer = yield Ask(path("authoring", "publishing", "v1", "jobs", job.keys["id"]))
        body = answer.object()
        if "id" not in body and "system" not in body:
            raise Failure(Reason.INVALID_RESPONSE, "the answer is not a job", status=answer.status)
        return _status(job, body)


def _status(job: Job, body: Mapping[str, Any]) -> Status:
    system = mapping(body.get("system"))
    statistics = mapping(body.get("statistics"))
    details = mapping(statistics.get("xmc"))
    raw = text(system.get("status"))
    state = _STATES.get(raw.casefold(), State.UNKNOWN)
    queued, started = instant(system.get("queuedTime")), instant(system.get("startTime"))
    ended = instant(system.get("finishTime"))
    since = {State.QUEUED: queued, State.RUNNING: started}
    items = _items(statistics, details)
    complete = flag(details.get("itemsSendingComplete"))
    return Status(
        # The user interface calls it "Completed with warnings"; on the wire it has no word.
        state=State.SUCCEEDED_WITH_ERRORS if state is State.SUCCEEDED and items.failed else state,
        raw=raw,
        final=state in _FINAL,
        run=job.id,
        progress=_progress(items) if complete else None,
        items=items,
        # A right of the caller, which stays true after the end: it says something of the job only
        # while there is something to cancel.
        cancelable=flag(mapping(body.get("permissions")).get("canCancel")) if state in _CANCELABLE else None,
        sending_complete=complete,
        queued_at=queued,
        started_at=started,
        ended_at=ended,
        reported_at=instant(statistics.get("lastReportTime")),
        state_since=ended if state in _FINAL else since.get(state),
        name=text(body.get("name")),
    )


def _items(statistics: Mapping[str, Any], details: Mapping[str, Any]) -> Items:
    sent = count(statistics.get("itemsSent"))
    additional = count(details.get("additionalItemsSent"))
    return Items(
        total=None if sent is None else count(sent + (additional or 0)),
        sent=sent,
        additional_sent=additional,
        processed=count(statistics.get("itemsProcessed")),
        failed=count(statistics.get("itemsFailed")),
        skipped=count(details.get("itemsSkipped")),
        deleted=count(details.get("itemsDeleted")),
        acknowledged=count(details.get("itemsAcknowledged")),
    )


def _progress(items: Items) -> float | None:
    """The share of all items sent, the additional ones too; to be asked once no more will come.

    More processed than sent is no progress at all: some items are counted twice.
    """
    return ratio(items.processed, items.total) if items.total else None
