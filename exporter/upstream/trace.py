"""What goes over the wire for one read, noted down for somebody who wants to know; no secret in it.

Nothing is noted unless it is asked for. Of headers only the values of well-known harmless ones are
kept; those that a credential wrote, and whatever else may hold a secret, are ``***``.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from requests import PreparedRequest

from exporter.model.failure import Failure
from exporter.model.http import Response, Timing
from exporter.model.text import printable
from exporter.runtime.secret import MASK, masked_url

MAX_EXCHANGES = 20
MAX_VALUE = 200
MIN_PIECE = 4

_SENT = frozenset({"accept", "accept-language", "content-length", "content-type", "user-agent"})
_TOLD = frozenset(
    {
        "age",
        "allow",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "location",
        "retry-after",
        "server",
        "transfer-encoding",
        "vary",
        "via",
    }
)
# What limits are left, and by which number the vendor's support finds a request again.
_TOLD_TOO = re.compile(r"rate-?limit|(request|correlation|trace)-?id$")
_PIECES = re.compile(r"[\s,;=\"]+")

Shown = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as they may be shown.

    Args:
        body_bytes: how long the request's body is.
        status: of the answer; ``None`` while there is none.
        failure: why there is none, in our own words.
    """

    method: str
    url: str
    headers: Shown
    body_bytes: int
    status: int | None = None
    answer_headers: Shown = ()
    answer_bytes: int = 0
    timing: Timing | None = None
    failure: str = ""


@dataclass(slots=True)
class Trace:
    """The exchanges of one read or listing, the first 20 of them.

    Attributes:
        more: exchanges that are not shown.
    """

    exchanges: list[Exchange] = field(default_factory=list)
    more: int = 0
    _hidden: frozenset[str] = frozenset()

    def sending(self, plain: PreparedRequest, request: PreparedRequest) -> None:
        """A request goes out.

        Args:
            plain: the same before the credential wrote on it.
        """
        if len(self.exchanges) == MAX_EXCHANGES:
            self.more += 1
            return
        written = [value for name, value in request.headers.items() if plain.headers.get(name) != value]
        self._hidden = frozenset(_pieces(map(str, written)))
        headers = tuple(
            (name, str(value) if name.lower() in _SENT and plain.headers.get(name) == value else MASK)
            for name, value in request.headers.items()
        )
        body = len(request.body or b"")
        self.exchanges.append(Exchange(str(plain.method), masked_url(str(plain.url)), headers, body))

    def answered(self, reply: Response) -> None:
        """It was answered, whatever the status."""
        self._end(
            status=reply.status,
            answer_headers=tuple(self._told(reply.headers)),
            answer_bytes=len(reply.body),
            timing=reply.timing,
        )

    def failed(self, failure: Failure) -> None:
        """It was not answered."""
        self._end(failure=str(failure))

    def _end(self, **what: Any) -> None:
        if not self.more:
            self.exchanges[-1] = replace(self.exchanges[-1], **what)

    def _told(self, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for name, told in headers.items():
            value = _bare(told) if name == "location" else told
            harmless = name in _TOLD or _TOLD_TOO.search(name)
            # A server may well send back what it was sent.
            if not harmless or any(piece in value for piece in self._hidden):
                yield printable(name, MAX_VALUE), MASK
            else:
                yield printable(name, MAX_VALUE), printable(value, MAX_VALUE)


def _bare(location: str) -> str:
    """Where a redirect leads, without what it carries there."""
    return re.split(r"[?#]", location, maxsplit=1)[0]


def _pieces(values: Iterable[str]) -> Iterator[str]:
    """What a credential wrote, whole and in parts, and as it may look when it is sent back."""
    for value in values:
        pieces = [value, *_PIECES.split(value)]
        for piece in (*pieces, *(part for each in pieces for part in _decoded(each))):
            if len(piece) >= MIN_PIECE:
                yield piece
                yield quote(piece, safe="")


def _decoded(piece: str) -> Iterator[str]:
    """User and password of HTTP basic authentication (RFC 7617)."""
    try:
        text = base64.b64decode(piece, validate=True).decode()
    except ValueError:
        return
    yield text
    yield from text.split(":")
