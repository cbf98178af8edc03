"""The status of a site from the response of CrafterCMS Studio, whose life cycle depends on the version.

A publish cycle prepares every item of all due packages of one target, then deploys them in one commit. It
succeeds or fails as a whole. Sources: ``DeployContentToEnvironmentStore`` of 3.0, ``StudioPublisherTask`` of
3.1 to 4.2, ``PublishingProgressObserver`` and ``SitesServiceImpl`` of 4.0 to 4.2, ``Publishing.ts`` of the
user interface after 4.2. The documentation of the system has a table of each life cycle.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from exporter.model.failure import Failure, Reason
from exporter.model.job import Items, State, Status
from exporter.providers.crafter.words import failed, items_of, state_of_message, succeeded, time_of
from exporter.providers.fields import Fields
from exporter.providers.values import number

StateOf = Callable[[str], State]

SOON = 1.5
"""Seconds between two reads in which no user notices an error and starts publishing again.

The status after that is the status after a success. One of the recorded servers was started again 1.5 seconds
after a stop.
"""

MAX_STAGES = 100
"""Of a task. A server has three."""

NEVER = -1.0
"""No two reads are close enough."""

# With publishing disabled, a site in one of these states does not move. A run that has started still ends.
_STOPPED_WHEN_DISABLED = frozenset({State.IDLE, State.QUEUED, State.SUCCEEDED_WITH_ERRORS})
# Up to 3.1.13 the server writes a failure of an item twice, the second time when all items are reset.
_WRITTEN_TWICE_SECONDS = 60.0
# What the time in a message is besides ``reported_at``.
_TIMES = {
    State.IDLE: ("state_since",),
    State.STOPPED: ("state_since",),
    State.QUEUED: ("queued_at", "state_since"),
    State.SUCCEEDED_WITH_ERRORS: ("ended_at", "state_since"),
    State.FAILED: ("ended_at", "failed_at", "state_since"),
}


@dataclass(frozen=True, slots=True)
class Cycle:
    """What the next read needs to know of the publish cycle of a 4.x that runs.

    Attributes:
        package: one of its packages; the response shows one after another.
        deploying: all items are prepared, so the next response without a counter is that of the end.
        items: the counter, not limited to the total.
        enabled: whether publishing was enabled.
    """

    package: str
    target: str
    deploying: bool
    items: Items
    enabled: bool | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The server was killed while it published: the word stays until the next task."""


def publishing(body: Mapping[str, Any], previous: Status | None, state_of: StateOf) -> Status:
    """The status of a site.

    Args:
        body: ``status`` or ``currentTask`` and, if the response has them, ``message``, ``enabled``,
            ``submissionId``, ``publishingTarget`` and the counts.
        previous: the last status of the site, if there is one.
        state_of: the state for a word.

    Raises:
        Failure: ``invalid_response``, the task has no word for its state.
    """
    fields = Fields(body)
    if "status" not in body:
        status = _of_task(fields, state_of)
    elif "submissionId" in body:
        status = _of_counter(fields, previous, state_of)
    else:
        status = _of_message(fields, previous, state_of)
    return replace(status, notes=fields.notes)


def _of_message(body: Fields, previous: Status | None, state_of: StateOf) -> Status:
    """Up to 3.1: each step is a message, with a time in most cases."""
    raw, enabled = body.text("status"), body.flag("enabled")
    message = body.read("message", message_of, "text") or ""
    state = state_of(raw) if raw else _state_without_word(message, enabled=enabled)
    if state is State.STOPPED and failed(message):
        state = State.FAILED
    state = _disabled(state, enabled=enabled)
    items = items_of(message) if state is State.RUNNING else Items()
    status = Status(state, raw, items=items, progress=_share(items.processed, items.total), enabled=enabled)
    if (
        previous is not None
        and previous.state is state is State.RUNNING
        and _restarted(previous.items, items)
    ):
        # The message of the end of the cycle before was not read.
        status, previous = replace(status, unseen_end=State.SUCCEEDED, unseen_within=SOON), None
    if state is State.QUEUED and previous is not None and previous.state in (State.FAILED, State.QUEUED):
        # A submission can come between the two messages of a failure.
        status = replace(status, failed_at=previous.failed_at)
    return replace(status, **_times(state, message, previous))


