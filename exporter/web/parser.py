"""Whole HTTP/1.1 requests from the bytes of one client, bounded in size. No I/O."""

import h11

from exporter.web.limits import Limits


class Parser:
    """Reads the requests of one connection, one after the other.

    Args:
        http: the state of the connection, which gets the data; its next cycle is started between requests.
    """

    def __init__(self, http: h11.Connection, limits: Limits) -> None:
        self._http = http
        self._limits = limits
        self._request: h11.Request | None = None
        self._body = bytearray()

    @property
    def ahead(self) -> int:
        """How many bytes have arrived that belong to no request yet."""
        return len(self._http.trailing_data[0])

    def next(self) -> tuple[h11.Request, bytes] | None:
        """The next request and its body when they are whole, otherwise ``None``.

        Raises:
            RemoteProtocolError: the request is refused with the status ``error_status_hint``.
        """
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
                    return None

    def _check(self, request: h11.Request) -> None:
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("neither HTTP/1.0 nor HTTP/1.1", 505)
        if sum(len(name) + len(value) for name, value in request.headers) > self._limits.header_bytes:
            raise h11.RemoteProtocolError("headers too large", 431)
        for name, value in request.headers:
            if name == b"content-length":
                self._bound(int(value))

    def _bound(self, body_bytes: int) -> None:
        if body_bytes > self._limits.body_bytes:
            raise h11.RemoteProtocolError("body too large", 413)
