"""CrafterCMS Studio: the publishing of one site, ``slot`` by nature, in the dialects of 3.0 to 4.x.

Sources: the "Publish Status" pages of the documentation (version 1, and version 2 since 3.1.14) and
the words of the open source server. Messages hold paths and user names: they are read, never shown.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, TypedDict

from pydantic import Field

from exporter.failure import Failure, Reason
from exporter.fields import Keys, KeyValue
from exporter.job import Items, Job, Kind, State, Status
from exporter.providers.base import Answer, Ask, Provider, Steps, path
from exporter.providers.fields import count, flag, instant, number, text

_STATES = {
    "idle": State.IDLE,
    "started": State.IDLE,
    "ready": State.IDLE,
    "readywitherrors": State.SUCCEEDED_WITH_ERRORS,
    "queued": State.QUEUED,
    "busy": State.RUNNING,
    "processing": State.RUNNING,
    "publishing": State.RUNNING,
    "stopped": State.STOPPED,
    "error": State.FAILED,
}
# With publishing switched off nothing in these states will move; what runs still ends by itself.
_HELD_WHEN_DISABLED = frozenset({State.IDLE, State.QUEUED, State.SUCCEEDED_WITH_ERRORS})

# How messages begin. The first wording of a failure is the documentation's, the second that of the
# server's configuration. An administrator may change both: then a failure shows as stopped.
_FAILED = ("failed while", "stopped while trying")
_SUCCEEDED = ("last successful",)
_PACKAGE = ("currently publishing package",)
_LONGEST_BEGINNING = 64
# Minutes only in the documentation, seconds and an offset in the server. The item's path comes
# before the time and may look like one itself.
_TIME = re.compile(
    r"(?<!\S)\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d(?::?\d\d)?)(?=[\s.,;)]|$)", re.ASCII
)
_LONGEST_END = 512

_CODE_REASONS = {
    1000: Reason.SERVER_ERROR,
    1001: Reason.CLIENT_ERROR,
    2000: Reason.UNAUTHORIZED,
    2001: Reason.FORBIDDEN,
    5000: Reason.NOT_FOUND,
    5002: Reason.CLIENT_ERROR,
    5003: Reason.SERVER_ERROR,
    8000: Reason.CLIENT_ERROR,
}

# An answer of version 2 with one of these says nothing of which versions the server speaks.
_NO_ANSWER = frozenset(
    {
        Reason.TIMEOUT,
        Reason.DNS,
        Reason.CONNECT,
        Reason.TLS,
        Reason.RATE_LIMITED,
        Reason.AUTH,
        Reason.DEADLINE,
        Reason.INTERNAL,
    }
)


class _Times(TypedDict, total=False):
    queued_at: float
    started_at: float
    ended_at: float
    reported_at: float
    state_since: float
    succeeded_at: float
    failed_at: float


class CrafterOptions(Keys):
    """Which version of the status call the server speaks: up to 3.1.13 v1, later v2."""

    api: Literal["v1", "v2", "auto"] = Field(
        "auto", description="version of the status call: v1 up to 3.1.13, v2 later; auto finds out"
    )


class CrafterJob(Keys):
    """One site."""

    site_id: KeyValue = Field(description="id of the site, as in its Studio address")


class Crafter(Provider):
    """Reads ``publish/status`` of version 1 or 2; ``base_url`` ends in ``/studio``."""

    name: ClassVar[str] = "crafter"
    Options: ClassVar[type[Keys]] = CrafterOptions
    JobKeys: ClassVar[type[Keys]] = CrafterJob

    def __init__(self, options: CrafterOptions) -> None:
        super().__init__(options)
        # The one fact learnt, for all sites of the system. A restart learns it again.
        self._speaks_v2 = False

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """A slot: a site is published again and again."""
        return keys["site_id"], Kind.SLOT

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request; two where ``auto`` has yet to learn the version."""
        site = job.keys["site_id"]
        match self.options.api:
            case "v1":
                return _status_v1((yield Ask(_path_v1(site))), previous)
            case "v2":
                return _status_v2((yield Ask(_path_v2(site))), previous)
        return (yield from self._read_auto(site, previous))

    def _read_auto(self, site: str, previous: Status | None) -> Steps:
        if self._speaks_v2:
            answer = yield Ask(_path_v2(site), expect=frozenset({404}))
            if answer.status == 404:
                # Version 2 names a missing site in its own words; any other 404 is of a server
                # that no longer knows version 2, and the next read starts afresh.
                self._speaks_v2 = _is_v2(answer)
                raise Failure(Reason.NOT_FOUND, status=404)
            return _status_v2(answer, previous)
        answer = yield Ask(_path_v1(site), expect=frozenset({301, 404}))
        if answer.status not in (301, 404):
            return _status_v1(answer, previous)
        status = yield from _try_v2(site, answer.status, previous)
        self._speaks_v2 = True
        return status


def _path_v1(site: str) -> str:
    return path("api", "1", "services", "api", "1", "publish", "status.json", site_id=site)


def _path_v2(site: str) -> str:
    return path("api", "2", "publish", "status", siteId=site)


