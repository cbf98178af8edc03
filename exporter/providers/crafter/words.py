"""The meaning of CrafterCMS Studio's words and messages about the publishing of a site.

Sources: the "Publish Status" pages of the documentation and the words of the open source server.
Messages contain paths and user names, so they are read and never shown.
"""

import re

from exporter.model.job import Items, State
from exporter.providers.values import count, instant

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
    # Of a task, after 4.2.
    "pending": State.QUEUED,
    "in_progress": State.RUNNING,
    "completed": State.SUCCEEDED,
    "completed_with_errors": State.SUCCEEDED_WITH_ERRORS,
    "failed": State.FAILED,
    "cancelled": State.CANCELED,
}

# How messages begin. The first text of a failure is that of the documentation, the second that of the
# server's configuration. An administrator can change both: then a failure is shown as stopped.
_FAILED = ("failed while", "stopped while trying")
_SUCCEEDED = "last successful"
_OTHERS = (
    ("publishing is disabled due to errors", State.FAILED),
    (_SUCCEEDED, State.IDLE),
    ("currently publishing", State.RUNNING),
    ("items queued", State.QUEUED),
    ("items are queued", State.QUEUED),
    ("publishing was stopped by", State.STOPPED),
)
_WHOLE = {"idle": State.IDLE, "ready": State.IDLE}
_LONGEST_BEGINNING = 64
# The documentation has minutes only, the server seconds and an offset. The path of the item is before the
# time and can contain a time as well.
_TIME = re.compile(
    r"(?<!\S)\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d(?::?\d\d)?)(?=[\s.,;)]|$)", re.ASCII
)
_ITEM = re.compile(r"\. Item (\d{1,16}) of (\d{1,16}) is being published", re.ASCII)
_LONGEST_END = 512


def state_of_message(message: str) -> State | None:
    """The state that a message describes; ``None`` if the message is not known."""
    beginning = message[:_LONGEST_BEGINNING].casefold()
    if failed(message):
        return State.FAILED
    for words, state in _OTHERS:
        if beginning.startswith(words):
            return state
    return _WHOLE.get(beginning)


def failed(message: str) -> bool:
    """Whether a message is that of a failure, up to 3.1.13."""
    return message[:_LONGEST_BEGINNING].casefold().startswith(_FAILED)


def succeeded(message: str) -> bool:
    """Whether the time in a message is that of a success."""
    return message[:_LONGEST_BEGINNING].casefold().startswith(_SUCCEEDED)


def time_of(message: str) -> float | None:
    """The last time in a message."""
    found = _TIME.findall(message[-_LONGEST_END:])
    return instant(found[-1]) if found else None


def items_of(message: str) -> Items:
    """The counts of "Item x of y", of 3.1.14 and later."""
    found = _ITEM.search(message[-_LONGEST_END:])
    return Items(processed=count(found[1]), total=count(found[2])) if found else Items()
