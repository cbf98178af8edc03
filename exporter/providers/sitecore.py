"""Sitecore XM Cloud Publishing API: one publishing job, a ``run`` by nature.

Source: the page "Retrieve a publishing job" of the Publishing API and the user guide's page on what
the status labels mean. All of a job's answer but its words and identity may be missing or null.
Listings hold jobs whole. They come in one of two styles, told apart by the answer: with ``next``, a
token, or by page number, which reaches the first thousand jobs only. That the token goes back as
``continuationToken`` is a guess.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, Field, WithJsonSchema

from exporter.config_types import Keys, KeyValue, check_key
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request
from exporter.model.job import Items, Job, Kind, State, Status
from exporter.providers.base import Counting, DiscoverKeys, Found, Listing, Provider, Steps, answered, path
from exporter.providers.values import count, flag, instant, key, mapping, ratio, text

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
_JOBS = ("authoring", "publishing", "v1", "jobs")

PAGE_SIZE = 100
MAX_NUMBERED = 1000  # jobs that page numbers reach
_MAX_TOKEN = 4096
_HOUR, _DAY = 3600.0, 86400.0

Word = Literal["Queued", "Running", "Canceling", "Failed", "Completed", "Canceled"]
_WORDS: tuple[Word, ...] = ("Queued", "Running", "Canceling", "Failed", "Completed", "Canceled")


def _source(value: str) -> str:
    if "|" in check_key(value):
        raise ValueError("must not hold |, which parts one source from the next")
    return value


def _once(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("names something twice")
    return values


Source = Annotated[
    str, AfterValidator(_source), WithJsonSchema({"type": "string", "pattern": r"^[^|\x00-\x1f\x7f]+$"})
]


class SitecoreOptions(Keys):
    """What is asked of the environment as a whole."""

    summary: bool = Field(default=False, description="also count all jobs of the environment by state")


class SitecoreJob(Keys):
    """One publishing job."""

    id: KeyValue = Field(description="id of the publishing job, such as job_41B25")


class SitecoreDiscover(DiscoverKeys):
    """The publishing jobs of the environment."""

    statuses: Annotated[list[Word], AfterValidator(_once)] = Field(
        list(_WORDS), min_length=1, description="only jobs with these statuses"
    )
    sources: Annotated[list[Source], AfterValidator(_once)] = Field(
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
        answer = yield Request(path(*_JOBS, job.keys["id"]))
        body = answer.object()
        if "id" not in body and "system" not in body:
            raise Failure(Reason.INVALID_RESPONSE, "the answer is not a job", status=answer.status)
        return _status(job.id, body)

    def discover(self, keys: SitecoreDiscover, now: float) -> Listing:
        """One request for each 100 jobs, with their states.

        With ``newer_than`` there are two listings, of which only the one of ended jobs is filtered by
        time: coarsely, so that addresses stay the same for an hour, and a day at least, since failed
        jobs stay that long.
        """
        sources = {"source": "|".join(keys.sources)} if keys.sources else {}
        if keys.newer_than is None:
            yield from _listing(keys.statuses, sources)
            return
        since = max(0.0, now - max(keys.newer_than, _DAY)) // _HOUR * _HOUR
        ended = {"system.finishTime": f">{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"}
        # In this order no job is missed that ends between the two; it is found twice.
        yield from _listing([word for word in keys.statuses if not _ends(word)], sources)
        yield from _listing([word for word in keys.statuses if _ends(word)], sources | ended)

    def summary(self) -> Counting | None:
        """One request, if the options want it."""
        return _count() if self.options.summary else None


def _ends(word: str) -> bool:
    return _STATES[word.casefold()] in _FINAL


def _listing(words: list[Word], filters: Mapping[str, str]) -> Listing:
    """All pages of one listing; nothing for no status."""
    if not words:
        return
    query = {**filters, "pageSize": str(PAGE_SIZE)}
    if len(words) < len(_WORDS):
        query["system.status"] = "|".join(words)
    first = path(*_JOBS, **query)
    pages, page = _Pages(), Request(first)
    while True:
        answer = yield from answered(page)
        body = answer.object()
        jobs = body.get("data")
        if not isinstance(jobs, list):
            raise Failure(Reason.INVALID_RESPONSE, "the answer holds no jobs", status=answer.status)
        yield from _found(jobs, words)
        at = pages.after(body, len(jobs))
        if at is None:
            return
        page = Request(f"{first}&{urlencode(at, quote_via=quote)}")


class _Pages:
    """Where a listing goes on after each page."""

    def __init__(self) -> None:
        self._tokens: list[str] = []
        self._number = 0

    def after(self, body: Mapping[str, Any], jobs: int) -> Mapping[str, str] | None:
        """What the query of the next page has besides; ``None`` after the last.

        Raises:
            Failure: the listing does not go on but in circles.
        """
        if "next" in body:
            return self._by_token(body["next"])
        if "pageNumber" in body or "totalCount" in body:
            return self._by_number(body, jobs)
        return None

    def _by_token(self, token: object) -> Mapping[str, str] | None:
        if token is None or token == "":
            return None
        if not isinstance(token, str) or len(token) > _MAX_TOKEN or not token.isprintable():
            raise Failure(Reason.INVALID_RESPONSE, "the token of the next page is no text")
        self._tokens.append(token)
        if self._tokens == [token, token]:
            # It was sent back and changed nothing: its name was guessed wrong. Page numbers are documented.
            return {"pageNumber": "2"}
        if token in self._tokens[:-1]:
            raise Failure(Reason.INVALID_RESPONSE, "the listing leads back to a page that was read already")
        return {"continuationToken": token}

    def _by_number(self, body: Mapping[str, Any], jobs: int) -> Mapping[str, str] | None:
        number, total = count(body.get("pageNumber")), count(body.get("totalCount"))
        size = count(body.get("pageSize")) or jobs
        if number is None or number <= self._number:
            raise Failure(Reason.INVALID_RESPONSE, "the listing's page number does not grow")
        self._number = number
        reachable = MAX_NUMBERED if total is None else min(total, MAX_NUMBERED)
        return {"pageNumber": str(number + 1)} if jobs and number * size < reachable else None


def _found(jobs: list[Any], words: Iterable[str]) -> Iterable[Found]:
    """The jobs of a page; those that were not asked for are left out, whatever the filter let through."""
    unwanted = set(_STATES.values()) - {_STATES[word.casefold()] for word in words}
    for job in map(mapping, jobs):
        job_id = key(job.get("id"))
        word = text(mapping(job.get("system")).get("status"))
        if job_id is not None and _STATES.get(word.casefold()) not in unwanted:
            yield Found({"id": job_id}, _status(job_id, job), complete=True)


def _count() -> Counting:
    answer = yield Request(path(*_JOBS, "summary"))
    jobs: dict[State, int] = {}
    for word, value in mapping(answer.object().get("counts")).items():
        number = count(value)
        if number is not None:
            state = _STATES.get(word.casefold(), State.UNKNOWN)
            jobs[state] = jobs.get(state, 0) + number
    if not jobs:
        raise Failure(Reason.INVALID_RESPONSE, "the answer holds no counts", status=answer.status)
    return jobs


def _status(job_id: str, body: Mapping[str, Any]) -> Status:
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
        run=job_id,
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
