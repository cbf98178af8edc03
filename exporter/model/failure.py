"""Why a read failed: sixteen reasons, and the one exception that carries them.

::

    Exception
    └── Failure(reason)    a read, a token call or a listing did not work; the reason is a label
"""

from enum import StrEnum


class Reason(StrEnum):
    """The values of the label ``reason``; a closed set, so that label cardinality is bounded."""

    TIMEOUT = "timeout"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    REDIRECT = "redirect"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    TOO_LARGE = "too_large"
    INVALID_RESPONSE = "invalid_response"
    AUTH = "auth"
    DEADLINE = "deadline"
    INTERNAL = "internal"


class Failure(Exception):
    """A read that did not work.

    Args:
        reason: what kind of fault it was.
        detail: one line in our own words for the log and ``probe``. Never text of an answer, a
            header, a URL's query or a secret: it is printed as it is.
        status: the HTTP status, where there was one.
        retry_after: seconds the vendor asked us to wait (RFC 9110 section 10.2.3), if it did.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.status = status
        self.retry_after = retry_after


def reason_of_status(status: int) -> Reason:
    """The reason for an HTTP status outside 200 to 299 (RFC 9110 section 15)."""
    match status:
        case 401:
            return Reason.UNAUTHORIZED
        case 403:
            return Reason.FORBIDDEN
        case 404 | 410:
            return Reason.NOT_FOUND
        case 429:
            return Reason.RATE_LIMITED
    if 300 <= status < 400:
        return Reason.REDIRECT
    if 400 <= status < 500:
        return Reason.CLIENT_ERROR
    if 500 <= status < 600:
        return Reason.SERVER_ERROR
    return Reason.INVALID_RESPONSE
