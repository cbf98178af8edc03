"""The header lines of a request, made once for a request that is sent many times."""

from collections.abc import Sequence

from requests import PreparedRequest

from exporter.model.failure import Failure, Reason
from exporter.model.http import CONNECTION_HEADERS


class KeptRequest(PreparedRequest):
    """A prepared request that does not change any more once it was sent. A copy of one is not kept."""

    lines: Sequence[bytes] | None = None

    def prepare_cookies(self, cookies: object) -> None:
        """Makes no jar, which needs 0.5 kB: the cookies of a system are headers of its credential."""


def lines_of(request: PreparedRequest) -> Sequence[bytes]:
    """The header lines as libcurl expects them.

    Raises:
        Failure: ``internal``, a header cannot be sent.
    """
    if not isinstance(request, KeptRequest):
        return _lines(request)
    if request.lines is None:
        request.lines = _lines(request)
    return request.lines


def _lines(request: PreparedRequest) -> Sequence[bytes]:
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
