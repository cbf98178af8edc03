"""Recorded requests and responses, and which response a request gets.

A recording is a folder with two files. ``config.yaml`` is the configuration that reads it, with
``http://replay.invalid`` in place of the address. ``exchanges.yaml`` is a list. Each entry has a ``request``:

- ``url``: path and query. ``prefix: true``: every URL that begins with it, if no other entry fits better.
- ``method``, ``body`` parts: of the request; any where they are missing.

and a ``response``: ``status`` (200), ``headers``, and its body as ``json``, ``text`` or ``base64``. ``times``
is the number of requests that get it; the last response that fits is repeated. In place of a response,
``failure`` closes the connection.
"""

import base64
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml

CONFIG = "config.yaml"
EXCHANGES = "exchanges.yaml"
ORIGIN = "http://replay.invalid"
MAX_BYTES = 64 << 20
MAX_DEPTH = 200
MAX_RECORDINGS = 1000
MASK = "***"

_BODIES = ("json", "text", "base64")
_KEYS: Mapping[str, Mapping[str, type]] = {
    "": {"request": dict, "response": dict, "failure": str, "times": int},
    "request": {"method": str, "url": str, "prefix": bool, "headers": dict, "left_out": int},
    "response": {"status": int, "headers": dict, "left_out": int},
}
_KINDS = {dict: "a mapping", str: "text", int: "a whole number", bool: "true or false"}


