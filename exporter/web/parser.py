"""Whole HTTP/1.1 requests from the bytes of one client, bounded in size. No I/O."""

import re

import h11

from exporter.web.limits import Limits

_HEAD_END = re.compile(rb"\n\r?\n")
_FOLDED = re.compile(rb"\n[ \t]")
_FRAMING = re.compile(rb"^(content-length|transfer-encoding)[ \t]*:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
# Control characters, slash and backslash. No path of the exporter contains them, and a router or a proxy can
# read them in other ways than this server does: as the end of the path, or as the border of two segments.
_UNSAFE = re.compile(rb"%([01][0-9a-f]|7f|2f|5c)", re.IGNORECASE)


# So much is parsed without a pause, which takes milliseconds if it is many tiny chunks or header lines.
PIECE_BYTES = 2048


class Parser:
    """Reads the requests of one connection, one after the other.

    Args:
        http: the state of the connection; its next cycle is started between requests.
    """

    def __init__(self, http: h11.Connection, limits: Limits) -> None:
        self._http = http
        self._limits = limits
        self._unparsed = bytearray()
        self._request: h11.Request | None = None
        self._body = bytearray()

    @property
    def ahead(self) -> int:
        """How many bytes have arrived that belong to no request yet."""
        return len(self._unparsed) + len(self._http.trailing_data[0])

    @property
    def unparsed(self) -> bool:
        """Whether `next` can be called again without more data."""
        return bool(self._unparsed)

    def receive(self, data: bytes | memoryview) -> None:
        """Keeps what has arrived."""
        self._unparsed += data

    def next(self) -> tuple[h11.Request, bytes] | None:
        """Parses one piece; returns the next request and its body if they are whole, otherwise ``None``.

        Raises:
            RemoteProtocolError: the request is refused with the status ``error_status_hint``.
        """
        # What is left of the pieces before may contain a whole request already.
        request = self._parse()
        if request is None and self._unparsed:
            self._http.receive_data(bytes(self._unparsed[:PIECE_BYTES]))
            del self._unparsed[:PIECE_BYTES]
            request = self._parse()
        return request

    def _parse(self) -> tuple[h11.Request, bytes] | None:
        if self._http.their_state is h11.IDLE:
            self._check_framing()
        while True:
            match self._http.next_event():
                case h11.Request() as request:
                    self._check(request)
                    self._request, self._body = request, bytearray()
                case h11.Data(data=data):
                    self._body += data
                    self._bound(len(self._body))
                case h11.EndOfMessage() if self._request is not None:
                    return self._request, bytes(self._body)
                case _:
                    # Chunks do not stay, so these are lines of a head, or of what follows the last chunk.
                    self._bound_lines(self._http.trailing_data[0].count(b"\n"))
                    return None

    def _check_framing(self) -> None:
        """Refuses a head whose end, or whose body's end, a proxy in front could see elsewhere than h11 does.

        https://www.rfc-editor.org/rfc/rfc9112: sections 5.2 (folded lines), 6.1 and 6.3 (length of the body).
        """
        data = self._http.trailing_data[0]
        end = _HEAD_END.search(data)
        if end is None:
            return
        head = data[: end.end()]
        if _FOLDED.search(head):
            raise h11.RemoteProtocolError("folded header line", 400)
        framing = _FRAMING.findall(head)
        if len(framing) > 1:
            raise h11.RemoteProtocolError("several lengths of the body", 400)
        for name, value in framing:
            if name.lower() == b"content-length":
                wrong = b"," in value
            else:
                last = value.lower().rpartition(b",")[2].strip()
                wrong = last != b"chunked" or head.partition(b"\n")[0].rstrip().endswith(b"HTTP/1.0")
            if wrong:
                raise h11.RemoteProtocolError("the length of the body is not certain", 400)

    def _check(self, request: h11.Request) -> None:
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("neither HTTP/1.0 nor HTTP/1.1", 505)
        path = request.target.partition(b"?")[0]
        if not path.startswith(b"/") or _UNSAFE.search(path):
            raise h11.RemoteProtocolError("not a path, or encoded control characters or slashes in it", 400)
        if sum(len(name) + len(value) for name, value in request.headers) > self._limits.header_bytes:
            raise h11.RemoteProtocolError("headers too large", 431)
        self._bound_lines(len(request.headers))
        for name, value in request.headers:
            if name == b"content-length":
                self._bound(int(value))

    def _bound_lines(self, lines: int) -> None:
        if lines > self._limits.header_lines:
            raise h11.RemoteProtocolError("too many header lines", 431)

    def _bound(self, body_bytes: int) -> None:
        if body_bytes > self._limits.body_bytes:
            raise h11.RemoteProtocolError("body too large", 413)
