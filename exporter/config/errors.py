"""Errors of a configuration, each in one line.

pydantic's messages quote the input, which can be a secret, and use the terms of Python. So each kind of
error is translated. Values are never quoted, keys only if they look like keys.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from exporter.config.models import Choice, OneOrMore
from exporter.config_types import ORDINARY_NAME, ErrorsInside, Place
from exporter.model.text import printable

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}|<<")
# A key below these can be a secret that was written in the wrong place.
_SECRET_PLACES = frozenset({"auth", "basic_auth_users"})

MAX_ERRORS = 1000
MAX_TEXT = 500

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}
_LIMITS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One error or warning: its place, what is wrong and what is allowed. Never contains a value of the file.

    Lines count from 1. A path is such as ``systems.docs.jobs[0].locale``, empty for the file as a whole.
    """

    file: Path
    line: int
    path: str
    text: str

    def as_dict(self) -> dict[str, str | int]:
        """The finding as JSON types."""
        return {"file": str(self.file), "line": self.line, "path": self.path, "text": self.text}

    def __str__(self) -> str:
        path = f" {self.path}:" if self.path else ""
        return f"{printable(str(self.file))}:{self.line}:{path} {self.text}"


class ConfigError(Exception):
    """A configuration has errors; ``str()`` is one line for each."""

    def __init__(self, errors: Iterable[Finding]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))


def bounded(findings: Iterable[Finding], kind: str = "errors") -> list[Finding]:
    """The first findings by place, each once; if there are more, the last one reports that."""
    ordered = sorted(set(findings))
    if len(ordered) > MAX_ERRORS:
        text = f"more {kind} from here on are not shown"
        ordered[MAX_ERRORS:] = [replace(ordered[MAX_ERRORS], path="", text=text)]
    return ordered


def shown(place: Place, model: object = None, root: object = None) -> str:
    """A place as text: ``systems.docs.jobs[0].locale``; ``?`` for a key that can be a misplaced secret.

    That is a key that does not look like one. In `_SECRET_PLACES` and in headers, it is each key that the
    model does not declare; where the model allows any, one that is not an `ORDINARY_NAME` or has no value.

    Args:
        model: the type of the whole file.
        root: the content of the file.
    """
    text, near, kinds, value = "", False, [model], root
    for part in place:
        declared, free, kinds = _below(kinds, part)
        value = _at(value, part)
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        plain = free and value is not None and ORDINARY_NAME.fullmatch(part) if near else _KEY.fullmatch(part)
        text += f".{part if declared or plain else '?'}"
        near = (
            near
            or part in _SECRET_PLACES
            or (part == "headers" and any(get_origin(kind) is dict for kind in kinds))
        )
    return text.removeprefix(".")


def _at(value: object, part: str | int) -> object:
    if isinstance(value, Mapping):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


def _below(kinds: Iterable[object], part: str | int) -> tuple[bool, bool, list[object]]:
    """Whether one of the types declares a key, whether one allows any, and the types of its value."""
    declared = free = False
    found: list[object] = []
    for kind in kinds:
        if _is_model(kind):
            for name, field in kind.model_fields.items():
                if part == (field.alias or name):
                    declared = True
                    found += _types(field.annotation, *field.metadata)
        elif kind is Any:
            free = True
            found.append(Any)
        elif get_origin(kind) is (list if isinstance(part, int) else dict):
            free = True
            found += _types(get_args(kind)[-1])
    return declared, free, [kind for kind in found if kind is not Any] or found


def _types(*annotations: Any) -> Iterator[object]:
    """What may have keys or items inside: models, lists, dicts, and ``Any``."""
    for each in annotations:
        if isinstance(each, Choice):
            yield from each.models.values()
        elif isinstance(each, OneOrMore):
            yield from (each.inside("one"), each.inside("several"))
        elif get_origin(each) in (Annotated, Union, UnionType):
            yield from _types(*get_args(each))
        elif each is Any or get_origin(each) in (dict, list) or _is_model(each):
            yield each


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel)