class RecordingError(ValueError):
    """A recording cannot be written or read; the text names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A recorded response; ``closes``: the connection is closed instead."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    closes: bool = False


@dataclass(slots=True)
class Exchange:
    """One recorded request with its response.

    Args:
        method: ``None`` for any.
        body: of the request, as `_comparable`; ``None`` for any.
        times: how many requests get the response, unless it is the last that fits.
    """

    url: str
    answer: Answer
    method: str | None = None
    body: Any = None
    prefix: bool = False
    times: int = 1
    used: int = 0

    def fits(self, method: str, body: Any) -> bool:
        """Whether a request with this method and body can get the response."""
        return self.method in (None, method) and self.body in (None, body)


@dataclass(slots=True)
class Recording:
    """One recording, and how much of it is used.

    Args:
        name: of its folder.
        config: the text of its configuration.
    """

    name: str
    config: str
    exchanges: list[Exchange]
    _exact: dict[Any, list[Exchange]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.exchanges:
            if not each.prefix:
                self._exact.setdefault(_parts(each.url), []).append(each)

    def answer(self, method: str, url: str, body: bytes = b"") -> Answer | None:
        """The response to a request; ``None`` if none is recorded.

        Args:
            url: path and query; the order of parameters does not matter.
        """
        sent = _comparable(body)
        found = [each for each in self._exact.get(_parts(url), ()) if each.fits(method, sent)]
        if not found:
            longest = 0
            for each in self.exchanges:
                if each.prefix and url.startswith(each.url) and each.fits(method, sent):
                    if len(each.url) > longest:
                        longest, found = len(each.url), []
                    if len(each.url) == longest:
                        found.append(each)
        if not found:
            return None
        chosen = next((each for each in found if each.used < each.times), found[-1])
        chosen.used += 1
        return chosen.answer


def load(folder: Path) -> list[Recording]:
    """The recording in a folder, or those in the folders in it, by name.

    Raises:
        RecordingError: there is none, or one has an error.
    """
    if (folder / EXCHANGES).exists():
        return [_read(folder)]
    try:
        folders = sorted(each for each in folder.iterdir() if (each / EXCHANGES).is_file())
    except OSError as error:
        raise RecordingError(f"{folder} cannot be read: {error.strerror}") from None
    if not folders:
        raise RecordingError(f"{folder} has no {EXCHANGES}, and no folder in it has one")
    if len(folders) > MAX_RECORDINGS:
        raise RecordingError(f"{folder} has {len(folders)} recordings; allowed are {MAX_RECORDINGS}")
    return [_read(each) for each in folders]


def _read(folder: Path) -> Recording:
    file = folder / EXCHANGES
    try:
        entries = _parsed(_content(file))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise RecordingError(f"{file}:{mark.line + 1 if mark else 1}: is not YAML") from None
    except RecordingError as error:
        raise RecordingError(f"{file}: {error}") from None
    if not isinstance(entries, list):
        raise RecordingError(f"{file}: must be a list of exchanges")
    exchanges = []
    for number, entry in enumerate(entries, 1):
        try:
            exchanges.append(_exchange(entry))
        except RecordingError as error:
            raise RecordingError(f"{file}: exchange {number}: {error}") from None
    return Recording(folder.resolve().name, _content(folder / CONFIG).decode(), exchanges)


def _content(file: Path) -> bytes:
    try:
        with open(file, "rb", opener=_without_waiting) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise RecordingError(f"{file} is not a regular file")
            content = opened.read(MAX_BYTES + 1)
        content.decode()
    except OSError as error:
        raise RecordingError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecordingError(f"{file} is not UTF-8 text") from None
    if len(content) > MAX_BYTES:
        raise RecordingError(f"{file} is over {MAX_BYTES >> 20} MiB")
    return content


def _without_waiting(name: str, flags: int) -> int:
    """Opens a file; opening a pipe in the usual way waits for its writer."""
    return os.open(name, flags | os.O_NONBLOCK)


def _parsed(content: bytes) -> Any:
    # A file from a report: a few aliases of aliases would fill the memory, and deep nesting the stack.
    depth = 0
    for event in yaml.parse(content, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > MAX_DEPTH:
            raise RecordingError(f"aliases and more than {MAX_DEPTH} levels of nesting are not allowed")
    return yaml.load(content, Loader=yaml.CSafeLoader)


def _exchange(entry: object) -> Exchange:
    entry = _mapping(entry, "", _KEYS[""])
    request = _mapping(entry.get("request"), "request", _KEYS["request"])
    if "url" not in request:
        raise RecordingError("request.url is missing")
    if ("response" in entry) == ("failure" in entry):
        raise RecordingError("allowed is either response or failure")
    body = _body(request)
    return Exchange(
        request["url"],
        _answer(entry["response"]) if "response" in entry else Answer(closes=True),
        request.get("method"),
        None if body is None else _comparable(body),
        request.get("prefix", False),
        entry.get("times", 1),
    )


def _answer(response: object) -> Answer:
    response = _mapping(response, "response", _KEYS["response"])
    headers = {str(name): str(value) for name, value in response.get("headers", {}).items()}
    status = response.get("status", 200)
    if not 200 <= status <= 599:
        raise RecordingError("response.status: allowed are 200 to 599")
    body = _body(response)
    if body is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    # The server adds the present date.
    shown = ((name, value) for name, value in headers.items() if value != MASK and name.lower() != "date")
    return Answer(status, tuple(shown), body or b"")


def _mapping(value: object, place: str, allowed: Mapping[str, type]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RecordingError(f"{place or 'an entry'} must be a mapping")
    names = (*allowed, *_BODIES) if place else tuple(allowed)
    for name, each in value.items():
        if name not in names:
            raise RecordingError(f"{place}: unknown key {name!r}; allowed: {', '.join(names)}")
        kind = allowed.get(name, object)
        if not isinstance(each, kind) or (kind is int and isinstance(each, bool)):
            raise RecordingError(f"{place} {name}: must be {_KINDS[kind]}".lstrip())
    return value


def _body(part: Mapping[str, Any]) -> bytes | None:
    """The body of a request or response; ``None`` where there is none."""
    given = [name for name in _BODIES if name in part]
    if len(given) > 1:
        raise RecordingError(f"allowed is one of {', '.join(_BODIES)}")
    if not given:
        return None
    value = part[given[0]]
    if given == ["json"]:
        return json.dumps(value, ensure_ascii=False).encode()
    if not isinstance(value, str):
        raise RecordingError(f"{given[0]}: must be text")
    if given == ["text"]:
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise RecordingError("base64: must be base64") from None


def _comparable(body: bytes) -> Any:
    """A body that is equal to another of the same JSON; other bodies are compared as they are."""
    try:
        return json.dumps(json.loads(body), sort_keys=True)
    except (ValueError, RecursionError):
        return body


def _parts(url: str) -> Any:
    path, _, query = url.partition("?")
    return path, tuple(sorted(parse_qsl(query, keep_blank_values=True)))
