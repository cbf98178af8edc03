"""Requests and responses as values: what a provider asks for and what it receives.

The transport makes a `Response`, a provider reads it; nothing between them changes its type.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from exporter.model.failure import Failure, Reason

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


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a provider. Hashable: equal requests share one prepared request.

    Args:
        path: begins with ``/``, is appended to the system's ``base_url``, segments encoded.
        headers: besides those of the system and its credentials.
        expect: statuses outside 200 to 299 that the provider handles itself.
        method: one that changes nothing at the vendor: it may be sent at any time and twice.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = ()
    expect: frozenset[int] = frozenset()
    method: Literal["GET", "POST"] = "GET"
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long each phase took, in seconds; 0 for a phase that a kept connection spares.

    ``first_byte`` is from the request being ready to send until the response began; ``total`` is the
    whole transfer.
    """

    name_lookup: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    total: float = 0.0


class Headers(Mapping[str, str]):
    """Headers of a response by lower-case name, repeated ones joined by ``", "``.

    Parsed from the raw lines at the first access, since the headers of most responses are not needed.
    """

    __slots__ = ("_fields", "_lines")

    def __init__(self, lines: Sequence[bytes] = ()) -> None:
        self._lines = lines
        self._fields: dict[str, list[str]] | None = None

    def every(self, name: str) -> list[str]:
        """Each value of a header that may stand more than once (``set-cookie``)."""
        return self._read().get(name, [])

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._read()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        # Names only: a value may be a cookie.
        return f"Headers({', '.join(self)})"

    def _read(self) -> dict[str, list[str]]:
        if self._fields is None:
            self._fields = _fields(self._lines)
            self._lines = ()
        return self._fields


def _fields(lines: Sequence[bytes]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    values: list[str] = []
    in_head = False
    for line in lines:
        text = line.decode("latin-1").rstrip("\r\n")
        if not in_head:
            # Each head begins anew: those of a proxy and of 1xx stand before the one that counts.
            # What follows the last one are trailers, which are no headers.
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


@dataclass(frozen=True, slots=True)
class Response:
    """What a system sent, whatever its status.

    Args:
        body: unpacked, and bounded by whoever reads it.
        url: the whole address of the request, for links that must not lead elsewhere.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Headers = field(default_factory=Headers)
    url: str = ""
    timing: Timing = Timing()

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            Failure: ``invalid_response``, it is not JSON (an HTML page, cut off, nested too deep).
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Failure(Reason.INVALID_RESPONSE, "the response is not JSON", status=self.status) from None

    def object(self) -> Mapping[str, Any]:
        """The body as a JSON object.

        Raises:
            Failure: ``invalid_response``, it is anything else.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise Failure(Reason.INVALID_RESPONSE, "the response is not a JSON object", status=self.status)
        return value
