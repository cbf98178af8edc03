"""Sitecore XM Cloud Publishing API: one publishing job, a ``run`` by nature.

Source: the page "Retrieve a publishing job" of the Publishing API and the user guide's page on the
meaning of the status labels; the counts of older environments are those of the code of sitecoreai-cli.
Every field of a job but its id and status may be missing or null. Listings
contain whole jobs. Their pages follow each other in one of two ways, and the response shows which: by the
token ``next``, or by page number, which reaches the first thousand jobs only. A guess: the parameter of the
token is ``continuationToken``.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, Field, WithJsonSchema

from exporter.config_types import Keys, KeyValue, check_key
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import RESULTS, Items, Job, Kind, State, Status
from exporter.model.retention import shown_for
from exporter.providers.base import (
    Counting,
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
from exporter.providers.paging import NO_ID, STALLED, Tally, check_number
from exporter.providers.values import count, key, mapping, ratio, text

_STATES = {
    "queued": State.QUEUED,
    "running": State.RUNNING,
    "completed": State.SUCCEEDED,
    "failed": State.FAILED,
    **dict.fromkeys(("canceling", "cancelling"), State.CANCELING),
    **dict.fromkeys(("canceled", "cancelled"), State.CANCELED),
}
_CANCELABLE = frozenset({State.QUEUED, State.RUNNING})
_NO_STATE = "system.status is missing or is not text"
_JOBS = ("authoring", "publishing", "v1", "jobs")

PAGE_SIZE = 100
MAX_NUMBERED = 1000  # jobs that page numbers reach
_MAX_TOKEN = 4096
_HOUR = 3600.0

StatusWord = Literal["Queued", "Running", "Canceling", "Failed", "Completed", "Canceled"]
_WORDS: tuple[StatusWord, ...] = get_args(StatusWord)


def _source(value: str) -> str:
    if "|" in check_key(value):
        raise ValueError("must not contain |, which separates sources in the request")
    return value


def _once(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("contains a value twice")
    return values


SourceName = Annotated[
    str, AfterValidator(_source), WithJsonSchema({"type": "string", "pattern": r"^[^|\x00-\x1f\x7f]+$"})
]


class SitecoreOptions(Keys):
    """What is read for the environment as a whole."""

    summary: bool = Field(default=False, description="also count all jobs of the environment by state")


class SitecoreJob(Keys):
    """One publishing job."""

    id: KeyValue = Field(description="id of the publishing job, such as job_41B25")


class SitecoreDiscover(DiscoverKeys):
    """The publishing jobs of the environment."""

    statuses: Annotated[list[StatusWord], AfterValidator(_once)] = Field(
        list(_WORDS), min_length=1, description="only jobs with these statuses"
    )
    sources: Annotated[list[SourceName], AfterValidator(_once)] = Field(
        default_factory=list, description="only jobs from these sources; all if empty"
    )


class Sitecore(Provider):
    """Reads ``GET /authoring/publishing/v1/jobs/{id}``, lists ``GET /authoring/publishing/v1/jobs``."""

    name: ClassVar[str] = "sitecore"
    Options: ClassVar[type[Keys]] = SitecoreOptions
    JobKeys: ClassVar[type[Keys]] = SitecoreJob
    Discover: ClassVar[type[DiscoverKeys] | None] = SitecoreDiscover
    states: ClassVar[Mapping[str, State]] = _STATES

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """A run: every publish has an id of its own."""
        return keys["id"], Kind.RUN

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request."""
        response = yield Request(path(*_JOBS, job.keys["id"]))
        body = response.object()
        if "id" not in body and "system" not in body:
            raise invalid(response, "the response is not a job")
        return _status(job.id, body, self.state_of)

    def discover(self, keys: SitecoreDiscover, now: float) -> Listing:
        """One request for each 100 jobs, with their states.

        With ``newer_than`` there are two listings. Only the one of ended jobs has a filter by time. It is
        rounded, so that requests stay the same for an hour, and it covers the time that failed jobs are
        shown.
        """
        sources = {"source": "|".join(keys.sources)} if keys.sources else {}
        if keys.newer_than is None:
            return (yield from _listing(keys.statuses, sources, self.state_of))
        since = max(0.0, now - shown_for(State.FAILED, keys.newer_than)) // _HOUR * _HOUR
        ended = {"system.finishTime": f">{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"}
        active, over = ([word for word in keys.statuses if _ends(word) is ends] for ends in (False, True))
        # In this order a job that ends between the two listings is found twice, not missed.
        first = yield from _listing(active, sources, self.state_of)
        second = yield from _listing(over, sources | ended, self.state_of)
        skipped = Counter(first.skipped)
        skipped.update(second.skipped)
        return ListingEnd(skipped, first.incomplete or second.incomplete)

    def summary(self) -> Counting | None:
        """One request, if ``summary`` is set."""
        return _count(self.state_of) if self.options.summary else None


def _ends(word: str) -> bool:
    return _STATES[word.casefold()] in RESULTS


def _listing(
    words: list[StatusWord], filters: Mapping[str, str], state_of: StateOf
) -> Generator[Request | Found, Response | None, ListingEnd]:
    """All pages of one listing; none without a status."""
    if not words:
        return ListingEnd()
    query = {**filters, "pageSize": str(PAGE_SIZE)}
    if len(words) < len(_WORDS):
        query["system.status"] = "|".join(words)
    first = path(*_JOBS, **query)
    pages, page = _Pages(), Request(first)
    while True:
        response = yield from received(page)
        body = response.object()
        jobs = body.get("data")
        if not isinstance(jobs, list):
            raise invalid(response, "the response has no jobs")
        check_number(jobs, PAGE_SIZE)
        total = count(body.get("totalCount"))
        if pages.tally.add_new(jobs, total):
            yield from _found(jobs, words, state_of, pages.tally)
        at = pages.after(body, total, is_empty=not jobs)
        if at is None or pages.tally.stalled:
            return pages.tally.end(STALLED if at else "")
        page = Request(f"{first}&{urlencode(at, quote_via=quote)}")


