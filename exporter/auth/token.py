"""Credentials that fetch a token: renewed before it expires, or when it is rejected."""

import re
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard
from urllib.parse import urlsplit

from exporter.auth.credential import Credential, SecretSet, secret_bytes
from exporter.model.dates import http_date, moment
from exporter.model.failure import Failure, Reason
from exporter.model.json_body import parsed
from exporter.runtime.secret import Secret
from exporter.transport import Outgoing

if TYPE_CHECKING:
    from requests import Response, Session

MAX_TOKEN_LENGTH = 64 * 1024
DEFAULT_LIFE_SECONDS = 300.0
MAX_LIFE_SECONDS = 86400.0
EARLY_SECONDS = 30.0
EARLY_SHARE = 0.1
FORCED_SECONDS = 30.0, 300.0
DOUBT_SECONDS = 300.0
# Numbers from here on are Unix times: no token lives for 30 years.
FIRST_MOMENT = 1e9

_NUMBER = re.compile(r"\d{1,15}(\.\d{1,12})?", re.ASCII)
# ISO 8601 (PT1H30M), and without its letters as in Go and Prometheus (1h30m, 3600s).
_ISO_DURATION = re.compile(
    r"P?(?:(?P<d>\d{1,9})D)?T?(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,15}(?:\.\d{1,12})?)S)?",
    re.ASCII | re.IGNORECASE,
)
# hours:minutes:seconds, after days if there are any, as .NET and Python write them.
_CLOCK_DURATION = re.compile(
    r"(?:(?P<d>\d{1,9})(?:\.| days?, ))?(?P<h>\d{1,2}):(?P<m>\d\d):(?P<s>\d\d(?:\.\d{1,12})?)", re.ASCII
)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_TOKEN = re.compile(r"[\x21-\x7e\xa1-\xff]+")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request for a token or a login brought.

    Args:
        token: see `usable`; empty if there are cookies instead.
        seconds: for how long it is valid.
        cookies: of the session by name; later responses may change them.
    """

    token: str = field(repr=False)
    seconds: float
    cookies: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class _Token:
    """A grant in use; times in monotonic seconds.

    Args:
        secret_version: of the secrets that it was fetched with; it is invalid once one has changed.
        forced: it was fetched because the one before it was rejected.
    """

    grant: Grant
    secret_version: int
    fetched_at: float
    renew_at: float
    ends_at: float
    forced: bool


class TokenCredential(Credential):
    """A credential whose token is fetched with secrets.

    Class attributes:
        action: what a request for a token does, in error texts before the host.
        header: the header that `apply` sets, and what is before the token in it.

    Args:
        secrets: the token is fetched with them, and fetched again when one of them changes.
        endpoint: the URL that tokens are fetched from.
        clock: Unix time, for responses without ``Date``.
    """

    action: ClassVar[str] = "get a token from"
    header: ClassVar[tuple[str, str]] = "Authorization", "Bearer "

    def __init__(self, *secrets: Secret, endpoint: str = "", clock: Callable[[], float] = time.time) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._secrets = SecretSet(*secrets)
        # `renew` runs in a thread: the event loop sees either all of a new token or nothing of it.
        self._lock = threading.RLock()
        self._token: _Token | None = None
        self._serial = 0
        self._rejected = self._rejected_again = self._doubted = False
        self._pause = FORCED_SECONDS[0]
        self._tried_at = 0.0
        self._now = 0.0
        self._remark = ""

    @abstractmethod
    def fetch(self, session: "Session", secrets: tuple[str, ...]) -> Grant:
        """Fetches a token.

        Args:
            secrets: the values of the secrets, in their order.

        Raises:
            Failure: reason ``auth``, without text of the request or the response.
        """

    @property
    def grant(self) -> Grant:
        """The last one, only to be sent; a `Failure` of reason ``auth`` if there is none yet."""
        if self._token is None:
            raise Failure(Reason.AUTH, "there is no token yet")
        return self._token.grant

    def apply(self, request: Outgoing) -> None:
        """Sets the header; fails if there is no token yet."""
        name, scheme = self.header
        request.headers[name] = scheme + self.grant.token

    def version(self) -> object:
        """Changes with every token, and as soon as a secret changes."""
        with self._lock:
            return self._secrets.version, self._serial

    def secrets(self) -> Iterable[str]:
        """The values as they are now."""
        return self._secrets.read()[1]

    def must_renew(self, now: float) -> bool:
        """Whether a token has to be fetched: there is no valid one, or it expires soon."""
        self._now = now
        return self._token is None or now >= self._token.renew_at or self._doubted or not self.valid(now)

    def valid(self, now: float) -> bool:
        """Whether the token has not expired, was not rejected, and belongs to the current secrets."""
        token = self._token
        if token is None or self._rejected or token.secret_version != self._secrets.version:
            return False
        return now < token.ends_at

    def renew(self, session: "Session", now: float) -> None:
        """Fetches a token; the existing one is kept until there is a new one.

        Raises:
            Failure: reason ``auth``, without text of the request or the response.
        """
        self._tried_at = now
        try:
            self._secrets.look_again()
            secret_version, secrets = self._secrets.checked_read()
            for secret in secrets:
                secret_bytes(secret)
            grant = self.fetch(session, secrets)
        finally:
            self._doubted = False
        early = min(max(EARLY_SECONDS, grant.seconds * EARLY_SHARE), grant.seconds / 2)
        ends_at = now + grant.seconds
        with self._lock:
            again = self._rejected and self._rejected_again
            self._pause = min(self._pause * 2, FORCED_SECONDS[1]) if again else FORCED_SECONDS[0]
            self._token = _Token(grant, secret_version, now, ends_at - early, ends_at, self._rejected)
            self._rejected = self._rejected_again = False
            self._serial += 1

    def rejected(self, version: object) -> bool:
        """Discards the token if it is still the one that was rejected.

        A token that was itself fetched after a rejection, a moment ago, is kept: the token is then not the
        cause, and every read would fetch another one. While that is so, the pause to the next one doubles.
        """
        with self._lock:
            token = self._token
            if version != self.version() or token is None or self._rejected:
                return True
            if token.forced and self._now - token.fetched_at < self._pause:
                self._rejected_again = True
                return False
            self._rejected = True
            return True

    def doubted(self, version: object) -> bool:
        """Has a token fetched, but not within some minutes of the last attempt; until then it stays in use.

        So a system that is out of order is not sent a request for a token with every read.
        """
        with self._lock:
            if version == self.version() and not self._rejected and not self._doubted:
                self._doubted = self._now - self._tried_at >= DOUBT_SECONDS
                return self._doubted
            return True

    def send(self, session: "Session", method: str = "POST", **options: Any) -> "Response":
        """Sends a request for a token and returns the response of any status, redirects too.

        Args:
            options: those of ``requests``: form or JSON, headers.

        Raises:
            Failure: reason ``auth``, there is no response.
        """
        try:
            return session.request(method, self.endpoint, allow_redirects=False, **options)
        except Failure as failure:
            problem, cause = failure.detail or failure.reason, failure.reason
        except (OSError, ValueError):  # requests raises OSErrors, and ValueErrors for an invalid URL
            problem, cause = "the request could not be sent", None
        # Raised outside the except block: the context may contain text of the request.
        raise self.failure(problem, cause=cause)

    def check_status(self, response: "Response", reason: str = "") -> None:
        """Raises a `failure` with `reason` for any status but 2xx."""
        if not 200 <= (status := response.status_code) < 300:
            failure = self.failure(f"HTTP status {status}{reason}", status)
            if status in (429, 503):
                failure.retry_after = self._retry_after(response)
            raise failure

    def _retry_after(self, response: "Response") -> float | None:
        value = response.headers.get("Retry-After", "")
        until = http_date(value)
        return _number(value) if until is None else until - self.server_time(response)

    def server_time(self, response: "Response") -> float:
        """Unix time by the clock of the server if possible: that of this machine may be wrong."""
        now = http_date(response.headers.get("Date", ""))
        return self._clock() if now is None else now

    def life(self, response: "Response", *values: object) -> float:
        """For how many seconds to use the token of a response.

        Args:
            values: candidates; each is a lifetime in seconds, a text such as ``1h``, ``PT1H`` or
                ``01:00:00``, or an end as `moment` reads it. A number may be text. The first that gives more
                than 0 seconds counts.

        Returns:
            At most a day; the default if there is no such value, with a `remark` if there are others.
        """
        self._remark = ""
        for value in values:
            number = _number(value)
            end = None if 0 < number < FIRST_MOMENT else moment(value)
            if end is not None:
                number = end - self.server_time(response)
            if number > 0:
                return min(max(number, 1.0), MAX_LIFE_SECONDS)
        if any(value is not None for value in values):
            self.assume_life()
        return DEFAULT_LIFE_SECONDS

    def assume_life(self) -> None:
        """Remarks that the default lifetime is used, though the response or the configuration has another."""
        minutes = DEFAULT_LIFE_SECONDS / 60
        self._remark = f"the lifetime of the token cannot be read; it counts as valid for {minutes:g} minutes"

    def remark(self) -> str:
        """Whether the lifetime of the token could not be read."""
        return self._remark

    def failure(self, problem: str, status: int | None = None, *, cause: Reason | None = None) -> Failure:
        """The failure for a request that brought no token."""
        detail = f"could not {self.action} {urlsplit(self.endpoint).netloc}: {problem}"
        return Failure(Reason.AUTH, detail, status=status, cause=cause)


def json_object(response: "Response") -> dict[str, Any]:
    """The body as a JSON object, or an empty one for anything else."""
    try:
        body = parsed(response.content, response.headers)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def usable(token: object) -> TypeGuard[str]:
    """Whether it is a string that can be sent in a header as one word."""
    return isinstance(token, str) and 0 < len(token) <= MAX_TOKEN_LENGTH and bool(_TOKEN.fullmatch(token))


def _number(value: object) -> float:
    """A positive number, or text with one or with a duration, in seconds; 0 for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        match = _ISO_DURATION.fullmatch(text) or _CLOCK_DURATION.fullmatch(text)
        parts = match.groupdict().items() if match else ()
        return sum(float(number) * _UNITS[unit] for unit, number in parts if number)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(min(value, 1e300))  # an integer of JSON can be too large for a float
