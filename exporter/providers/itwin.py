"""Bentley iTwin Platform: one job of one of its six reality services, a ``run`` by nature.

Source: the iTwin pages "Retrieve job progress" and "Retrieve job" of each service. The progress is
deemed valid while a job is active and is gone after 30 days; the job itself tells the rest. Some
services say only ``Over``: how a job ended is then told by the job itself. Listings: the pages
"Get jobs"; each entry is a job as it tells itself, so only the progress is left to ask.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema

from exporter.config_types import Keys, KeyValue
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Job, Kind, State, Status
from exporter.providers.base import DiscoverKeys, Found, Listing, Provider, Steps, answered, path
from exporter.providers.values import instant, key, mapping, ratio, text

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
    # The outcome is known, the job is not yet over.
    "terminatingonfailure": State.FAILED,
}
_FINAL = frozenset({"success", "failed", "cancelled", "canceled"})
_OVER = frozenset({"over", "completed"})
_UNDER_WAY = frozenset({"active", "terminatingoncancel", "terminatingonfailure"})
# Asking again tells no more: the job is gone, or its details are not ours to see.
_UNOBTAINABLE = frozenset({Reason.NOT_FOUND, Reason.FORBIDDEN})

_VERSIONS = {
    "contextcapture": "v1",
    "realitydataanalysis": "v1",
    "realityconversion": "v1",
    "reality-modeling": "v2",
    "reality-analysis": "v2",
    "reality-conversion": "v2",
}

_GUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
PAGE_SIZE = 1000  # the most that a page may hold
_DAY = 86400.0
# Jobs are listed by the day they were made, and one that was made long ago may end only now.
_LONGEST_RUN = 30 * _DAY
_MAX_QUERY = 8192
_QUERY_CHARACTERS = "!$%&'()*+,/:;=?@~"


def _guid(value: str) -> str:
    if not re.fullmatch(_GUID, value):
        raise ValueError("not a GUID; allowed is such as cc3d35cc-416a-4262-9714-b359da70b419")
    return value


class ITwinOptions(Keys):
    """Which service's jobs these are."""

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
    """What the job itself tells and its progress does not; it stays as it is once it is told.

    Args:
        word: the job's state in the vendor's word.
        settled: whether reading them again would tell nothing new in the present state.
    """

    word: str = ""
    name: str = ""
    type: str = ""
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    settled: bool = False


class ITwin(Provider):
    """Reads ``GET {service}/jobs/{id}/progress``, and ``GET {service}/jobs/{id}`` once a state.

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
        """A run: every run has an id of its own."""
        return keys["id"], Kind.RUN

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request; two when the state has changed or the progress does not say how the job ended.

        Name, type and times are only in the job itself. A status is valid without them, except after
        ``Over``, which does not say how the job ended.
        """
        progress = yield from self._progress(job)
        if progress is None:
            details = yield from self._details(job)
            return _status(job.id, details.word, details)
        word = text(progress.get("state"))
        if word.casefold() in _OVER:
            details = yield from self._details(job)
            word = details.word or word
        else:
            details = _remembered(previous, word)
            if not details.settled:
                details = yield from self._details_if_any(job, details)
        return replace(
            _status(job.id, word, details),
            step=text(progress.get("step")),
            progress=ratio(progress.get("percentage"), 100.0),
        )

    def _progress(self, job: Job) -> Generator[Request, Response, Mapping[str, Any] | None]:
        """The job's progress, or ``None`` where there is none (yet, or any more)."""
        answer = yield self._ask("jobs", job.keys["id"], "progress", expect=frozenset({404}))
        return None if answer.status == 404 else _unwrap(answer, "progress", "jobProgress")

    def _details(self, job: Job) -> Generator[Request, Response, _Details]:
        answer = yield self._ask("jobs", job.keys["id"])
        return _told(_unwrap(answer, "job"))

    def _details_if_any(self, job: Job, known: _Details) -> Generator[Request, Response, _Details]:
        try:
            return (yield from self._details(job))
        except Failure as failure:
            return replace(known, settled=failure.reason in _UNOBTAINABLE)

    def discover(self, keys: ITwinDiscover, now: float) -> Listing:
        """One request for each 1,000 jobs, with their states; one more for the progress of a running job.

        The filter by age is coarse and changes once a day; the caller leaves out jobs that ended too
        long ago.
        """
        wanted = f"iTwinId eq {keys.itwin_id}"
        if keys.newer_than is not None:
            oldest = max(0.0, now - keys.newer_than - _LONGEST_RUN) // _DAY * _DAY
            wanted += f" and createdDateTime gt {datetime.fromtimestamp(oldest, UTC):%Y-%m-%dT%H:%M:%SZ}"
        ask = self._ask("jobs", query={"$filter": wanted, "$top": str(PAGE_SIZE)})
        listing, asked = ask.path.partition("?")[0], {ask.path}
        while True:
            answer = yield from answered(ask)
            body = _page(answer)
            for entry in body["jobs"]:
                yield from _found(mapping(entry))
            query = _next_query(body, answer, listing)
            if query is None:
                return
            ask = replace(ask, path=f"{listing}?{query}")
            if ask.path in asked:
                raise _misleads(answer, "to a page that was read already")
            asked.add(ask.path)

    def _ask(
        self, *segments: str, expect: frozenset[int] = frozenset(), query: Mapping[str, str] | None = None
    ) -> Request:
        service = self.options.service
        accept = f"application/vnd.bentley.itwin-platform.{_VERSIONS[service]}+json"
        return Request(path(service, *segments, **(query or {})), (("Accept", accept),), expect)


