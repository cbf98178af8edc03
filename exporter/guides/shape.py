"""What a response of an unknown job API probably means: where the list is, and which field is which."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.model.job import State

MAX_LEVELS = 3
MAX_ENTRIES = 200

_IDS = ("id", "uuid", "uid", "job_id", "jobid", "run_id", "key", "number", "name", "slug")
_STATES = ("state", "status", "job_status", "phase", "result", "conclusion", "outcome")
_NAMES = ("name", "title", "display_name", "displayname", "label", "description")
_PROGRESS = ("progress", "percent", "percentage", "percent_complete", "completion")
_WORDS: Mapping[State, str] = {
    State.IDLE: "idle ready none new created unsubmitted inactive",
    State.QUEUED: "queued pending waiting wait scheduled submitted enqueued accepted planned notstarted",
    State.RUNNING: "running active busy started inprogress processing building executing publishing working",
    State.CANCELING: "canceling cancelling stopping aborting terminating",
    State.SUCCEEDED: "succeeded success successful ok done completed complete finished passed green",
    State.SUCCEEDED_WITH_ERRORS: "unstable warning warnings partial partiallysucceeded completedwitherrors",
    State.FAILED: "failed failure fail error errored broken timeout timedout crashed red",
    State.CANCELED: "canceled cancelled aborted killed skipped",
    State.STOPPED: "stopped paused disabled suspended",
}
_STATE_OF = {word: state for state, words in _WORDS.items() for word in words.split()}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Shape:
    """Expressions that probably fit; empty where nothing was found.

    Args:
        items: the list in a response; empty if the response is one job.
        entries: how many the list has.
        id, state, name, progress: in an entry, or in the response.
        first: an entry, or the response.
    """

    items: str
    entries: int
    id: str
    state: str
    name: str
    progress: str
    first: Mapping[str, Any]


def shape_of(body: object, *, one: bool = False) -> Shape | None:
    """The probable meaning of a response; ``None`` if it contains no list of objects.

    Args:
        one: the response is that of one job.
    """
    if one:
        return _shape("", [body]) if isinstance(body, dict) else None
    lists = sorted(_lists(body), key=lambda found: (found[0].count("."), -len(found[1])))
    return _shape(*lists[0]) if lists else None


def state_of(word: str) -> str:
    """The state that a word probably means; empty if it is not a usual one."""
    return str(_STATE_OF.get(re.sub(r"[^a-z]", "", word.casefold()), ""))


def quoted(name: str) -> str:
    """A field name as an expression."""
    return name if _NAME.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _lists(value: object, place: str = "", level: int = 0) -> Iterator[tuple[str, list[Any]]]:
    """Each list of objects, with the expression that finds it."""
    if isinstance(value, list):
        if value and all(isinstance(each, dict) for each in value[:MAX_ENTRIES]):
            yield place or "@", value[:MAX_ENTRIES]
    elif isinstance(value, dict) and level < MAX_LEVELS:
        for name, inner in value.items():
            yield from _lists(inner, f"{place}.{quoted(name)}" if place else quoted(name), level + 1)


def _shape(items: str, entries: list[Any]) -> Shape:
    first = entries[0]
    progress = _field(first, _PROGRESS, (int, float))
    percent = progress and any(
        isinstance(value := each.get(_plain(progress)), int | float) and value > 1 for each in entries
    )
    return Shape(
        items,
        len(entries),
        _field(first, _IDS, (str, int)),
        _field(first, _STATES, (str, int)),
        _field(first, _NAMES, (str,)),
        f"{progress} / `100`" if percent else progress,
        first,
    )


def _plain(expression: str) -> str:
    return expression.strip('"')


def _field(entry: Mapping[str, Any], names: Sequence[str], kinds: tuple[type, ...]) -> str:
    """The field with the first of these names, whatever its case and separators, as an expression."""
    by_name = {re.sub(r"[^a-z]", "", name.casefold()): name for name in reversed(list(entry))}
    for name in names:
        found = by_name.get(name.replace("_", ""))
        if found is not None and isinstance(entry[found], kinds) and not isinstance(entry[found], bool):
            return quoted(found)
    return ""