def _state_without_word(message: str, *, enabled: bool | None) -> State:
    state = state_of_message(message)
    if state is not None:
        return state
    if enabled is False:
        return State.STOPPED
    # A site that was never published has neither.
    return State.IDLE if enabled and not message else State.UNKNOWN


def _times(state: State, message: str, previous: Status | None) -> dict[str, Any]:
    """The times that follow from the last time in a message; none if it has no time."""
    moment = time_of(message)
    if moment is None:
        return {}
    names = _TIMES.get(state, ())
    if succeeded(message):
        # The message can also be that of a site which is queued or stopped.
        resting = state in (State.IDLE, State.SUCCEEDED_WITH_ERRORS)
        names = ("succeeded_at", "ended_at", "state_since") if resting else ("succeeded_at",)
    elif state is State.RUNNING:
        return {"reported_at": moment, "started_at": _start(moment, previous)}
    elif state is State.FAILED and previous is not None:
        moment = _failure(moment, previous)
    return dict.fromkeys(("reported_at", *names), moment)


def _start(moment: float, previous: Status | None) -> float:
    """The start of the cycle whose message was written at ``moment``: each item and package writes one."""
    if previous is None or previous.state is not State.RUNNING or previous.started_at is None:
        return moment
    return min(previous.started_at, moment)


def _failure(moment: float, previous: Status) -> float:
    """The time of the failure whose message was written at ``moment``."""
    known = previous.failed_at
    if known is not None and known <= moment <= known + _WRITTEN_TWICE_SECONDS:
        return known
    # A time of whole minutes can be before the start.
    start = previous.started_at if previous.state is State.RUNNING else None
    return moment if start is None else max(start, moment)


def _of_counter(body: Fields, previous: Status | None, state_of: StateOf) -> Status:
    """4.0 to 4.2: the word of the database, and the counter that exists while a cycle runs.

    Each submission, stop and start writes its word also while a cycle runs, so the counter decides.
    """
    raw, enabled, package = body.text("status"), body.flag("enabled"), body.text("submissionId")
    word = state_of(raw) if raw else _state_without_word("", enabled=enabled)
    before = previous.memory if previous is not None and previous.state is State.RUNNING else None
    cycle = before if isinstance(before, Cycle) else None
    status = Status(word, raw, enabled=enabled)
    # The counter of a cycle that failed stays for a moment, in which a submission can write its word.
    left_over = previous is not None and previous.state is State.FAILED and word is not State.RUNNING
    if word is not State.FAILED and package and not left_over:
        return _running(replace(status, state=State.RUNNING), package, body, cycle)
    if word is State.RUNNING:
        # Between preparing and deploying there is no counter for a moment, with two words.
        lost = previous is not None and previous.raw == raw and not isinstance(previous.memory, Cycle)
        return replace(status, state=State.IDLE, memory=Lost()) if lost else status
    # A submission also writes its word after an error, which has disabled publishing.
    if cycle is not None and (word is State.IDLE or (word is State.QUEUED and enabled is not False)):
        status = _over(status, cycle)
    return replace(status, state=_disabled(word, enabled=enabled))


