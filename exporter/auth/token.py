"""Credentials that fetch a token: renewed before it expires, or when it is rejected."""

import json
import re
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeGuard
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session

from exporter.auth.credential import Credential, SecretSet, secret_bytes
from exporter.model.failure import Failure, Reason
from exporter.runtime.secret import Secret

MAX_TOKEN_LENGTH = 64 * 1024
DEFAULT_LIFE_SECONDS = 300.0
MAX_LIFE_SECONDS = 86400.0
EARLY_SECONDS = 30.0
EARLY_SHARE = 0.1
FORCED_SECONDS = 30.0

_TOKEN = re.compile(r"[\x21-\x7e\xa1-\xff]+")


@dataclass(frozen=True, slots=True)
class _Token:
    """A token; times in monotonic seconds.

    Args:
        secret_version: of the secret that it was fetched with; it is invalid once the secret has changed.
        forced: it was fetched because the one before it was rejected.
    """

    value: str = field(repr=False)
    secret_version: int
    fetched_at: float
    renew_at: float
    ends_at: float
    forced: bool


class TokenCredential(Credential):
    """A credential whose token is fetched with a secret.

    Class attributes:
        action: what a request for a token does, in error texts before the host.
        header: the header that `apply` sets, and what is before the token in it.

    Args:
        secret: the token is fetched with it, and fetched again when it changes.
        endpoint: the URL that tokens are fetched from.
    """

    action: ClassVar[str] = "get a token from"
    header: ClassVar[tuple[str, str]] = "Authorization", "Bearer "

    def __init__(self, secret: Secret, endpoint: str = "") -> None:
        self.endpoint = endpoint
        self._secret = SecretSet(secret)
        self._token: _Token | None = None
        self._serial = 0
        self._rejected = False
        self._now = 0.0

    @abstractmethod
    def fetch(self, session: Session, secret: str) -> tuple[str, float]:
        """Fetches a token.

        Returns:
            The token (see `usable`), and for how many seconds it is valid.

        Raises:
            Failure: reason ``auth``, without text of the request or the response.
        """

    @property
    def token(self) -> str:
        """The token itself, only to be sent; a `Failure` of reason ``auth`` if there is none yet."""
        if self._token is None:
            raise Failure(Reason.AUTH, "there is no token yet")
        return self._token.value

    def apply(self, request: PreparedRequest) -> None:
        """Sets the header; fails if there is no token yet."""
        name, scheme = self.header
        request.headers[name] = scheme + self.token

    def version(self) -> object:
        """Changes with every token, and as soon as the secret changes."""
        return self._secret.version, self._serial

    def must_renew(self, now: float) -> bool:
        """Whether a token has to be fetched: there is no valid one, or it expires soon."""
        self._now = now
        return self._token is None or now >= self._token.renew_at or not self.valid(now)

    def valid(self, now: float) -> bool:
        """Whether the token has not expired, was not rejected, and belongs to the current secret."""
        token = self._token
        if token is None or self._rejected or token.secret_version != self._secret.version:
            return False
        return now < token.ends_at

    def renew(self, session: Session, now: float) -> None:
        """Fetches a token; the existing one is kept until there is a new one.

        Raises:
            Failure: reason ``auth``, without text of the request or the response.
        """
        self._secret.look_again()
        secret_version, (secret,) = self._secret.read()
        secret_bytes(secret)
        value, seconds = self.fetch(session, secret)
        early = min(max(EARLY_SECONDS, seconds * EARLY_SHARE), seconds / 2)
        ends_at = now + seconds
        self._token = _Token(value, secret_version, now, ends_at - early, ends_at, self._rejected)
        self._rejected = False
        self._serial += 1

    def rejected(self, version: object) -> bool:
        """Discards the token if it is still the one that was rejected.

        A token that was itself fetched after a rejection, a moment ago, is kept: the token is then not the
        cause, and every read would fetch another one.
        """
        token = self._token
        if version != self.version() or token is None or self._rejected:
            return True
        if token.forced and self._now - token.fetched_at < FORCED_SECONDS:
            return False
        self._rejected = True
        return True

    def post(self, session: Session, **options: Any) -> Response:
        """Sends a request for a token and returns the response of any status, redirects too.

        Args:
            options: those of ``requests``: form or JSON, headers.

        Raises:
            Failure: reason ``auth``, there is no response.
        """
        try:
            return session.post(self.endpoint, allow_redirects=False, **options)
        except Failure as failure:
            problem = failure.detail or failure.reason
        except (OSError, ValueError):  # requests raises OSErrors, and ValueErrors for an invalid URL
            problem = "the request could not be sent"
        # Raised outside the except block: the context may contain text of the request.
        raise self.failure(problem)

    def check_status(self, response: Response, expected: int, reason: str = "") -> None:
        """Raises a `failure` with `reason` for any other status."""
        if (status := response.status_code) != expected:
            raise self.failure(f"HTTP status {status}{reason}", status)

    def failure(self, problem: str, status: int | None = None) -> Failure:
        """The failure for a request that brought no token."""
        detail = f"could not {self.action} {urlsplit(self.endpoint).netloc}: {problem}"
        return Failure(Reason.AUTH, detail, status=status)


def json_object(response: Response) -> dict[str, Any]:
    """The body as a JSON object, or an empty one for anything else."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def usable(token: object) -> TypeGuard[str]:
    """Whether it is a string that can be sent in a header as one word."""
    return isinstance(token, str) and 0 < len(token) <= MAX_TOKEN_LENGTH and bool(_TOKEN.fullmatch(token))


def bounded_life(seconds: float) -> float:
    """For how many seconds to use a token that is valid for ``seconds``; 0: the endpoint did not say."""
    return float(min(max(seconds, 1), MAX_LIFE_SECONDS)) if seconds > 0 else DEFAULT_LIFE_SECONDS