def _try_v2(site: str, v1_status: int, previous: Status | None) -> Steps:
    """Asks version 2 after version 1 answered 301 (it moved) or 404 (no such site, or removed)."""
    try:
        return _status_v2((yield Ask(_path_v2(site))), previous)
    except Failure as failure:
        if v1_status == 301 or failure.reason in _NO_ANSWER:
            raise
    # An old server answers version 2 in any way it likes; what version 1 said stands.
    raise Failure(Reason.NOT_FOUND, "neither version 1 nor 2 knows the site", status=404)


def _is_v2(answer: Answer) -> bool:
    try:
        return isinstance(answer.object().get("response"), dict)
    except Failure:
        return False


def _status_v1(answer: Answer, previous: Status | None) -> Status:
    body = answer.object()
    if "status" not in body:
        raise Failure(Reason.INVALID_RESPONSE, "the answer holds no status", status=answer.status)
    return _status(body, previous)


def _status_v2(answer: Answer, previous: Status | None) -> Status:
    """Reads a version 2 answer, whose ``response.code`` may tell of a failure under HTTP 200."""
    body = answer.object()
    response = body.get("response")
    code = number(response.get("code")) if isinstance(response, dict) else None
    if code:
        reason = _CODE_REASONS.get(int(code))
        told = f"response.code is {code:.0f}" if reason else "response.code is one nobody knows"
        raise Failure(reason or Reason.INVALID_RESPONSE, told, status=answer.status)
    publishing = body.get("publishingStatus")
    if not isinstance(publishing, dict) or not publishing.keys() & {"status", "enabled"}:
        raise Failure(Reason.INVALID_RESPONSE, "the answer holds no publishingStatus", status=answer.status)
    return _status(publishing, previous)


def _status(body: Mapping[str, Any], previous: Status | None) -> Status:
    raw = text(body.get("status"))
    message = body.get("message")
    message = message.strip() if isinstance(message, str) else ""
    enabled = flag(body.get("enabled"))
    state = _state(raw, message, enabled=enabled)
    total, processed = _counts(body)
    status = Status(
        state=state,
        raw=raw,
        run=text(body.get("submissionId")),
        progress=_progress(raw, processed, total),
        items=Items(total=total, processed=processed),
        enabled=enabled,
        errors_stop=True,
    )
    return replace(status, **_times(state, message, previous))


def _state(raw: str, message: str, *, enabled: bool | None) -> State:
    state = _STATES.get(raw.casefold(), State.UNKNOWN)
    if state is State.STOPPED and _begins(message, _FAILED):
        return State.FAILED
    return State.STOPPED if enabled is False and state in _HELD_WHEN_DISABLED else state


def _begins(message: str, beginnings: tuple[str, ...]) -> bool:
    return message[:_LONGEST_BEGINNING].casefold().startswith(beginnings)


def _times(state: State, message: str, previous: Status | None) -> _Times:
    """What the last time in a message is the time of; nothing where it has none."""
    found = _TIME.findall(message[-_LONGEST_END:])
    moment = instant(found[-1]) if found else None
    if moment is None:
        return {}
    if _begins(message, _SUCCEEDED):
        # A site that is queued or stopped may still tell of its last success.
        told: _Times = {"reported_at": moment, "succeeded_at": moment}
        resting = state in (State.IDLE, State.SUCCEEDED_WITH_ERRORS)
        return {**told, "ended_at": moment, "state_since": moment} if resting else told
    match state:
        case State.IDLE | State.STOPPED:
            return {"reported_at": moment, "state_since": moment}
        case State.QUEUED:
            return {"reported_at": moment, "queued_at": moment, "state_since": moment}
        case State.RUNNING:
            return {"reported_at": moment, "started_at": _start(moment, message, previous)}
        case State.SUCCEEDED_WITH_ERRORS:
            return {"reported_at": moment, "ended_at": moment, "state_since": moment}
        case State.FAILED:
            return {"reported_at": moment, "ended_at": moment, "failed_at": moment, "state_since": moment}
    return {"reported_at": moment}


def _start(moment: float, message: str, previous: Status | None) -> float:
    """The start of a run whose message was written at ``moment``.

    A package is a run of its own. Item by item the message is written anew, so the first one seen
    tells since when the site is being published.
    """
    if previous is None or previous.state is not State.RUNNING or previous.started_at is None:
        return moment
    return moment if _begins(message, _PACKAGE) else min(previous.started_at, moment)


def _counts(body: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """``totalItems`` and ``numberOfItems``; both are 0 when nothing runs, which counts nothing."""
    total, processed = count(body.get("totalItems")), count(body.get("numberOfItems"))
    return (None, None) if not total and not processed else (total, processed)


def _progress(raw: str, processed: int | None, total: int | None) -> float | None:
    """The share of a package that is published.

    A package is counted twice, while it is prepared (``processing``) and again from 0 while it is
    published (``publishing``). Only the second is progress towards the end. A full counter is none
    either: it may be left over from the first, and once all is published the status says so.
    """
    if raw.casefold() != "publishing" or processed is None or not total or processed >= total:
        return None
    return processed / total
