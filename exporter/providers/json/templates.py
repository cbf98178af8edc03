"""Templates of requests: text, or JSON with text in it, in which ``{name}`` is the value of a key.

In JSON, a text that is only ``{name}`` can become a number. A text that is JSON itself, such as the variables
of GraphQL in a query parameter, is filled in as JSON, so a key cannot break it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from exporter.model.failure import Failure, Reason

KEY = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})(:number)?\}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?", re.ASCII)

Values = Mapping[str, str | int]
"""The value of each key by name. In JSON a number stays a number."""


def filled(template: str, values: Values) -> str:
    """The text of a template.

    Raises:
        Failure: see `filled_in`.
    """
    if "{" not in template:
        return template
    if (inside := parsed(template)) is not None:
        return json.dumps(filled_in(inside, values))
    return KEY.sub(lambda match: str(values.get(match[1], match[0])), template)


def filled_in(template: Any, values: Values) -> Any:
    """The JSON value of a template.

    Raises:
        Failure: ``{name:number}`` is not a number.
    """
    if isinstance(template, str):
        whole = KEY.fullmatch(template)
        if whole is None or whole[1] not in values:
            return filled(template, values)
        value = values[whole[1]]
        return as_number(whole[1], value) if whole[2] else value
    if isinstance(template, dict):
        return {name: filled_in(each, values) for name, each in template.items()}
    return [filled_in(each, values) for each in template] if isinstance(template, list) else template


def as_number(name: str, value: str | int) -> int | float:
    """The number that the value of a key is.

    Raises:
        Failure: it is none.
    """
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise Failure(Reason.INVALID_RESPONSE, f"the key {name} is not a number, as the body needs it")
        return float(value) if "." in value else int(value)
    return value


def numbers(template: Any) -> Iterator[str]:
    """The names of keys that must be numbers."""
    if isinstance(template, str):
        whole = KEY.fullmatch(template)
        if whole is None and (inside := parsed(template)) is not None:
            yield from numbers(inside)
        elif whole is not None and whole[2]:
            yield whole[1]
    elif isinstance(template, dict | list):
        for each in template.values() if isinstance(template, dict) else template:
            yield from numbers(each)


@lru_cache(maxsize=1 << 10)
def parsed(template: str) -> Any:
    """The object or list that a text is as JSON, not to be changed; ``None`` if it is none."""
    if template[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(template)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def put(target: dict[str, Any], names: Sequence[str], value: str | int) -> None:
    """Sets a value in nested mappings; mappings that are missing are added."""
    for name in names[:-1]:
        inner = target.get(name)
        target[name] = target = dict(inner) if isinstance(inner, dict) else {}
    target[names[-1]] = value
