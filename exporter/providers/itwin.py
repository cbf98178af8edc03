"""Bentley iTwin Platform: one job of one of its six reality services, a ``run`` by nature.

Sources: the iTwin pages "Retrieve job progress" and "Retrieve job" of each service. The progress is
valid while a job is active and is deleted after 30 days; everything else is in the job itself. Some
services have only the state ``Over``; the job itself then says how it ended. Listings: the pages
"Get jobs". An entry is the whole job, so only the progress needs a request.
"""

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec.structs import replace
from pydantic import AfterValidator, Field, WithJsonSchema

from exporter.config_types import Keys, KeyValue
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import RESULTS, Job, Kind, State, Status
from exporter.providers.base import (
    DiscoverKeys,
    Found,
    Listing,
    ListingEnd,
    Provider,
    StateOf,
    Steps,
    invalid,
    path,
    received,
)
from exporter.providers.fields import Fields
from exporter.providers.paging import NO_ID, STALLED, Tally, check_number, next_query
from exporter.providers.values import key, mapping

# The outcome is known, although the job has not ended yet.
_FAILING = "terminatingonfailure"
_STATES = {
    "unsubmitted": State.IDLE,
    "queued": State.QUEUED,
    "pending": State.QUEUED,
    "active": State.RUNNING,
    "success": State.SUCCEEDED,
    "failed": State.FAILED,
    "cancelled": State.CANCELED,
    "canceled": State.CANCELED,
    "terminatingoncancel": State.CANCELING,
    _FAILING: State.FAILED,
}
_OVER = frozenset({"over", "completed"})
# Another request gets no more: the job is deleted, or the account has no right to its details.
_UNOBTAINABLE = frozenset({Reason.NOT_FOUND, Reason.FORBIDDEN})
_OF_PROGRESS = "progress."
"""What the notes about a progress begin with; each read replaces them."""
_NOT_READ = "job: not read"
"""The beginning of the note about a job of which only the progress can be read."""

# Their API has version 1, that of the others version 2.
_OLDER_SERVICES = frozenset({"contextcapture", "realitydataanalysis", "realityconversion"})

_GUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
PAGE_SIZE = 1000  # the maximum
_DAY = 86400.0
# The filter is on the day of creation, and a job can end long after that.
_LONGEST_RUN = 30 * _DAY


def _guid(value: str) -> str:
    if not re.fullmatch(_GUID, value):
        raise ValueError("not a GUID; allowed is such as cc3d35cc-416a-4262-9714-b359da70b419")
    return value


class ITwinOptions(Keys):
    """The service of the jobs."""

    service: Literal[
        "contextcapture",
        "realitydataanalysis",
        "realityconversion",
        "reality-modeling",
        "reality-analysis",
        "reality-conversion",
    ] = Field(description="name of the service, as in its addresses")


class ITwinJob(Keys):
    """One job."""

    id: KeyValue = Field(description="id of the job")


class ITwinDiscover(DiscoverKeys):
    """The jobs of one iTwin."""

    itwin_id: Annotated[
        str, AfterValidator(_guid), WithJsonSchema({"type": "string", "pattern": f"^{_GUID}$"})
    ] = Field(description="id of the iTwin whose jobs are listed")


@dataclass(frozen=True, slots=True)
class _Details:
    """What is in the job itself and not in its progress.

    Args:
        status: the vendor's words and the times; its state is not the present one.
        settled: another read in the present state gets nothing new.
    """

    status: Status
    settled: bool


