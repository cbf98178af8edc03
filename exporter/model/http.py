"""Requests and responses as values.

A provider makes a `Request` and reads a `Response`; the transport makes the `Response`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from exporter.model.failure import Failure, Reason
from exporter.model.json_body import MAX_VALUES, TooManyValuesError, parsed

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header or of a cookie (RFC 9110 section 5.6.2)."""

CONNECTION_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that only the transport sets, in lower case: those of one connection (RFC 9110 section 7.6.1), and
of message framing and encoding. ``Host`` is not one of them: it may be set.
"""


_MAX_ENCODINGS = 5
_SEPARATORS = re.compile(r"[/\\]")


def has_dot_segments(path: str) -> bool:
    r"""Whether ``.`` or ``..`` is a segment of a path for some server that it may pass.

    Gateways decode a path, some more than once, read ``\`` as ``/``, and leave out what follows a ``;`` in a
    segment. They would then send a request, with its credential, to another path.
    """
    for _ in range(_MAX_ENCODINGS):
        segments = (segment.partition(";")[0].strip() for segment in _SEPARATORS.split(path))
        if any(segment in (".", "..") for segment in segments):
            return True
        encoded, path = path, unquote(path)
        if path == encoded:
            return False
    return True


class Request(Struct, frozen=True, gc=False):
    """One request of a provider. Hashable, so that a response can be found by its request.

    Args:
        path: begins with ``/`` and is percent-encoded, its query too; it is appended to the system's
            ``base_url`` as it is.
        headers: in addition to those of the system and its credential.
        expect: statuses outside 200 to 299 that the provider handles itself.
        method: must change nothing on the system, since a request may be sent twice.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = ()
    expect: frozenset[int] = frozenset()
    method: Literal["GET", "POST"] = "GET"
    body: bytes = b""


class Timing(Struct, frozen=True, gc=False):
    """How long each phase took, in seconds; 0 for the phases that a reused connection skips.

    All phases are 0 if only ``total`` was measured, as it is without a trace. ``first_byte`` is the time
    from sending until the response begins; ``total`` is the whole transfer.
    """

    name_lookup: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    total: float = 0.0


class Headers(Mapping[str, str]):
    """Headers of a response by lower-case name, repeated ones joined by ``", "``.

    The raw lines are parsed on first use: the headers of most responses are never read.

    Args:
        raw: the lines as they were received.
    """

    __slots__ = ("_fields", "_lower", "_older", "raw")

    def __init__(self, raw: bytes = b"", older: "Headers | None" = None) -> None:
        self.raw = raw
        self._older = older
        self._lower: str | None = None
        self._fields: dict[str, list[str]] | None = None

    def mention(self, *words: str) -> bool:
        """Whether one of these lower-case words is in the raw lines: a test that parses nothing."""
        # In a text: Python looks for bytes as for a number first. Not any(): it needs four times as long.
        lower = self._lower
        if lower is None:
            lower = self._lower = self.raw.decode("latin-1").lower()
        found = False
        for word in words:
            found = found or word in lower
        return found

    def over(self, older: "Headers") -> "Headers":
        """These, of a 304, and those of the older response that it confirms, except for the same ones.

        What describes the body stays as it was. The raw lines are those of the 304.
        """
        return Headers(self.raw, older)

    def every(self, name: str) -> list[str]:
        """Each value of a header that may be repeated (``set-cookie``)."""
        return self._parsed().get(name, [])

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._parsed()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        # Names only: a value may be a cookie.
        return f"Headers({', '.join(self)})"

    def _parsed(self) -> dict[str, list[str]]:
        if self._fields is None:
            self._fields = _fields(self.raw)
            if self._older is not None:
                newer = {name: self.every(name) for name in self._fields if not name.startswith("content-")}
                self._fields = {**{name: self._older.every(name) for name in self._older}, **newer}
        return self._fields


def _fields(raw: bytes) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    values: list[str] = []
    in_head = False
    for line in raw.decode("latin-1").split("\n"):
        text = line.rstrip("\r")
        if not in_head:
            # Only the last header section counts: those of a proxy and of 1xx come before it.
            # What follows it are trailers, which are not headers.
            if text.startswith("HTTP/"):
                fields, values, in_head = {}, [], True
        elif not text:
            in_head = False
        elif text[0] in " \t":
            values[-1:] = [f"{value} {text.strip()}" for value in values[-1:]]
        else:
            name, _, value = text.partition(":")
            values = fields.setdefault(name.strip().lower(), [])
            values.append(value.strip())
    return fields


class Response(Struct, frozen=True):
    """What a system sent, of any status.

    Args:
        body: decoded; the transport limits its size.
        url: the complete URL of the request, to check links in the body against.
    """

    status: int
    body: bytes = b""
    headers: Headers = msgspec.field(default_factory=Headers)
    url: str = ""
    timing: Timing = Timing()

    def __repr__(self) -> str:
        # Not the body and not the URL: each may contain a secret.
        return f"Response({self.status}, {self.headers!r})"

    def json(self) -> Any:
        """The body as JSON, see `parsed`.

        Raises:
            Failure: ``invalid_response``, it is not JSON (HTML, truncated), empty, or nested too deeply;
                ``too_large``, it has too many values.
        """
        reason = Reason.INVALID_RESPONSE
        try:
            return parsed(self.body, self.headers)
        except TooManyValuesError:
            reason, detail = Reason.TOO_LARGE, f"the response has more than {MAX_VALUES} values"
        except ValueError:
            detail = "the response is not JSON" if self.body.strip() else "the response has no body"
        except RecursionError:
            detail = "the response is nested too deeply"
        # Raised outside of the handler: the exception of the parser contains the body.
        raise Failure(reason, detail, status=self.status)

    def object(self) -> Mapping[str, Any]:
        """The body as a JSON object.

        Raises:
            Failure: ``invalid_response``, it is anything else.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise Failure(Reason.INVALID_RESPONSE, "the response is not a JSON object", status=self.status)
        return value