def _running(status: Status, package: str, body: Fields, before: Cycle | None) -> Status:
    """The status of a cycle that runs; ``before``: the cycle of the previous status, if one ran."""
    total, done = body.count("totalItems"), body.count("numberOfItems")
    target = body.text("publishingTarget")
    items, word = Items(total, processed=done), status.raw.casefold()
    deploying = _deploying(word, items, before)
    if before is not None and _another(before, target, items, deploying=deploying):
        status, deploying = _over(status, before), word == "publishing"
    # With a staging target the items are counted for each target.
    shown = done if done is None or total is None else min(done, total)
    progress = _share(done, total) if deploying else None
    memory = Cycle(package, target, deploying, items, status.enabled)
    return replace(status, items=replace(items, processed=shown), progress=progress, memory=memory)


def _deploying(word: str, items: Items, before: Cycle | None) -> bool:
    """Whether all items of a cycle are prepared. Its word can be that of a submission, a stop or a start."""
    if word in ("processing", "publishing"):
        return word == "publishing"
    if before is not None and (before.deploying or _restarted(before.items, items)):
        return True
    # A counter that is full before that is removed in the same moment.
    return items.processed is not None and items.total is not None and items.processed >= items.total


def _over(status: Status, cycle: Cycle) -> Status:
    """The status after a cycle that is over."""
    # A submission while items are prepared leaves the response of an end for a moment.
    # Publishing that is disabled can have been so by an error, whose word a submission has replaced.
    started = cycle.enabled is False and status.enabled is not False
    within = SOON if cycle.deploying and not started else NEVER
    return replace(status, unseen_end=State.SUCCEEDED, unseen_within=within)


def _another(before: Cycle, target: str, items: Items, *, deploying: bool) -> bool:
    """Whether a read is of another cycle; the counter starts again within one cycle too, when it deploys."""
    if before.target != target:
        return True
    return before.deploying and (not deploying or _restarted(before.items, items))


def _restarted(before: Items, items: Items) -> bool:
    """Whether a counter is another one than before."""
    if before.total is None or before.processed is None or items.total is None or items.processed is None:
        return False
    return items.total != before.total or items.processed < before.processed


def _of_task(body: Fields, state_of: StateOf) -> Status:
    """After 4.2: the task that runs, with its stages. Nothing shows how a task ended that is gone."""
    enabled = body.flag("enabled")
    if not isinstance(body.raw.get("currentTask"), dict):
        return Status(_disabled(State.IDLE, enabled=enabled), enabled=enabled)
    task = body.nested("currentTask")
    raw = task.text("state")
    if not raw:
        raise Failure(Reason.INVALID_RESPONSE, "currentTask.state is missing or is not text")
    found = task.read("stages", _list, f"a list of at most {MAX_STAGES}") or ()
    stages = [task.inside(stage, "stages.*") for stage in found]
    at = [index for index, stage in enumerate(stages) if state_of(stage.text("state")) is State.RUNNING]
    stage = stages[at[0]] if at else Fields({})
    total, done = stage.count("total"), stage.count("processed")
    package = task.nested("taskId").read("packageId", number, "a number")
    return Status(
        state_of(raw),
        raw,
        step=stage.text("name"),
        run="" if package is None else f"{package:.0f}",
        # Only the last stage is progress towards the end.
        progress=_share(done, total) if at and at[0] == len(stages) - 1 else None,
        items=Items(total=total, processed=done if done is None or total is None else min(done, total)),
        enabled=enabled,
        started_at=task.instant("startTime"),
        ended_at=task.instant("endTime"),
    )


def message_of(value: object) -> str | None:
    """A message, of any length."""
    return value.strip() if isinstance(value, str) else None


def _list(value: object) -> list[Any] | None:
    return value if isinstance(value, list) and len(value) <= MAX_STAGES else None


def _disabled(state: State, *, enabled: bool | None) -> State:
    return State.STOPPED if enabled is False and state in _STOPPED_WHEN_DISABLED else state


def _share(done: int | None, total: int | None) -> float | None:
    """The share of a count. A full count is no share of all work: a commit, or another target, follows."""
    if done is None or not total or done == total:
        return None
    if done < total:
        return done / total
    return done / (2 * total) if done < 2 * total else None