def _page(answer: Response) -> Mapping[str, Any]:
    """A page of a listing: it has a list of ``jobs``."""
    body = answer.object()
    if not isinstance(body.get("jobs"), list):
        raise Failure(Reason.INVALID_RESPONSE, "the answer holds no jobs", status=answer.status)
    return body


def _found(entry: Mapping[str, Any]) -> Iterator[Found]:
    """What an entry of a listing tells; nothing where its id could not stand in an address."""
    job_id = key(entry.get("id"))
    if job_id is None:
        return
    details = _told(entry)
    word = details.word.casefold()
    if not word or word in _OVER:
        yield Found({"id": job_id}, name=details.name)  # told too little, as it is read otherwise
        return
    # Who waits has no progress yet and who has ended has none any more.
    yield Found({"id": job_id}, _status(job_id, details.word, details), complete=word not in _UNDER_WAY)


def _next_query(body: Mapping[str, Any], answer: Response, listing: str) -> str | None:
    """The query of the next page; ``None`` after the last.

    Only the query of the link is used, so that nothing else can be reached by it; yet one that leads
    away is no answer that we understand.
    """
    href = mapping(mapping(body.get("_links")).get("next")).get("href")
    if href is None or href == "":
        return None
    if not isinstance(href, str) or len(href) > _MAX_QUERY:
        raise _misleads(answer, "nowhere")
    try:
        link, asked = urlsplit(href), urlsplit(answer.url)
        host = link.hostname
    except ValueError:
        raise _misleads(answer, "nowhere") from None
    if host is not None and asked.hostname is not None and host != asked.hostname:
        raise _misleads(answer, "to another host")
    if link.path != (asked.path or link.path) or not link.path.endswith(listing) or not link.query:
        raise _misleads(answer, "to another place than the listing")
    return quote(link.query, safe=_QUERY_CHARACTERS, errors="replace")


def _misleads(answer: Response, where: str) -> Failure:
    return Failure(Reason.INVALID_RESPONSE, f"the link to the next page leads {where}", status=answer.status)


def _unwrap(answer: Response, *names: str) -> Mapping[str, Any]:
    """The object under the first of these names that the answer has."""
    body = answer.object()
    for name in names:
        if isinstance(body.get(name), dict):
            return mapping(body[name])
    raise Failure(Reason.INVALID_RESPONSE, f"the answer holds no {names[0]}", status=answer.status)


def _told(body: Mapping[str, Any]) -> _Details:
    """What a job tells of itself, alone or in a listing."""
    # Two spellings: the older services' first.
    times = {**mapping(body.get("executionInformation")), **mapping(body.get("executionInfo"))}
    queued = ("submittedDateTime", "submissionDateTime", "createdDateTime")
    word = text(body.get("state"))
    ended_at = instant(times.get("endedDateTime"))
    return _Details(
        word=word,
        name=text(body.get("name")),
        type=text(body.get("type")),
        queued_at=next((at for name in queued if (at := instant(times.get(name)))), None),
        started_at=instant(times.get("startedDateTime")),
        ended_at=ended_at,
        # It may lag behind the progress: still active there means that its end is yet to come.
        settled=ended_at is not None or word.casefold() in _FINAL,
    )


def _remembered(previous: Status | None, word: str) -> _Details:
    """What the last status already knows; settled while the job is in the same state as then."""
    if previous is None:
        return _Details()
    facts = (previous.name, previous.type, previous.queued_at, previous.started_at)
    enough = previous.final if word.casefold() in _FINAL else any(facts)
    return _Details(
        "", *facts, previous.ended_at, settled=enough and previous.raw.casefold() == word.casefold()
    )


def _status(job_id: str, word: str, details: _Details) -> Status:
    state = _STATES.get(word.casefold(), State.UNKNOWN)
    ended = word.casefold() in _FINAL
    since = {State.QUEUED: details.queued_at, State.RUNNING: details.started_at}
    return Status(
        state=state,
        raw=word,
        final=ended and details.settled,
        run=job_id,
        # Made, but not handed in: its only date is no queue time.
        queued_at=None if state is State.IDLE else details.queued_at,
        started_at=details.started_at,
        ended_at=details.ended_at if ended or state is State.UNKNOWN else None,
        state_since=details.ended_at if ended else since.get(state),
        name=details.name,
        type=details.type,
    )
