"""The requests and responses of one read, recorded on demand and without secrets.

Only values of headers that are known to be harmless are recorded. Those that a credential set, and all
others, are ``***``.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from exporter.model.failure import Failure
from exporter.model.http import Response, Timing
from exporter.model.text import printable
from exporter.runtime.secret import MASK, masked_url
from exporter.transport import PreparedRequest

MAX_EXCHANGES = 20
MAX_VALUE = 200
MIN_PIECE = 4

_REQUEST_HEADERS = frozenset(
    {
        *("accept", "accept-language", "content-length", "content-type", "user-agent"),
        *("if-modified-since", "if-none-match"),
    }
)
# Besides harmless ones: remaining rate limits, and ids by which the vendor's support finds a request.
RESPONSE_HEADERS = re.compile(
    r"age|allow|cache-control|connection|content-(encoding|length|type)|date|etag|expires|last-modified|location"
    r"|retry-after|server|transfer-encoding|vary|via|.*rate-?limit.*|.*(request|correlation|trace)-?id"
)
_PIECES = re.compile(r"[\s,;=\"]+")

Shown = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response, as they may be shown.

    Args:
        body_bytes: length of the request's body.
        status: of the response; ``None`` while there is none.
        confirmed_bytes: length of the stored body that the response, a 304, confirms.
        failure: why there is no response.
    """

    method: str
    url: str
    headers: Shown
    body_bytes: int
    status: int | None = None
    response_headers: Shown = ()
    response_bytes: int = 0
    confirmed_bytes: int | None = None
    timing: Timing | None = None
    failure: str = ""


@dataclass(slots=True)
class Trace:
    """The first 20 exchanges of one read or listing.

    Attributes:
        more: how many exchanges are left out.
    """

    exchanges: list[Exchange] = field(default_factory=list)
    more: int = 0
    _secrets: frozenset[str] = frozenset()

    def request(self, plain: PreparedRequest, request: PreparedRequest) -> None:
        """Records a request that is about to be sent; ``plain`` is the same without a credential."""
        if len(self.exchanges) == MAX_EXCHANGES:
            self.more += 1
            return
        changed = _changed(plain, request)
        pieces = secrets_of(plain, request)
        self._secrets = pieces.union(quote(piece, safe="") for piece in pieces)
        headers = tuple(
            (
                name,
                MASK if name.lower() not in _REQUEST_HEADERS or name in changed else self._masked(str(value)),
            )
            for name, value in request.headers.items()
        )
        body = len(request.body or b"")
        self.exchanges.append(Exchange(str(plain.method), masked_url(str(plain.url)), headers, body))

    def response(self, response: Response) -> None:
        """Records the response to the last request."""
        self._complete(
            status=response.status,
            response_headers=tuple(self._shown(response.headers)),
            response_bytes=len(response.body),
            timing=response.timing,
        )

    def confirmed(self, body_bytes: int) -> None:
        """Records that the last response confirms a stored one with so many bytes in its body."""
        self._complete(confirmed_bytes=body_bytes)

    def failure(self, failure: Failure) -> None:
        """Records why the last request has no response."""
        self._complete(failure=str(failure))

    def _complete(self, **fields: Any) -> None:
        if not self.more:
            self.exchanges[-1] = replace(self.exchanges[-1], **fields)

    def _shown(self, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for name, value in headers.items():
            shown = re.split(r"[?#]", value, maxsplit=1)[0] if name == "location" else value
            shown = self._masked(shown) if RESPONSE_HEADERS.fullmatch(name) else MASK
            yield printable(name, MAX_VALUE), printable(shown, MAX_VALUE)

    def _masked(self, value: str) -> str:
        """The value, unless it contains a secret: a server may send back what it received."""
        return MASK if any(secret in value for secret in self._secrets) else value


def secrets_of(plain: PreparedRequest, request: PreparedRequest) -> frozenset[str]:
    """What a credential has set in a request: each header, its parts, and user name and password.

    Args:
        plain: the same request without a credential.
    """
    return frozenset(_pieces(str(request.headers[name]) for name in _changed(plain, request)))


def pieces_of(plain: PreparedRequest, request: PreparedRequest) -> Iterator[str]:
    """As `secrets_of`, without what is decoded: that contains user names, which are no secrets."""
    for name in _changed(plain, request):
        value = str(request.headers[name])
        yield from (value, *_PIECES.split(value))


def _changed(plain: PreparedRequest, request: PreparedRequest) -> frozenset[str]:
    return frozenset(name for name, value in request.headers.items() if plain.headers.get(name) != value)


def _pieces(values: Iterable[str]) -> Iterator[str]:
    """Header values of a credential: whole, in parts, and decoded."""
    for value in values:
        pieces = [value, *_PIECES.split(value)]
        for piece in (*pieces, *(part for each in pieces for part in _decoded(each))):
            if len(piece) >= MIN_PIECE:
                yield piece


def _decoded(piece: str) -> Iterator[str]:
    """User name and password of HTTP Basic authentication (RFC 7617)."""
    try:
        text = base64.b64decode(piece, validate=True).decode()
    except ValueError:
        return
    yield text
    yield from text.split(":")
