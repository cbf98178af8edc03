"""Why a read failed: sixteen reasons, and the exception that has one of them."""

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
    """A read, a listing, a count or a request for a token failed.

    Args:
        reason: the kind of error.
        detail: one line for the log and ``probe``, printed unchanged. Contains no text of a response, no
            header, no query of a URL and no secret.
        status: the HTTP status, if there was a response.
        retry_after: seconds that the vendor asks to wait (RFC 9110 section 10.2.3).
        cause: with reason ``auth``: why there was no response to the request for a credential.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        cause: Reason | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.cause = cause


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