def translate(errors: Iterable[ErrorDetails], model: type[BaseModel]) -> Iterator[tuple[Place, str]]:
    """The errors of pydantic as places in the file with a text; one for each place."""
    texts: dict[Place, list[str]] = {}
    for error in errors:
        place, holder = _locate(error["loc"], model)
        ctx: Mapping[str, Any] = error.get("ctx", {})
        if error["type"].startswith("union_tag_"):
            place = (*place, str(ctx["discriminator"]).strip("'"))
        cause = ctx.get("error")
        inside = (
            cause.errors if isinstance(cause, ErrorsInside) else [((), _sentence(error, ctx, place, holder))]
        )
        for below, text in inside:
            # A value that can have several types has an error for each.
            if text not in texts.setdefault((*place, *below), []):
                texts[(*place, *below)].append(text)
    for place, several in texts.items():
        yield place, ", or ".join(several)


def _sentence(error: ErrorDetails, ctx: Mapping[str, Any], place: Place, holder: Any) -> str:
    kind, given = error["type"], error["input"]
    if kind in _EXPECTED:
        return _wrong_type(_EXPECTED[kind], given)
    if kind in _LIMITS:
        return _LIMITS[kind].format_map(ctx)
    match kind:
        case "value_error":
            return _one_line(str(ctx["error"]))
        case "missing":
            description = holder.model_fields[place[-1]].description
            return f"is missing: {description}" if description else "is missing"
        case "extra_forbidden":
            allowed = [field.alias or name for name, field in holder.model_fields.items()]
            return f"unknown key{_suggestion(place[-1], allowed)}"
        case "literal_error" | "enum":
            return "unknown value" + _suggestion(given, re.findall(r"'([^']*)'", ctx["expected"]))
        case "union_tag_not_found":
            return f"is missing{_suggestion('', holder.models)}"
        case "union_tag_invalid":
            return f"unknown value{_suggestion(ctx['tag'], holder.models)}"
    return "is not allowed here"


def _one_line(text: str) -> str:
    """The message of a validator, which may name a file or variable of any length and characters."""
    if len(text) > MAX_TEXT:  # what is wrong comes last
        text = f"{text[: MAX_TEXT // 2]}…{text[-MAX_TEXT // 2 :]}"
    return printable(text)


def _wrong_type(expected: str, given: object) -> str:
    if given is None:
        return f"has no value; allowed is {expected}"
    if expected == "text" and isinstance(given, int | float):
        example = "true" if isinstance(given, bool) else "42"
        return f'must be text: write it in quotes, as in "{example}"'
    return f"must be {expected}"


def _suggestion(given: object, allowed: Collection[str]) -> str:
    # Long words are not typing errors, and comparing them is slow.
    short = isinstance(given, str) and len(given) <= 40
    close = "".join(difflib.get_close_matches(str(given), allowed, n=1)) if short else ""
    listed = f"allowed{':' if len(allowed) > 1 else ' is'} {', '.join(allowed) or 'none'}"
    return f"; did you mean {close}? {listed}" if close else f"; {listed}"


def _locate(loc: tuple[str | int, ...], model: type[BaseModel]) -> tuple[Place, Any]:
    """The place in the file that pydantic means, and the model (or `Choice`) that declares it.

    pydantic's location also contains the model of a `Choice`, the alternative of a union, and ``[key]``.
    """
    kind: Any = model
    holder: Any = model
    place: Place = ()
    for part in loc:
        if kind is None or (part == "[key]" and get_origin(holder) is dict):
            break
        if isinstance(kind, Choice):
            holder = kind = kind.models[str(part)]
            continue
        if isinstance(kind, OneOrMore):
            kind = kind.inside(str(part))
            continue
        holder = kind
        place = (*place, part)
        kind = _inside(kind, part)
    return place, kind if isinstance(kind, Choice) else holder


def _inside(kind: Any, part: str | int) -> Any:
    """The type of a key's value: a model, a `Choice`, a list, a dict, or ``None`` for a scalar."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return None if field is None else _container((field.annotation, *field.metadata))
    return _container((get_args(kind)[-1],))


def _container(annotations: Iterable[Any]) -> Any:
    for annotation in annotations:
        origin = get_origin(annotation)
        if isinstance(annotation, Choice | OneOrMore) or origin in (dict, list):
            return annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        if (
            origin in (Annotated, Union, UnionType)
            and (found := _container(get_args(annotation))) is not None
        ):
            return found
    return None
