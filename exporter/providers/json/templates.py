"""Templates of requests: text, or JSON with text in it, in which ``{name}`` is the value of a key.

In JSON, a text that is only ``{name}`` can become a number. A text that is JSON itself, such as the variables
of GraphQL in a query parameter, is filled in as JSON, so a key cannot break it.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, has_dot_segments
from exporter.providers.json.keys import KEY, RequestKeys

UNSAFE = "the keys make a segment . or .. of the path"

_JSON = ("Content-Type", "application/json")
_SINCE_SECONDS = 60

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,17})?", re.ASCII)

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
    return _in_text(template, values)


def _in_text(template: str, values: Values) -> str:
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
        return {filled(name, values): filled_in(each, values) for name, each in template.items()}
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


def object_in(text: str) -> Any:
    """The object or list that a text is as JSON; ``None`` if it is none."""
    if text[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


@lru_cache(maxsize=1 << 10)
def parsed(template: str) -> Any:
    """The same of a text of the configuration, not to be changed. Filled in, it is of responses too."""
    return object_in(template)


def put(target: dict[str, Any], names: Sequence[str], value: str | int) -> None:
    """Sets a value in nested mappings; mappings that are missing are added."""
    for name in names[:-1]:
        inner = target.get(name)
        target[name] = target = dict(inner) if isinstance(inner, dict) else {}
    target[names[-1]] = value


@dataclass(frozen=True, slots=True)
class Turn:
    """What the request of one page adds to the configuration.

    Args:
        query: parameters in addition to those of the configuration, by place: a name, or with dots a place
            inside the JSON of a parameter.
        body: the same, for the body, in which dots lead to nested mappings.
        keys: names in braces and their values.
        path: replaces path and query, if a response has the next page's address; encoded.
        expect: statuses that mean that there is no such page.
    """

    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, str | int] = field(default_factory=dict)
    keys: Mapping[str, str | int] = field(default_factory=dict)
    path: str = ""
    expect: frozenset[int] = frozenset()


def unsafe_keys(request: RequestKeys, keys: Values) -> Iterator[str]:
    """The names of keys that are valid, but make ``.`` or ``..`` with what is beside them in a segment."""
    for segment in request.path.split("/"):
        if "{" in segment and not KEY.fullmatch(segment) and has_dot_segments(_in_text(segment, keys)):
            yield from (name for name, _ in KEY.findall(segment))


def request_of(request: RequestKeys, keys: Values, turn: Turn) -> Request:
    """A request with the keys of a job, each encoded for its place.

    Raises:
        Failure: the path would be another one, see `unsafe_keys`, or see `filled_in`.
    """
    keys = {**keys, **turn.keys}
    if any(unsafe_keys(request, keys)):
        raise Failure(Reason.INVALID_RESPONSE, UNSAFE)
    path = filled(request.path, {name: quote(str(value), safe="") for name, value in keys.items()})
    query = {name: [filled(each, keys) for each in values] for name, values in request.query.items()}
    for place, value in turn.query.items():
        _put_into_query(query, place, value)
    if turn.path:
        path = turn.path
    elif query:
        path = f"{path}?{urlencode(query, doseq=True, quote_via=quote)}"
    body = filled_in(request.body, keys)
    for place, value in turn.body.items():
        body = body or {}
        put(body, place.split("."), value)
    headers = tuple(request.headers.items())
    expect = turn.expect.union(request.accept)
    if body is None:
        return Request(path, headers, expect, request.method)
    if not any(name.lower() == "content-type" for name in request.headers):
        headers = (*headers, _JSON)
    return Request(path, headers, expect, request.method, json.dumps(body).encode())


def _put_into_query(query: dict[str, list[str]], place: str, value: str | int) -> None:
    """Sets a parameter; a place such as ``variables.cursor`` is inside the JSON of a parameter."""
    name, *inside = place.split(".")
    content = object_in(query[name][0]) if inside and name in query else None
    if isinstance(content, dict):
        put(content, inside, value)
        query[name] = [json.dumps(content)]
    else:
        query[place] = [str(value)]


def since_of(moment: float) -> Values:
    """A time in three notations for requests, rounded so that these stay the same for a minute."""
    seconds = max(0, int(moment // _SINCE_SECONDS * _SINCE_SECONDS))
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    return {"since": written, "since_s": seconds, "since_ms": seconds * 1000}
