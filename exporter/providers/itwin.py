"""Bentley iTwin Platform: one job of one of its six reality services, a ``run`` by nature.

Source: the iTwin pages "Retrieve job progress" and "Retrieve job" of each service. The progress is
deemed valid while a job is active and is gone after 30 days; the job itself tells the rest. Some
services say only ``Over``: how a job ended is then told by the job itself.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from exporter.failure import Failure, Reason
from exporter.fields import Keys, KeyValue
from exporter.job import Job, Kind, State, Status
from exporter.providers.base import Answer, Ask, Provider, Reading, path
from exporter.providers.fields import instant, mapping, ratio, text

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


class ITwinOptions(Keys):
    """Which service's jobs these are."""

    service: Literal[
        "contextcapture",
        "realitydataanalysis",
        "realityconversion",
        "reality-modeling",
        "reality-analysis",
        "reality-conversion",
    ] = Field(description="name of the service, as it stands in its addresses")


class ITwinJob(Keys):
    """One job."""

    id: KeyValue = Field(description="id of the job")


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
    """Reads ``GET {service}/jobs/{id}/progress``, and ``GET {service}/jobs/{id}`` once a state."""

    name: ClassVar[str] = "itwin"
    Options: ClassVar[type[Keys]] = ITwinOptions
    JobKeys: ClassVar[type[Keys]] = ITwinJob
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

    def read(self, job: Job, previous: Status | None) -> Reading:
        """One request while nothing but the progress changes; a second one when the state does.

        Name, type and times are only in the job itself. They are a welcome extra: without them the
        status still holds, except after ``Over``, which tells no outcome.
        """
        progress = yield from self._progress(job)
        if progress is None:
            details = yield from self._details(job)
            return _status(job, details.word, details)
        word = text(progress.get("state"))
        if word.casefold() in _OVER:
            details = yield from self._details(job)
            word = details.word or word
        else:
            details = _remembered(previous, word)
            if not details.settled:
                details = yield from self._details_if_any(job, details)
        return replace(
            _status(job, word, details),
            step=text(progress.get("step")),
            progress=ratio(progress.get("percentage"), 100.0),
        )

    def _progress(self, job: Job) -> Generator[Ask, Answer, Mapping[str, Any] | None]:
        """The job's progress, or ``None`` where there is none (yet, or any more)."""
        answer = yield self._ask(job, "progress", expect=frozenset({404}))
        return None if answer.status == 404 else _unwrap(answer, "progress", "jobProgress")

    def _details(self, job: Job) -> Generator[Ask, Answer, _Details]:
        answer = yield self._ask(job)
        body = _unwrap(answer, "job")
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

    def _details_if_any(self, job: Job, known: _Details) -> Generator[Ask, Answer, _Details]:
        try:
            return (yield from self._details(job))
        except Failure as failure:
            return replace(known, settled=failure.reason in _UNOBTAINABLE)

    def _ask(self, job: Job, *more: str, expect: frozenset[int] = frozenset()) -> Ask:
        service = self.options.service
        accept = f"application/vnd.bentley.itwin-platform.{_VERSIONS[service]}+json"
        return Ask(path(service, "jobs", job.keys["id"], *more), (("Accept", accept),), expect)


def _unwrap(answer: Answer, *names: str) -> Mapping[str, Any]:
    """The object under the first of these names that the answer has."""
    body = answer.object()
    for name in names:
        if isinstance(body.get(name), dict):
            return mapping(body[name])
    raise Failure(Reason.INVALID_RESPONSE, f"the answer holds no {names[0]}", status=answer.status)


def _remembered(previous: Status | None, word: str) -> _Details:
    """What the last status already knows; settled while the job is in the same state as then."""
    if previous is None:
        return _Details()
    facts = (previous.name, previous.type, previous.queued_at, previous.started_at)
    enough = previous.final if word.casefold() in _FINAL else any(facts)
    return _Details(
        "", *facts, previous.ended_at, settled=enough and previous.raw.casefold() == word.casefold()
    )


def _status(job: Job, word: str, details: _Details) -> Status:
    state = _STATES.get(word.casefold(), State.UNKNOWN)
    ended = word.casefold() in _FINAL
    since = {State.QUEUED: details.queued_at, State.RUNNING: details.started_at}
    return Status(
        state=state,
        raw=word,
        final=ended and details.settled,
        run=job.id,
        # Made, but not handed in: its only date is no queue time.
        queued_at=None if state is State.IDLE else details.queued_at,
        started_at=details.started_at,
        ended_at=details.ended_at if ended or state is State.UNKNOWN else None,
        state_since=details.ended_at if ended else since.get(state),
        name=details.name,
        type=details.type,
    )