class ITwin(Provider):
    """Reads ``GET {service}/jobs/{id}/progress``, and ``GET {service}/jobs/{id}`` once for each state.

    Lists ``GET {service}/jobs?$filter=…``.
    """

    name: ClassVar[str] = "itwin"
    Options: ClassVar[type[Keys]] = ITwinOptions
    JobKeys: ClassVar[type[Keys]] = ITwinJob
    Discover: ClassVar[type[DiscoverKeys] | None] = ITwinDiscover
    states: ClassVar[Mapping[str, State]] = _STATES
    rate_limit_scope: ClassVar[Literal["job", "system"]] = "system"
    poll_steps: ClassVar[tuple[float, ...]] = (15.0, 30.0, 60.0, 120.0)
    retry_after_headers: ClassVar[tuple[str, ...]] = (
        "retry-after",
        "itwinplatform-ratelimit-retry-after-seconds",
    )
    rate_limit_remaining_header: ClassVar[str] = "itwinplatform-ratelimit-remainingcalls"

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """A run: each job has an id of its own and ends once."""
        return keys["id"], Kind.RUN

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request; two when the state has changed or the progress does not say how the job ended.

        Name, type and times are only in the job itself. A status is valid without them, except after
        ``Over``, which does not say how the job ended.
        """
        progress = yield from self._progress(job)
        if progress is None:
            details = yield from self._read_details(job)
            return _status(job.id, details.status.raw, details, self.state_of)
        word = progress.text("state")
        if not word or word.casefold() in _OVER:
            details = yield from self._read_details(job)
            word = details.status.raw or word
        else:
            details = _remembered(previous, word, self.state_of)
            if not details.settled:
                details = yield from self._details_if_any(job, details)
        return replace(
            _status(job.id, word, details, self.state_of),
            step=progress.text("step"),
            progress=progress.ratio("percentage", 100.0),
            notes=(*details.status.notes, *progress.notes),
        )

    def _progress(self, job: Job) -> Generator[Request, Response, Fields | None]:
        """The job's progress; ``None`` before and after the run, when there is none."""
        response = yield self._request("jobs", job.keys["id"], "progress", expect=frozenset({404}))
        if response.status == 404:
            return None
        return Fields(_unwrap(response, "progress", "jobProgress"), _OF_PROGRESS)

    def _read_details(self, job: Job) -> Generator[Request, Response, _Details]:
        response = yield self._request("jobs", job.keys["id"])
        return _details(Fields(_unwrap(response, "job"), "job."), self.state_of)

    def _details_if_any(self, job: Job, known: _Details) -> Generator[Request, Response, _Details]:
        try:
            return (yield from self._read_details(job))
        except Failure as failure:
            before = [note for note in known.status.notes if not note.startswith(_NOT_READ)]
            status = replace(known.status, notes=(*before, f"{_NOT_READ} ({failure})"))
            return _Details(status, settled=failure.reason in _UNOBTAINABLE)

    def discover(self, keys: ITwinDiscover, now: float) -> Listing:
        """One request for each 1,000 jobs, with their states; one more for the progress of a running job.

        The filter by age is coarse and changes once a day; the caller leaves out jobs that ended too
        long ago.
        """
        wanted = f"iTwinId eq {keys.itwin_id}"
        if keys.newer_than is not None:
            oldest = max(0.0, now - keys.newer_than - _LONGEST_RUN) // _DAY * _DAY
            wanted += f" and createdDateTime gt {datetime.fromtimestamp(oldest, UTC):%Y-%m-%dT%H:%M:%SZ}"
        request = self._request("jobs", query={"$filter": wanted, "$top": str(PAGE_SIZE)})
        listing, requested = request.path.partition("?")[0], {request.path}
        tally = Tally()
        while True:
            response = yield from received(request)
            body = response.object()
            jobs = body.get("jobs")
            if not isinstance(jobs, list):
                raise invalid(response, "the response has no jobs")
            check_number(jobs, PAGE_SIZE)
            tally.add(len(jobs), None)
            for entry in map(mapping, jobs):
                if (job_id := key(entry.get("id"))) is None:
                    tally.skipped[NO_ID] += 1
                else:
                    yield _found(job_id, entry, self.state_of)
            link = mapping(body.get("_links")).get("next")
            address = link.get("href") if isinstance(link, dict) else link
            if address is None or address == "":
                return ListingEnd(tally.skipped)
            request = replace(request, path=f"{listing}?{next_query(address, response)}")
            if request.path in requested:
                if not jobs:
                    return ListingEnd(tally.skipped)
                raise invalid(response, "the address of the next page leads to a page that was read already")
            requested.add(request.path)
            if tally.stalled:
                return tally.end(STALLED)

    def _request(
        self, *segments: str, expect: frozenset[int] = frozenset(), query: Mapping[str, str] | None = None
    ) -> Request:
        service = self.options.service
        version = "v1" if service in _OLDER_SERVICES else "v2"
        accept = f"application/vnd.bentley.itwin-platform.{version}+json"
        return Request(path(service, *segments, **(query or {})), (("Accept", accept),), expect)


