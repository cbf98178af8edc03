"""What the expressions of the configuration find in responses, as lines for people."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from exporter.model.text import printable
from exporter.providers.base import Explained, Explanation
from exporter.upstream.masks import Masks

WIDTH = 80
MAX_SHOWN = 60
MAX_SOURCE = 200
MAX_NAMES = 12
MAX_NAME = 40
MAX_NOTE = 200

_LAST_NAME = re.compile(r"\w+")
_LONG = 20_000
_FEW = 5
_DEEP = 3


def expression_lines(explanations: Iterable[Explanation], masks: Masks) -> Iterator[str]:
    """The lines of each explanation, an empty one after each."""
    try:
        for title, rows in explanations:
            if rows:
                yield title
                for row in rows:
                    yield from _lines(row, masks)
                yield ""
    except Exception as error:  # noqa: BLE001  an error of a plug-in must not cost the rest
        yield f"The expressions cannot be shown ({type(error).__name__})."
        yield ""


def _lines(row: Explained, masks: Masks) -> list[str]:
    source = _cut(" ".join(row.source.split()), MAX_SOURCE)
    return wrapped(f"  {row.key}: {source} → {_result(row, masks)}")


def wrapped(line: str) -> list[str]:
    """A line in as many as it needs."""
    return textwrap.wrap(printable(line), WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False)


def _result(row: Explained, masks: Masks) -> str:
    note = _cut(row.note, MAX_NOTE)
    if row.value is None:
        note = f" {note}" if note.startswith("→") else f" ({note})" if note else ""
        return f"nothing{note}; {_there(row.there, masks)}"
    # What is a secret by its name, such as a token, is one here too.
    name = (_LAST_NAME.findall(row.source) or [""])[-1]
    found = f"{_shown(row.value, masks, name)} ({_type(row.value)})"
    return f"{found} {note}" if note.startswith("→") else f"{found}; {note}" if note else found


def _there(value: Any, masks: Masks) -> str:
    """What is in the place where a path ends."""
    if isinstance(value, dict) and value:
        return f"keys there: {_names(value, masks)}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"there: {_type(value)}, the first with the keys {_names(value[0], masks)}"
    return "null is there" if value is None else f"there: {_shown(value, masks)} ({_type(value)})"


def _names(value: dict[str, Any], masks: Masks) -> str:
    names = [
        _cut(masks.text(name), MAX_NAME) + (" (null)" if each is None else "")
        for name, each in list(value.items())[:MAX_NAMES]
        if len(name) < _LONG
    ]
    more = len(value) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _shown(value: Any, masks: Masks, name: str = "") -> str:
    """The beginning of a JSON value, which a field of this name has, without secrets."""
    (masked,) = masks.json({name: _pruned(value)}).values()
    return _cut(json.dumps(masked, ensure_ascii=False), MAX_SHOWN)


def _pruned(value: Any, depth: int = 0) -> Any:
    """A value with the first of its parts. A text is whole or left out: a part of a secret is not masked."""
    if isinstance(value, str):
        return value if len(value) < _LONG else "…"
    if not isinstance(value, dict | list):
        return value
    if depth == _DEEP:
        return "…"
    if isinstance(value, list):
        return [_pruned(each, depth + 1) for each in value[:_FEW]]
    names = [name for name in value if len(name) < _LONG][:_FEW]
    return {name: _pruned(value[name], depth + 1) for name in names}


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return f"array of {len(value)}"
        case dict():
            return "object"
    return "number"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
