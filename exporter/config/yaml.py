"""YAML text to plain values that know their lines.

Read by the YAML 1.2 core schema, which has fewer surprises than 1.1: only ``true`` and ``false`` are
booleans, dates, ``yes``, ``0777`` and ``1:30`` are text. libyaml's events are taken one by one, so
that depth, size and what aliases unfold to are bounded before anything is built.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from yaml import (
    AliasEvent,
    CSafeLoader,
    DocumentEndEvent,
    DocumentStartEvent,
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
MAX_PROBLEMS = 1000
MAX_DIGITS = 1000

# What YAML allows, without the line breaks that editors and libyaml count differently.
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

Event = Any
"""An event of libyaml; the stubs say too little of what each kind holds."""


class Section(dict[str, Any]):
    """A mapping; ``lines`` has the line of each key, counted from 1."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class Items(list[Any]):
    """A list; ``lines`` has the line of each item, counted from 1."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place. The text never quotes the file."""

    line: int
    path: Place
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds, as far as it could be read, and what is wrong with it as YAML.

    ``empty`` are the keys and items without a value: no error in YAML, but there is none that means
    anything here.
    """

    root: Any
    problems: tuple[Problem, ...]
    empty: tuple[Problem, ...] = ()


def parse(data: bytes) -> Document:
    """Reads one YAML document, or nothing where its syntax is broken. Raises nothing."""
    try:
        text = _decode(data)
        builder = _Builder(text)
        root = builder.document()
    except _Stop as stop:
        return Document(None, (Problem(stop.line, (), stop.text),))
    return Document(Section() if root is None else root, tuple(builder.problems), tuple(builder.empty))


def line_of(root: object, path: Place) -> int:
    """The line of a key or item; for one that is missing, of the mapping that lacks it."""
    line = 1
    for part in path:
        if isinstance(root, Section) and part in root.lines:
            line, root = root.lines[str(part)], root[str(part)]
        elif isinstance(root, Items) and isinstance(part, int) and part < len(root):
            line, root = root.lines[part], root[part]
        else:
            break
    return line


class _Stop(Exception):
    """The document cannot be read any further."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Stop(1, f"is over {MAX_BYTES // 1024**2} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Stop(data.count(b"\n", 0, error.start) + 1, "is not UTF-8 text") from None
    if found := _FORBIDDEN.search(text) or _LONE_RETURN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _Stop(
            line, f'holds the character U+{ord(found[0]):04X}; inside "…" it can be written as an escape'
        )
    return text


@dataclass(slots=True)
class _Anchor:
    """A value that aliases may stand for; ``size`` in nodes and ``height`` in levels, once it has ended."""

    value: Any = None
    size: int = 0
    height: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Builder:
    """Builds the values of one document; problems that let it go on are collected."""

    text: str
    problems: list[Problem] = field(default_factory=list)
    empty: list[Problem] = field(default_factory=list)
    _anchors: dict[str, _Anchor] = field(default_factory=dict)
    _path: list[str | int] = field(default_factory=list)
    _nodes: int = 0
    _deepest: int = 0
    _events: Iterator[Event] = field(init=False)

    def __post_init__(self) -> None:
        self._events = self._checked()

    def document(self) -> Any:
        root = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                root = self._node(next(self._events), 1)
            elif isinstance(event, DocumentEndEvent):
                break
        if not isinstance(extra := next(self._events, None), StreamEndEvent | None):
            raise _Stop(_line(extra), "a second YAML document begins here; one file holds one")
        return root

    def _checked(self) -> Iterator[Event]:
        """The events of libyaml; its errors in one line."""
        parser = CSafeLoader(self.text)
        try:
            while parser.check_event():
                yield parser.get_event()
        except MarkedYAMLError as error:
            raise self._syntax(error) from None
        finally:
            parser.dispose()

    def _syntax(self, error: MarkedYAMLError) -> _Stop:
        mark, problem = error.problem_mark, error.problem or "cannot be read"
        # What was never closed is to be mended where it begins.
        if mark and error.context_mark and not self.text[mark.index :].strip():
            mark = error.context_mark
        if mark and self.text[mark.index : mark.index + 1] == "\t":
            problem = "found a tab where YAML allows only spaces"
        elif error.context:
            problem = f"{error.context}, {problem}"
        # At the end of the file libyaml may stand one line behind its last.
        lines = self.text.count("\n") + (not self.text.endswith("\n"))
        return _Stop(max(1, min(mark.line + 1 if mark else 1, lines)), f"is not YAML: {problem}")

    def _node(self, event: Event, depth: int) -> Any:
        self._count(event, 1, depth)
        if isinstance(event, AliasEvent):
            return self._alias(event, depth)
        if event.tag is not None:
            raise _Stop(_line(event), "tags (words that begin with !) are not allowed; quote what is text")
        if isinstance(event, ScalarEvent):
            value = _plain(event.value) if event.implicit[0] else event.value
            if event.anchor:
                self._anchors[event.anchor] = _Anchor(value, size=1, ended=True)
            return value
        return self._collection(event, depth)

    def _collection(self, event: Event, depth: int) -> Any:
        anchor, before, deepest = _Anchor(), self._nodes, self._deepest
        if event.anchor:
            self._anchors[event.anchor] = anchor
        self._deepest = depth
        value = self._mapping(depth) if isinstance(event, MappingStartEvent) else self._sequence(depth)
        anchor.value, anchor.size, anchor.ended = value, self._nodes - before + 1, True
        anchor.height = self._deepest - depth
        self._deepest = max(deepest, self._deepest)
        return value

    def _alias(self, event: Event, depth: int) -> Any:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            raise _Stop(_line(event), "the alias (*) names no anchor (&) above it")
        if not anchor.ended:
            raise _Stop(_line(event), "the alias (*) stands inside what it names")
        self._count(event, anchor.size, depth + anchor.height)
        return anchor.value

    def _count(self, event: Event, nodes: int, depth: int) -> None:
        self._nodes += nodes
        self._deepest = max(self._deepest, depth)
        if self._nodes > MAX_NODES:
            raise _Stop(_line(event), f"holds more than {MAX_NODES} values, aliases (*) unfolded")
        if depth > MAX_DEPTH:
            raise _Stop(_line(event), f"is nested deeper than {MAX_DEPTH} levels")

    def _sequence(self, depth: int) -> Items:
        items = Items()
        while not isinstance(event := next(self._events), SequenceEndEvent):
            line = _line(event)
            self._path.append(len(items))
            items.append(value := self._node(event, depth + 1))
            items.lines.append(line)
            if value is None:
                self._no_value(line)
            self._path.pop()
        return items

    def _mapping(self, depth: int) -> Section:
        section = Section()
        merged: list[Section] | None = None
        while not isinstance(event := next(self._events), MappingEndEvent):
            line = _line(event)
            merges = isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = self._node(event, depth + 1)
            self._path.append("?" if isinstance(key, Section | Items) else str(key))
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, str):
                self._problem(line, 'a key must be text: write it in quotes, as in "42"')
                # Goes on as if it were quoted, so that what stands under it is looked at as well.
                key = self._path[-1]
            if key in section.lines:
                self._problem(line, f"is here a second time; the first is on line {section.lines[key]}")
            elif merges:
                section.lines[key] = line
                merged = self._merged(value, line)
            else:
                section[key], section.lines[key] = value, line
                if value is None:
                    self._no_value(line)
            self._path.pop()
        if merged is not None:
            del section.lines["<<"]
            _merge(section, merged)
        return section

    def _merged(self, value: object, line: int) -> list[Section]:
        given = value if isinstance(value, Items) else [value]
        sections = [each for each in given if isinstance(each, Section)]
        if not sections or len(sections) < len(given):
            self._problem(line, "must be an alias (*) of a mapping, or a list of such aliases")
        return sections

    def _problem(self, line: int, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(line, tuple(self._path), text))

    def _no_value(self, line: int) -> None:
        if len(self.empty) < MAX_PROBLEMS:
            self.empty.append(Problem(line, tuple(self._path), "has no value; give it one or remove it"))


def _merge(section: Section, merged: list[Section]) -> None:
    """YAML's merge key: what stands in the mapping itself wins, then the earlier of several."""
    for other in merged:
        for key, value in other.items():
            if key not in section:
                section[key], section.lines[key] = value, other.lines[key]


def _line(event: Event) -> int:
    line: int = event.start_mark.line
    return line + 1


def _plain(text: str) -> Any:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > MAX_DIGITS or _OCTAL_LOOK.fullmatch(text):
        return text
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