def _found(job_id: str, entry: Mapping[str, Any], state_of: StateOf) -> Found:
    """The job of an entry of a listing."""
    details = _details(Fields(entry, "job."), state_of)
    raw = details.status.raw
    if not raw or raw.casefold() in _OVER:
        # The progress of such a job can say more than the entry.
        return Found({"id": job_id}, name=details.status.name)
    # A job has progress only while it is active.
    status = _status(job_id, raw, details, state_of)
    is_active = status.state in (State.RUNNING, State.CANCELING) or raw.casefold() == _FAILING
    return Found({"id": job_id}, status, complete=not is_active)


def _unwrap(response: Response, *names: str) -> Mapping[str, Any]:
    """The object under the first of these names that the response has."""
    body = response.object()
    for name in names:
        if isinstance(body.get(name), dict):
            return mapping(body[name])
    raise invalid(response, f"the response has no {names[0]}")


def _details(body: Fields, state_of: StateOf) -> _Details:
    """The details of a job, from its own response or from a listing."""
    # Two spellings, the one of the older services first.
    times = body.nested("executionInformation", "executionInfo")
    queued = ("submittedDateTime", "submissionDateTime", "createdDateTime")
    word = body.text("state")
    status = Status(
        State.UNKNOWN,
        raw=word,
        queued_at=next((at for name in queued if (at := times.instant(name))), None),
        started_at=times.instant("startedDateTime"),
        ended_at=times.instant("endedDateTime"),
        name=body.text("name"),
        type=body.text("type"),
        notes=body.notes,
    )
    # The job can be older than its progress, so a job that is still active here is read again.
    return _Details(status, settled=status.ended_at is not None or _has_ended(word, state_of))


def _has_ended(word: str, state_of: StateOf) -> bool:
    return state_of(word) in RESULTS and word.casefold() != _FAILING


def _remembered(previous: Status | None, word: str, state_of: StateOf) -> _Details:
    """The details in the last status; settled while the job is in the same state."""
    if previous is None:
        return _Details(Status(State.UNKNOWN), settled=False)
    facts = (previous.name, previous.type, previous.queued_at, previous.started_at)
    enough = previous.final if _has_ended(word, state_of) else any(facts)
    notes = tuple(note for note in previous.notes if not note.startswith(_OF_PROGRESS))
    settled = enough and previous.raw.casefold() == word.casefold()
    return _Details(replace(previous, notes=notes), settled=settled)


def _status(job_id: str, word: str, details: _Details, state_of: StateOf) -> Status:
    if not word:
        raise Failure(Reason.INVALID_RESPONSE, "no response has a word for the state of the job")
    state, ended = state_of(word), _has_ended(word, state_of)
    known = details.status
    since = {State.QUEUED: known.queued_at, State.RUNNING: known.started_at}
    return replace(
        known,
        state=state,
        raw=word,
        final=ended and details.settled,
        run=job_id,
        # The only date of a job that is not submitted is that of its creation.
        queued_at=None if state is State.IDLE else known.queued_at,
        ended_at=known.ended_at if ended or state is State.UNKNOWN else None,
        state_since=known.ended_at if ended else since.get(state),
    )
