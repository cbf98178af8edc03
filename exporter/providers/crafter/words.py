"""The meaning of CrafterCMS Studio's words and messages about the publishing of a site.

Sources: the "Publish Status" pages of the documentation and the words of the open source server.
Messages contain paths and user names, so they are read and never shown.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from exporter.model.job import Items, State, Status
from exporter.providers.values import count, flag, instant, text

STATES = {
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
# With publishing disabled, a site in one of these states does not move. A run that has started still ends.
_STOPPED_WHEN_DISABLED = frozenset({State.IDLE, State.QUEUED, State.SUCCEEDED_WITH_ERRORS})

# Publishing stops at every error. So a site that rests or waits has published what it did before.
_AFTER_SUCCESS = frozenset({State.IDLE, State.QUEUED})

# How messages begin. The first text of a failure is that of the documentation, the second that of the
# server's configuration. An administrator can change both: then a failure is shown as stopped.
_FAILED = ("failed while", "stopped while trying")
_SUCCEEDED = ("last successful",)
_PACKAGE = ("currently publishing package",)
_LONGEST_BEGINNING = 64
# The documentation has minutes only, the server seconds and an offset. The path of the item is before the
# time and can contain a time as well.
_TIME = re.compile(
    r"(?<!\S)\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d(?::?\d\d)?)(?=[\s.,;)]|$)", re.ASCII
)
_LONGEST_END = 512


# What the time in a message is besides ``reported_at``.
_TIMES = {
    State.IDLE: ("state_since",),
    State.STOPPED: ("state_since",),
    State.QUEUED: ("queued_at", "state_since"),
    State.SUCCEEDED_WITH_ERRORS: ("ended_at", "state_since"),
    State.FAILED: ("ended_at", "failed_at", "state_since"),
}


def publishing(body: Mapping[str, Any], previous: Status | None) -> Status:
    """The status of a site.

    Args:
        body: ``status`` and, if the response has them, ``message``, ``enabled``, ``submissionId`` and
            the counts.
        previous: the last status of the site, if there is one.
    """
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
    )
    times = _times(state, message, previous)
    if previous is not None and previous.state is State.RUNNING and state in _AFTER_SUCCESS:
        times.setdefault("succeeded_at", None)
        status = replace(status, unseen_end=None if times["succeeded_at"] else State.SUCCEEDED)
    return replace(status, **times)


def _state(raw: str, message: str, *, enabled: bool | None) -> State:
    state = STATES.get(raw.casefold(), State.UNKNOWN)
    if state is State.STOPPED and _begins(message, _FAILED):
        return State.FAILED
    return State.STOPPED if enabled is False and state in _STOPPED_WHEN_DISABLED else state


def _begins(message: str, beginnings: tuple[str, ...]) -> bool:
    return message[:_LONGEST_BEGINNING].casefold().startswith(beginnings)


def _times(state: State, message: str, previous: Status | None) -> dict[str, Any]:
    """The times that follow from the last time in a message; none if it has no time."""
    found = _TIME.findall(message[-_LONGEST_END:])
    moment = instant(found[-1]) if found else None
    if moment is None:
        return {}
    names = _TIMES.get(state, ())
    if _begins(message, _SUCCEEDED):
        # The message can also be that of a site which is queued or stopped.
        resting = state in (State.IDLE, State.SUCCEEDED_WITH_ERRORS)
        names = ("succeeded_at", "ended_at", "state_since") if resting else ("succeeded_at",)
    elif state is State.RUNNING:
        return {"reported_at": moment, "started_at": _start(moment, message, previous)}
    return dict.fromkeys(("reported_at", *names), moment)


def _start(moment: float, message: str, previous: Status | None) -> float:
    """The start of a run whose message was written at ``moment``.

    A package is a run of its own. Without packages the message changes with every item, so the first
    message that was read has the start.
    """
    if previous is None or previous.state is not State.RUNNING or previous.started_at is None:
        return moment
    return moment if _begins(message, _PACKAGE) else min(previous.started_at, moment)


def _counts(body: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """``totalItems`` and ``numberOfItems``; both are 0 without a run, which is not a count."""
    total, processed = count(body.get("totalItems")), count(body.get("numberOfItems"))
    return (None, None) if not total and not processed else (total, processed)


def _progress(raw: str, processed: int | None, total: int | None) -> float | None:
    """The share of a package that is published.

    A package is counted twice: while it is prepared (``processing``), and again from 0 while it is
    published (``publishing``). Only the second is progress towards the end. A full counter can be left
    over from the first, so it is not used.
    """
    if raw.casefold() != "publishing" or processed is None or not total or processed >= total:
        return None
    return processed / total


def is_of_package(message: str) -> bool:
    """Whether a message is about a package, whose time is the start of the run."""
    return _begins(message.strip(), _PACKAGE)
