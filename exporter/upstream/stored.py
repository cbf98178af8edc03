"""Responses of one system that it can confirm instead of sending them again (RFC 9110 section 13).

GitHub and others do not count a request that they answer with 304 (Not Modified).
"""

import re
from dataclasses import dataclass

from exporter.model.clock import Clock
from exporter.model.dates import http_date
from exporter.model.http import Headers, Request, Response
from exporter.transport import PreparedRequest

MAX_BODY = 1 << 20
MAX_BYTES = 16 << 20
OVERHEAD = 1 << 10
"""What a stored response needs besides its body and headers, in bytes; so their number is limited too."""
KEPT_SECONDS = 1200.0
"""Twice the default of `final_interval`, and longer than a vendor may delay a read."""

_OWN = ("If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range")
# Also without quotes, as some servers send it. An empty one identifies nothing, and `*` would match anything.
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{1,512}"|[\w.:+/=~-]{1,512}', re.ASCII)
_DATE = re.compile(r"[A-Za-z0-9 :,-]{1,64}")
_STRONG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A response with status 200, and the request header that has it confirmed.

    Args:
        version: of the credential that it was sent for.
        condition: name and value of the header.
        head: the raw header section.
    """

    version: object
    condition: tuple[str, str]
    head: bytes
    body: bytes

    @property
    def size(self) -> int:
        """About how many bytes of memory it needs."""
        return len(self.head) + len(self.body) + OVERHEAD

    def ask(self, prepared: PreparedRequest) -> PreparedRequest:
        """A copy of the request that has this response confirmed."""
        name, value = self.condition
        conditional = prepared.copy()
        conditional.headers[name] = value
        return conditional

    def contradiction(self, response: Response) -> str:
        """How a response shows that the server does not understand the condition; empty if it does not."""
        if response.status == 412:
            return f"HTTP status {response.status}"
        if response.status != 304:
            return ""
        condition, value = self.condition
        name = "ETag" if condition == "If-None-Match" else "Last-Modified"
        current = response.headers.get(name.lower(), "")
        # A compressed response may have the weak form of the same ETag (RFC 9110 section 8.8.3.2).
        if not current or current.removeprefix("W/") == value.removeprefix("W/"):
            return ""
        return f"HTTP status {response.status} with another {name}"

    def confirmed(self, response: Response) -> Response:
        """This response with the headers of the 304 that confirmed it (RFC 9111 section 3.2)."""
        headers = response.headers.over(Headers(self.head))
        return Response(200, self.body, headers, response.url, response.timing)


class StoredResponses:
    """The stored responses of one system, limited in bytes.

    One that was not used for `KEPT_SECONDS` is removed: the URL of a listing may have the time in it, and its
    response is then of use for a minute only. No other one makes space: of more jobs than fit, each would
    otherwise remove the response that is needed next.

    Attributes:
        bytes: about how much memory all of them need.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_request: dict[Request, tuple[Stored, float]] = {}  # the longest unused first
        self.bytes = 0

    def find(self, request: Request, version: object) -> Stored | None:
        """The response to an equal request with the same version of the credential."""
        if not self._by_request or (found := self._by_request.pop(request, None)) is None:
            return None
        stored, _ = found
        if stored.version != version:
            self.bytes -= stored.size
            return None
        self._by_request[request] = stored, self._clock.monotonic()
        return stored

    def forget(self, request: Request) -> None:
        """Sends the next such request without a condition."""
        if stored := self._by_request.pop(request, None):
            self.bytes -= stored[0].size

    def store(self, request: Request, version: object, prepared: PreparedRequest, response: Response) -> None:
        """Stores a successful response if it can be confirmed, instead of the one before.

        Args:
            prepared: the request as it was sent.
        """
        if self._by_request:
            self.forget(request)
        if request.method != "GET" or response.status != 200 or len(response.body) > MAX_BODY:
            return
        if not response.headers.mention("etag", "last-modified"):
            return
        condition = self._condition(response.headers)
        if condition is None or any(name in prepared.headers for name in _OWN):
            return
        stored = Stored(version, condition, response.headers.raw, response.body)
        if self._has_space(stored.size):
            self._by_request[request] = stored, self._clock.monotonic()
            self.bytes += stored.size

    def _condition(self, headers: Headers) -> tuple[str, str] | None:
        if "no-store" in headers.get("cache-control", "").lower() or "*" in headers.get("vary", ""):
            return None
        if _ETAG.fullmatch(etag := headers.get("etag", "")):
            return "If-None-Match", etag
        # A response that changes twice in a second keeps its Last-Modified, so it must be older
        # (RFC 9110 section 8.8.2.2).
        modified = headers.get("last-modified", "")
        changed_at, sent_at = http_date(modified), http_date(headers.get("date", "")) or self._clock.time()
        if _DATE.fullmatch(modified) and changed_at is not None and sent_at - changed_at >= _STRONG_SECONDS:
            return "If-Modified-Since", modified
        return None

    def _has_space(self, size: int) -> bool:
        """Whether ``size`` bytes fit, after those are removed that were not used for long."""
        unused_since = self._clock.monotonic() - KEPT_SECONDS
        while self._by_request:
            request, (_, used_at) = next(iter(self._by_request.items()))
            if used_at > unused_since:
                break
            self.forget(request)
        return self.bytes + size <= MAX_BYTES
