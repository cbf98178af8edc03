"""A request as it is sent: with its whole URL, all headers and the credential."""

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from msgspec import Struct

from exporter.model.failure import Failure, Reason
from exporter.model.http import CONNECTION_HEADERS

_SAFE = "!$%&'()*+,/:;=@~"
"""What may be in a path beside letters, digits and ``_.-`` (RFC 3986 section 3.3), with what is encoded."""
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


class HeaderFields(MutableMapping[str, str]):
    """Headers of a request: names are sent as they are written, and found in any case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields: dict[str, tuple[str, str]] = {}
        self.update(fields)

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        self._fields[name.lower()] = name, value

    def __delitem__(self, name: str) -> None:
        del self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)


class Outgoing(Protocol):
    """What credentials and the transport need of a request: a `PreparedRequest`, or one of ``requests``."""

    @property
    def method(self) -> str | None:
        """Such as GET."""

    @property
    def url(self) -> str | None:
        """The whole URL, percent-encoded."""

    @property
    def headers(self) -> MutableMapping[str, Any]:
        """All of them."""

    @property
    def body(self) -> Any:
        """Text, bytes, or nothing."""


class PreparedRequest(Struct, gc=False):
    """A request that can be sent.

    Args:
        headers: requests with the same headers may share them, so they are changed in a `copy` only.
        lines: the header lines, if they are made already.
    """

    method: str
    url: str
    headers: HeaderFields
    body: bytes = b""
    lines: Sequence[bytes] | None = None

    def copy(self) -> "PreparedRequest":
        """One with headers of its own."""
        return PreparedRequest(self.method, self.url, HeaderFields(self.headers), self.body)


def prepared_base(url: str) -> str:
    """A valid base URL as it is sent: to its end, the encoded path of a request is appended.

    A host name in other letters than ASCII becomes that of the domain name system (RFC 5891).
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        import idna  # noqa: PLC0415  # rare, and its tables are large

        host = idna.encode(host, uts46=True).decode()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    path = quote(_LONE_PERCENT.sub("%25", parts.path), safe=_SAFE)
    return f"{parts.scheme}://{host}{port}{path}"


def lines_of(request: Outgoing) -> Sequence[bytes]:
    """The header lines as libcurl expects them.

    Raises:
        Failure: ``internal``, a header cannot be sent.
    """
    if isinstance(request, PreparedRequest) and request.lines is not None:
        return request.lines
    lines = []
    for name, value in request.headers.items():
        # A session of `requests` sets some of these; libcurl sets them as the connection requires.
        if name.lower() not in CONNECTION_HEADERS:
            text = value if isinstance(value, str) else value.decode("latin-1")
            # libcurl's syntax for an empty value; with a colon it would omit the header.
            lines.append(f"{name}: {text}" if text else f"{name};")
    if not lines:
        return []
    head = "\n".join(lines)
    if head.count("\n") >= len(lines) or "\r" in head or "\0" in head:
        raise Failure(Reason.INTERNAL, "a request header contains a line break")
    try:
        return head.encode("latin-1").split(b"\n")
    except UnicodeEncodeError:
        raise Failure(Reason.INTERNAL, "a request header is not Latin-1") from None
