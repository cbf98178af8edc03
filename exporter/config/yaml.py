"""YAML text to plain values that know their lines.

Read by the YAML 1.2 core schema, which has fewer surprises than 1.1: only ``true`` and ``false`` are
booleans; dates, ``yes``, ``0777`` and ``1:30`` are text. Values are built from libyaml's events: PyYAML's
nodes take four times as long, and refuse an anchor that is set again.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from yaml import (
    AliasEvent,
    CBaseLoader,
    MappingEndEvent,
    MappingStartEvent,
    MarkedYAMLError,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from exporter.config_types import Place

MAX_BYTES = 16 * 1024 * 1024
MAX_NODES = 1_000_000
MAX_DEPTH = 32
MAX_DIGITS = 1000

# All characters except those of YAML; line breaks that editors and libyaml count differently are excluded.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_LONE_RETURN = re.compile("\r(?!\n)")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OCTAL_LOOK = re.compile(r"[-+]?0[0-9]+")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Section(dict[str, Any]):
    """A mapping; ``lines`` has the line of each key, counted from 1."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}


class ItemList(list[Any]):
    """A list; ``lines`` has the line of each item, counted from 1."""

    def __init__(self) -> None:
        self.lines: list[int] = []


@dataclass(frozen=True, slots=True)
class Problem:
    """An error at a place. The text never quotes the file."""

    line: int
    path: Place
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a file contains, as far as it could be read; its errors as YAML; its keys without a value."""

    root: Any
    problems: tuple[Problem, ...]
    empty: tuple[Problem, ...] = ()


def parse(data: bytes) -> Document:
    """Reads one YAML document, or nothing where its syntax is broken. Raises nothing."""
    try:
        builder = _Builder(_decode(data))
        root = builder.document()
    except _Stop as stop:
        line, text = stop.args
        return Document(None, (Problem(line, (), text),))
    return Document(Section() if root is None else root, tuple(builder.problems), tuple(builder.empty))


def line_of(root: object, path: Place) -> int:
    """The line of a key or item; for one that is missing, of the mapping that lacks it."""
    line = 1
    for part in path:
        if isinstance(root, Section) and part in root.lines:
            line, root = root.lines[str(part)], root.get(str(part))
        elif isinstance(root, ItemList) and isinstance(part, int) and part < len(root):
            line, root = root.lines[part], root[part]
        else:
            break
    return line


class _Stop(Exception):
    """The document cannot be read any further; its arguments are the line and the text."""


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Stop(1, f"is over {MAX_BYTES // 1024**2} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Stop(data.count(b"\n", 0, error.start) + 1, "is not UTF-8 text") from None
    if found := _FORBIDDEN.search(text) or _LONE_RETURN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _Stop(line, f'contains the character U+{ord(found[0]):04X}; write it as an escape inside "…"')
    return text


def _syntax(text: str, error: MarkedYAMLError) -> _Stop:
    mark, problem = error.problem_mark, error.problem or "cannot be read"
    # What is not closed must be corrected where it starts.
    if mark and error.context_mark and not text[mark.index :].strip():
        mark = error.context_mark
    if mark and text[mark.index : mark.index + 1] == "\t":
        problem = "found a tab where YAML allows only spaces"
    elif error.context:
        problem = f"{error.context}, {problem}"
    # At the end of the file libyaml's line may be one behind the last.
    lines = text.count("\n") + (not text.endswith("\n"))
    return _Stop(max(1, min(mark.line + 1 if mark else 1, lines)), f"is not YAML: {problem}")


_UNFINISHED = object()


class _Anchored(NamedTuple):
    """A value with an anchor: of how many values it is made, itself among them, and the levels below it."""

    value: Any
    nodes: int = 0
    levels: int = 0


class _Builder:
    """Builds the values of one document; errors that do not stop it are collected."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self.empty: list[Problem] = []
        self._text = text
        self._parser = CBaseLoader(text)
        self._next: Callable[[], Any] = self._parser.get_event
        self._anchors: dict[str, _Anchored] = {}
        self._nodes = 0
        self._deepest = 0

    def document(self) -> Any:
        try:
            self._next()  # the start of the stream
            if isinstance(self._next(), StreamEndEvent):
                return None
            root = self._node(self._next(), ())
            self._next()  # the end of the document
            if not isinstance(extra := self._next(), StreamEndEvent):
                raise _Stop(_line(extra), "a second YAML document starts here; a file must contain only one")
        except MarkedYAMLError as error:
            raise _syntax(self._text, error) from None
        finally:
            self._parser.dispose()
        return root

    def _node(self, event: Any, path: Place) -> Any:
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        nodes, deepest, self._deepest = self._nodes, self._deepest, len(path)
        self._count(event, 1, len(path))
        if event.tag is not None:
            raise _Stop(_line(event), "tags (words that start with !) are not allowed; put text in quotes")
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(_UNFINISHED)
        if isinstance(event, ScalarEvent):
            value = _plain(event.value) if event.implicit[0] else event.value
        else:
            value = (self._mapping if isinstance(event, MappingStartEvent) else self._sequence)(path)
        if event.anchor:
            extent = self._nodes - nodes, self._deepest - len(path)
            self._anchors[event.anchor] = _Anchored(value, *extent)
        self._deepest = max(deepest, self._deepest)
        return value

    def _alias(self, event: Any, path: Place) -> Any:
        if event.anchor not in self._anchors:
            raise _Stop(_line(event), "the alias (*) refers to no anchor (&) above it")
        anchored = self._anchors[event.anchor]
        if anchored.value is _UNFINISHED:
            raise _Stop(_line(event), "the alias (*) is inside the value that it refers to")
        self._count(event, anchored.nodes, len(path) + anchored.levels)
        return anchored.value

    def _count(self, event: Any, nodes: int, depth: int) -> None:
        self._nodes += nodes
        self._deepest = max(self._deepest, depth)
        if self._nodes > MAX_NODES:
            raise _Stop(_line(event), f"has more than {MAX_NODES} values, aliases (*) expanded")
        if depth >= MAX_DEPTH:
            raise _Stop(_line(event), f"is nested deeper than {MAX_DEPTH} levels")

    def _sequence(self, path: Place) -> ItemList:
        items = ItemList()
        while not isinstance(event := self._next(), SequenceEndEvent):
            place = (*path, len(items))
            items.lines.append(_line(event))
            items.append(self._node(event, place))
            self._check_empty(items[-1], items.lines[-1], place)
        return items

    def _mapping(self, path: Place) -> Section:
        section, merged = Section(), []
        while not isinstance(event := self._next(), MappingEndEvent):
            line, key = _line(event), self._node(event, (*path, "?"))
            name = "?" if isinstance(key, Section | ItemList) else str(key)
            place = (*path, name)
            if not isinstance(key, str):
                # Continues as if it were quoted, so that what is under it is checked too.
                text = 'a key must be text: write it in quotes, as in "42"'
                self.problems.append(Problem(line, place, text))
            value = self._node(self._next(), place)
            if name in section.lines:
                text = f"is defined twice; the first is on line {section.lines[name]}"
                self.problems.append(Problem(line, place, text))
                continue
            section.lines[name] = line
            if name == "<<" and isinstance(event, ScalarEvent) and event.implicit[0]:
                merged = value if isinstance(value, ItemList) else [value]
                if not merged or not all(isinstance(each, Section) for each in merged):
                    text = "must be an alias (*) of a mapping, or a list of such aliases"
                    self.problems.append(Problem(line, place, text))
            else:
                section[name] = value
                self._check_empty(value, line, place)
        # The mapping's own keys win, then those of the earlier of several.
        for other in (each for each in merged if isinstance(each, Section)):
            for name in [name for name in other if name not in section]:
                section[name], section.lines[name] = other[name], other.lines[name]
        return section

    def _check_empty(self, value: object, line: int, path: Place) -> None:
        if value is None:
            self.empty.append(Problem(line, path, "has no value; give it one or remove it"))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _plain(text: str) -> Any:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > MAX_DIGITS or _OCTAL_LOOK.fullmatch(text):
        return text
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