class _Pages:
    """Finds the next page of a listing after each page, and counts the entries."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._tokens: list[str] = []
        self._number = 0

    def after(
        self, body: Mapping[str, Any], total: int | None, *, is_empty: bool
    ) -> Mapping[str, str] | None:
        """The parameters of the next page; ``None`` after the last.

        Raises:
            Failure: the listing comes back to a page that was read.
        """
        if "next" in body:
            return self._by_token(body["next"])
        if is_empty or (total is None and "pageNumber" not in body):
            return None
        return None if self.tally.complete else self._by_number(body)

    def _by_token(self, token: object) -> Mapping[str, str] | None:
        if token is None or token == "":
            return None
        if not isinstance(token, str) or len(token) > _MAX_TOKEN or not token.isprintable():
            raise Failure(Reason.INVALID_RESPONSE, "the token of the next page is not text")
        self._tokens.append(token)
        if self._tokens == [token, token]:
            # The server ignored the token, so its parameter has another name. Page numbers are documented.
            return {"pageNumber": "2"}
        if token in self._tokens[:-1]:
            raise Failure(Reason.INVALID_RESPONSE, "the listing leads to a page that was read already")
        return {"continuationToken": token}

    def _by_number(self, body: Mapping[str, Any]) -> Mapping[str, str] | None:
        number = count(body.get("pageNumber"))
        if number is None or number <= self._number:
            raise Failure(Reason.INVALID_RESPONSE, "the page number of the listing does not grow")
        self._number = number
        reached = number * (count(body.get("pageSize")) or PAGE_SIZE)
        return None if reached >= MAX_NUMBERED else {"pageNumber": str(number + 1)}


def _found(jobs: list[Any], words: Iterable[str], state_of: StateOf, tally: Tally) -> Iterable[Found]:
    """The jobs of a page with one of these words, also if the server ignored the filter."""
    unwanted = set(_STATES.values()) - {_STATES[word.casefold()] for word in words}
    for job in map(mapping, jobs):
        job_id = key(job.get("id"))
        word = text(mapping(job.get("system")).get("status"))
        if job_id is None:
            tally.skipped[NO_ID] += 1
            continue
        if _STATES.get(word.casefold()) in unwanted:
            continue
        if word:
            yield Found({"id": job_id}, _status(job_id, job, state_of), complete=True)
        else:
            yield Found({"id": job_id}, complete=True, failure=Failure(Reason.INVALID_RESPONSE, _NO_STATE))


def _count(state_of: StateOf) -> Counting:
    response = yield Request(path(*_JOBS, "summary"))
    jobs: Counter[State] = Counter()
    for word, value in mapping(response.object().get("counts")).items():
        if (number := count(value)) is not None:
            jobs[state_of(word)] += number
    if not jobs:
        raise invalid(response, "the response has no counts")
    return jobs


def _status(job_id: str, job: Mapping[str, Any], state_of: StateOf) -> Status:
    body = Fields(job)
    system, statistics = body.nested("system"), body.nested("statistics")
    details = statistics.nested("xmc")
    raw = system.text("status")
    if not raw:
        raise Failure(Reason.INVALID_RESPONSE, _NO_STATE)
    state = state_of(raw)
    queued, started = system.instant("queuedTime"), system.instant("startTime")
    ended = system.instant("finishTime")
    since = {State.QUEUED: queued, State.RUNNING: started}
    items = _items(statistics, details)
    complete = details.flag("itemsSendingComplete")
    return Status(
        # The user interface calls it "Completed with warnings"; the API has no word for it.
        state=State.SUCCEEDED_WITH_ERRORS if state is State.SUCCEEDED and items.failed else state,
        raw=raw,
        final=state in RESULTS,
        run=job_id,
        # If more items are processed than sent, some are counted twice, and there is no progress.
        progress=ratio(items.processed, items.total) if complete and items.total else None,
        items=items,
        # A right of the caller, which stays true after the end. It is about the job only while the job
        # can be canceled.
        cancelable=body.nested("permissions").flag("canCancel") if state in _CANCELABLE else None,
        sending_complete=complete,
        queued_at=queued,
        started_at=started,
        ended_at=ended,
        reported_at=statistics.instant("lastReportTime"),
        state_since=ended if state in RESULTS else since.get(state),
        name=body.text("name"),
        notes=body.notes,
    )


def _items(statistics: Fields, details: Fields) -> Items:
    """The counts. Older environments have only ``processedCount`` and ``totalCount``."""
    sent, additional = statistics.count("itemsSent"), details.count("additionalItemsSent")
    processed = statistics.count("itemsProcessed")
    if sent is None:
        total = statistics.count("totalCount")
    else:
        # Without the additional items the sum would be too small.
        total = None if details.why_left_out("additionalItemsSent") else count(sent + (additional or 0))
    return Items(
        total=total,
        sent=sent,
        additional_sent=additional,
        processed=statistics.count("processedCount") if processed is None else processed,
        failed=statistics.count("itemsFailed"),
        skipped=details.count("itemsSkipped"),
        deleted=details.count("itemsDeleted"),
        acknowledged=details.count("itemsAcknowledged"),
    )
