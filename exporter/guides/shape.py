"""What a response of an unknown job API probably means: where the list is, and which field is which."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.model.job import State

MAX_LEVELS = 3
MAX_ENTRIES = 200
MIN_UNIX_TIME = 10**9
"""A number below it is no time of today: Unix times in seconds have ten digits since 2001."""

_IDS = ("id", "uuid", "uid", "guid", "key", "number", "no", "name", "slug")
_STATES = ("state", "status", "phase", "result", "conclusion", "outcome")
_NAMES = ("name", "title", "displayname", "label", "description")
_PROGRESS = ("progress", "percent", "percentage", "percentcomplete", "percentdone", "pct", "completion")
_TIMES: Mapping[str, tuple[str, ...]] = {
    "queued_at": ("queuedat", "queued", "createdat", "created", "submittedat", "submitted"),
    "started_at": ("startedat", "started", "starttime", "startdate", "start", "begin", "begun"),
    "ended_at": ("endedat", "ended", "endtime", "end", "finishedat", "finished", "completedat", "completed"),
}
_PREFIXES = ("", "job", "run", "task", "build", "current", "last")
"""What the name of a field can begin with: ``jobNumber`` is a number too."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_WORDS: Mapping[State, str] = {
    State.IDLE: "idle ready none new created unsubmitted inactive",
    State.QUEUED: "queued pending waiting wait scheduled submitted enqueued accepted planned notstarted",
    State.RUNNING: "running run active busy started inprogress processing building executing publishing",
    State.CANCELING: "canceling cancelling stopping aborting terminating",
    State.SUCCEEDED: "succeeded success successful ok done completed complete finished passed green",
    State.SUCCEEDED_WITH_ERRORS: "unstable warning warnings partial partiallysucceeded completedwitherrors",
    State.FAILED: "failed bad failure fail error errored broken timeout timedout crashed red",
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
        times: of a run, by the key of ``read``.
    """

    items: str = ""
    entries: int = 0
    id: str = ""
    state: str = ""
    name: str = ""
    progress: str = ""
    first: Mapping[str, Any] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)


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
    # The first value of each field that is not null: a job that waits has no progress and no times yet.
    fields: dict[str, Any] = {}
    for entry in entries:
        fields |= {name: value for name, value in entry.items() if fields.get(name) is None}
    progress = _field(fields, _PROGRESS, _is_number)
    values = [entry.get(_plain(progress)) for entry in entries] if progress else []
    percent = any(_is_number(value) and value > 1 for value in values)
    times = {key: _field(fields, names, _is_time) for key, names in _TIMES.items()}
    return Shape(
        items,
        len(entries),
        _field(fields, _IDS, _is_id),
        _field(fields, _STATES, _is_id),
        _field(fields, _NAMES, _is_text),
        f"{progress} / `100`" if percent else progress,
        entries[0],
        {key: expression for key, expression in times.items() if expression},
    )


def _plain(expression: str) -> str:
    return expression.strip('"')


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    return bool(_TIME.match(value)) if isinstance(value, str) else _is_number(value) and value > MIN_UNIX_TIME


def _field(fields: Mapping[str, Any], names: Sequence[str], fits: Callable[[Any], bool]) -> str:
    """The field with the first of these names, whatever its case and separators, as an expression."""
    by_name = {re.sub(r"[^a-z]", "", name.casefold()): name for name in reversed(list(fields))}
    for prefix in _PREFIXES:
        for name in names:
            found = by_name.get(f"{prefix}{name}")
            if found is not None and fits(fields[found]):
                return quoted(found)
    return ""
